"""Training on several devices, each with the whole network: replicas, on one machine or on several.

On one machine TensorFlow's `MirroredStrategy` makes them. On several it is JAX, with
`keras.distribution.DataParallel`: Keras's own `fit` then runs as it is, with the same callbacks and
checkpoints, where with TensorFlow's `MultiWorkerMirroredStrategy` it fails (Keras issue 20585), and
a loop of one's own would have to take its place.
"""

import atexit
import contextlib
import hashlib
import os
import re
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from alexnet_keras.augmentation import Share
from alexnet_keras.configuration import STRATEGIES


def split_cpu(count: int) -> list[str]:
    """Makes several logical devices of the CPU, to try on one machine what runs on many.

    They share the same cores. TensorFlow must not have started: call this before anything that
    makes a tensor, a model or a dataset.

    Args:
        count: how many, at least 1.

    Returns:
        Their names.

    Raises:
        ValueError: if `count` is no integer of at least 1.
        RuntimeError: if TensorFlow has started with another number.

    Example:

    >>> from alexnet_keras import split_cpu
    >>> split_cpu(1)
    ['/device:CPU:0']
    """
    if not isinstance(count, (int, np.integer)) or isinstance(count, bool) or count < 1:
        raise ValueError(f"`count` must be an integer of at least 1. Received: count={count!r}")
    cpu = tf.config.list_physical_devices("CPU")[0]
    try:
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration() for _ in range(count)]
        )
    except RuntimeError:  # it has started
        pass
    names = [device.name for device in tf.config.list_logical_devices("CPU")]
    if len(names) != count:
        raise RuntimeError(
            f"The CPU must be split into {count} before TensorFlow starts; call `split_cpu` first "
            f"in a new process (in a notebook: restart the kernel). Received: {len(names)} logical "
            "CPUs, already in use"
        )
    return names


def choose_strategy(
    name: str = "auto",
    replicas: int | None = None,
    hosts: Sequence[str] | None = None,
    rank: int | None = None,
) -> Any:
    """The strategy to train with.

    Args:
        name: `"none"` for one device; `"mirrored"` for a replica on each GPU, or on logical CPUs
            where there is no GPU; `"auto"` for the second where there are several GPUs;
            `"machines"` for a replica on each device of several machines, see `join_machines`.
        replicas: how many; `None` for all the GPUs, or the logical CPUs that there are. On a
            machine without a GPU the CPU is split (`split_cpu`).
        hosts, rank: of the machines; with `hosts`, `"auto"` is `"machines"`.

    Returns:
        A `tf.distribute.MirroredStrategy`, a `keras.distribution.DataParallel`, or `None` for one
        device.

    Raises:
        ValueError: for an unknown name, another backend than the strategy needs, more replicas
            than GPUs, or hosts that are not a list of machines.
        RuntimeError: if the CPU is to be split and TensorFlow has started, or the machines do not
            find each other.

    Example:

    >>> choose_strategy("none") is None
    True
    """
    if name not in STRATEGIES:
        raise ValueError(f"`strategy` must be one of {STRATEGIES}. Received: {name!r}")
    if replicas is not None and (not isinstance(replicas, int) or replicas < 1):
        raise ValueError(f"`replicas` must be an integer of at least 1. Received: {replicas!r}")
    if name == "machines" or hosts is not None or rank is not None:
        if name not in ("auto", "machines") or replicas is not None:
            raise ValueError(
                "On several machines, where each device is a replica, `strategy` must be "
                "'machines' and `replicas` be left out. "
                f"Received: hosts={hosts}, rank={rank}, {name!r} and replicas={replicas}"
            )
        return join_machines(hosts, rank)
    if keras.backend.backend() != "tensorflow":
        if name == "mirrored" or (replicas or 1) > 1:
            raise ValueError(
                "Replicas need Keras's TensorFlow backend (KERAS_BACKEND=tensorflow). "
                f"Received: {keras.backend.backend()!r}"
            )
        return None
    if name == "none" and (replicas or 1) > 1:
        raise ValueError(f"`replicas` must be 1 with strategy 'none'. Received: {replicas}")
    gpus = len(tf.config.list_physical_devices("GPU"))
    one = replicas == 1 or (replicas is None and gpus < 2)
    if name == "none" or (name == "auto" and one):
        return None
    if gpus:
        if (replicas or 1) > gpus:
            raise ValueError(
                f"`replicas` must be at most the number of GPUs, {gpus}. Received: {replicas}"
            )
        devices = [f"GPU:{i}" for i in range(replicas or gpus)]
    else:
        if replicas is not None:
            split_cpu(replicas)
        devices = [f"CPU:{i}" for i in range(len(tf.config.list_logical_devices("CPU")))]
    # NCCL's sums are suspected of the NaN losses on several GPUs since TensorFlow 2.16 (its issue
    # 90686, open).
    return tf.distribute.MirroredStrategy(devices, tf.distribute.ReductionToOneDevice())


def scope(strategy: Any) -> contextlib.AbstractContextManager:
    """Where a network for the strategy must be built and compiled."""
    return contextlib.nullcontext() if strategy is None else strategy.scope()


def replica_count(strategy: Any) -> int:
    """1 without a strategy."""
    if isinstance(strategy, keras.distribution.DataParallel):
        return strategy.num_model_replicas
    return 1 if strategy is None else strategy.num_replicas_in_sync


def share_of(strategy: Any) -> Share | None:
    """What this process takes of every batch; `None`, which is all, with one replica."""
    replicas = replica_count(strategy)
    if replicas == 1:
        return None
    if isinstance(strategy, keras.distribution.DataParallel):
        return Share(replicas, strategy.num_processes, strategy.data_shard_id)
    return Share(replicas)


_HEARTBEAT = 30  # seconds without a sign of life after which a machine is given up


def join_machines(hosts: Sequence[str] | None, rank: int | None) -> keras.distribution.DataParallel:
    """Makes this process one of several that train one network, each on a share of every batch.

    It waits until all have come. From then on all must make the same calls, as what one computes
    waits for the others, until they part at the end of `on_machines`. When one is lost, the others
    end within half a minute: a sum fails (see `on_machines`), or JAX's own watch ends the process
    with its message. A process can join once.

    Args:
        hosts: the machines, the same list on each; the first as `"name:port"`, with a free port
            that the others reach. `None` for what Slurm, Open MPI or Kubernetes say in their
            environment variables, for `rank` too.
        rank: this one's place in the list, from 0.

    Returns:
        The distribution, over all devices of all machines.

    Raises:
        ValueError: if they are not such a list and place, or Keras's backend is not JAX.
        ImportError: if JAX is older than 0.7, which cannot be told how long to wait for a machine.
        RuntimeError: if the machines do not find each other in five minutes, or JAX or TensorFlow
            has begun to compute before.
    """
    if hosts is None:
        if rank is not None:
            raise ValueError(f"`rank` must come with `hosts`. Received: rank={rank!r} alone")
    elif len(hosts) < 2 or not all(hosts) or not re.fullmatch(r".+:\d+", hosts[0]):
        raise ValueError(
            f"`hosts` must be at least two machines, the first as name:port. Received: {hosts!r}"
        )
    elif not isinstance(rank, int) or not 0 <= rank < len(hosts):
        raise ValueError(
            f"`rank` must be an integer from 0 to {len(hosts) - 1}, this machine's place in "
            f"`hosts`. Received: {rank!r}"
        )
    if keras.backend.backend() != "jax":
        raise ValueError(
            "Several machines need Keras's JAX backend (KERAS_BACKEND=jax). "
            f"Received: {keras.backend.backend()!r}"
        )
    import jax

    tf.config.set_visible_devices([], "GPU")  # their memory is for JAX
    try:
        jax.distributed.initialize(
            coordinator_address=hosts and hosts[0],
            num_processes=hosts and len(hosts),
            process_id=rank,
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
def alone():
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
            "All machines must stay to the end; start all of them again with --resume. Received: "
            f"{str(error).splitlines()[0][:300]}"
        ) from error


def use_deterministic_operations() -> None:
    """Restricts the backend to operations that give the same bits each time.

    Raises:
        ValueError: on JAX, where an environment variable set before the start does it.
    """
    if keras.backend.backend() == "tensorflow":
        tf.config.experimental.enable_op_determinism()
    elif keras.backend.backend() == "torch":
        import torch

        torch.use_deterministic_algorithms(True)
    else:
        raise ValueError(
            "`deterministic` must be False on JAX, where the environment variable "
            "XLA_FLAGS=--xla_gpu_deterministic_ops=true does it. Received: True"
        )


class _OfRealPictures:
    """A mean over the pictures whose weight is not zero, whatever it is (see `Share`)."""

    def update_state(self, y_true, y_pred, sample_weight=None):
        if sample_weight is not None:
            sample_weight = keras.ops.cast(keras.ops.greater(sample_weight, 0), "float32")
        return super().update_state(y_true, y_pred, sample_weight)


@keras.saving.register_keras_serializable("alexnet_keras")
class Loss(_OfRealPictures, keras.metrics.SparseCategoricalCrossentropy):
    """Cross-entropy in nats. (Keras's own mean would count the pictures that fill a batch.)"""


@keras.saving.register_keras_serializable("alexnet_keras")
class Top1(_OfRealPictures, keras.metrics.SparseCategoricalAccuracy):
    """Share of the pictures whose most probable class is right."""


@keras.saving.register_keras_serializable("alexnet_keras")
class Top5(_OfRealPictures, keras.metrics.SparseTopKCategoricalAccuracy):
    """Share of the pictures whose class is among the `k` most probable."""
