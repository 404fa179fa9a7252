"""Training on several devices, each with the whole network: replicas, on one machine or on several.

On one machine TensorFlow's `MirroredStrategy` makes them. On several it is JAX, with
`keras.distribution.DataParallel`: Keras's own `fit` then runs as it is, with the same callbacks and
checkpoints, where with TensorFlow's `MultiWorkerMirroredStrategy` it fails (Keras issue 20585), and
a loop of one's own would have to take its place.
"""

import contextlib
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from alexnet_keras.common import check_choice, check_integer
from alexnet_keras.configuration import STRATEGIES
from alexnet_keras.devices.machines import join_machines
from alexnet_keras.pictures import Share


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
    count = check_integer("count", count, minimum=1)
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
    check_choice("strategy", name, STRATEGIES)
    if replicas is not None:
        replicas = check_integer("replicas", replicas, minimum=1)
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
