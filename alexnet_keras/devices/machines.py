"""Several machines that train one network: how they find each other, wait and part."""

import atexit
import contextlib
import hashlib
import os
import signal
import sys
import threading
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from alexnet_keras.configuration import Devices

_HEARTBEAT = 30  # seconds without a sign of life after which a machine is given up


def join_machines(devices: Devices) -> keras.distribution.DataParallel:
    """Makes this process one of several that train one network, each on a share of every batch.

    It waits until all have come. From then on all must make the same calls, as what one computes
    waits for the others, until they part at the end of `on_machines`. When one is lost, the others
    end within half a minute: a sum fails (see `on_machines`), or JAX's own watch ends the process
    with its message. A process can join once.

    Args:
        devices: with `hosts` and `rank`, or without them for what Slurm, Open MPI or Kubernetes say
            in their environment variables.

    Returns:
        The distribution, over all devices of all machines.

    Raises:
        ValueError: if Keras's backend is not JAX, or nothing names the machines.
        ImportError: if JAX is older than 0.7, which cannot be told how long to wait for a machine.
        RuntimeError: if the machines do not find each other in five minutes, or JAX or TensorFlow
            has begun to compute before.
    """
    if keras.backend.backend() != "jax":
        raise ValueError(
            "Several machines need Keras's JAX backend (KERAS_BACKEND=jax). "
            f"Received: {keras.backend.backend()!r}"
        )
    import jax

    tf.config.set_visible_devices([], "GPU")  # their memory is for JAX
    try:
        jax.distributed.initialize(
            coordinator_address=devices.hosts and devices.hosts[0],
            num_processes=devices.hosts and len(devices.hosts),
            process_id=devices.rank,
            heartbeat_timeout_seconds=_HEARTBEAT,
        )
    except TypeError:
        raise ImportError(
            f"Several machines need JAX 0.7 or newer. Received: {jax.__version__}"
        ) from None
    except ValueError as error:
        raise ValueError(
            "The machines must be named by `hosts`, or by Slurm, Open MPI or Kubernetes in their "
            f"environment variables. Received: neither ({error})"
        ) from None
    atexit.register(_end_without_the_others)
    if threading.current_thread() is threading.main_thread():
        # JAX has taken SIGTERM for itself, and would pass it over.
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))
    return keras.distribution.DataParallel(auto_shard_dataset=False)


def _end_without_the_others():
    """Ends a process that failed. JAX would first wait for the others, who wait for this one."""
    import jax

    if jax.distributed.is_initialized():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)


def is_first_machine(strategy: Any) -> bool:
    """Whether this process is the one that writes files, as all are without several machines."""
    return getattr(strategy, "data_shard_id", 0) == 0


def require_same_on_machines(strategy: Any, what: str) -> None:
    """Checks that the machines are about to do the same, and waits for all of them.

    Args:
        strategy: from `choose_strategy`.
        what: a text that must be equal on all.

    Raises:
        ValueError: if it is not.
    """
    if not isinstance(strategy, keras.distribution.DataParallel):
        return
    from jax.experimental import multihost_utils

    digest = np.frombuffer(hashlib.sha256(what.encode()).digest()[:4], "int32")
    digests = np.ravel(multihost_utils.process_allgather(digest))
    other = [i for i, x in enumerate(digests) if x != digests[0]]
    if other:
        raise ValueError(
            "The machines must have the same configuration, data, versions and checkpoint. "
            f"Received: others on the machines of rank {', '.join(map(str, other))} than on that "
            "of rank 0"
        )


@contextlib.contextmanager
def without_distribution():
    """Within, one of several machines may make variables by itself.

    `keras.Model.save` makes some, to look at them; to make one under `DataParallel` waits for all
    machines to do the same.
    """
    before = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(before)


@contextlib.contextmanager
def on_machines(strategy: Any):
    """Where several machines train; at its end they part. Without several it does nothing.

    Raises:
        ConnectionError: in the place of JAX's error when another machine is lost.
    """
    if not isinstance(strategy, keras.distribution.DataParallel):
        yield
        return
    import jax

    try:
        with strategy.scope():
            yield
        jax.distributed.shutdown()  # when all have come to it
    except (jax.errors.JaxRuntimeError, ValueError) as error:  # Gloo's is the second
        if "Gloo" not in str(error) and "NCCL" not in str(error):
            raise
        raise ConnectionError(
            "All machines must stay to the end; start all of them again with `resume`. Received: "
            f"{str(error).splitlines()[0][:300]}"
        ) from error
