"""Training on several devices, each with the whole network: replicas, on one machine or on several.

On one machine TensorFlow's `MirroredStrategy` makes them. On several it is JAX, with
`keras.distribution.DataParallel`: Keras's own `fit` then runs as it is, with the same callbacks and
checkpoints, where with TensorFlow's `MultiWorkerMirroredStrategy` it fails (Keras issue 20585), and
a loop of one's own would have to take its place.
"""

import contextlib
from typing import Any

import keras
import tensorflow as tf

from alexnet_keras.common import check_integer
from alexnet_keras.configuration import Devices
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
    >>> split_cpu(2)
    ['/device:CPU:0', '/device:CPU:1']
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


def choose_strategy(devices: Devices) -> Any:
    """The strategy to train with.

    Args:
        devices: which ones.

    Returns:
        A `tf.distribute.MirroredStrategy`, a `keras.distribution.DataParallel` (see
        `join_machines`), or `None` for one device.

    Raises:
        ValueError: for another backend than the strategy needs, or more replicas than GPUs.
        RuntimeError: if the CPU is to be split and TensorFlow has started, or the machines do not
            find each other.

    Example:

    >>> from alexnet_keras import Devices
    >>> choose_strategy(Devices("none")) is None
    True
    """
    strategy, replicas = devices.strategy, devices.replicas
    if devices.several_machines:
        return join_machines(devices)
    if keras.backend.backend() != "tensorflow":
        if strategy == "mirrored" or (replicas or 1) > 1:
            raise ValueError(
                "Replicas need Keras's TensorFlow backend (KERAS_BACKEND=tensorflow). "
                f"Received: {keras.backend.backend()!r}"
            )
        return None
    gpus = len(tf.config.list_physical_devices("GPU"))
    one = replicas == 1 or (replicas is None and gpus < 2)
    if strategy == "none" or (strategy == "auto" and one):
        return None
    if gpus:
        if (replicas or 1) > gpus:
            raise ValueError(
                f"`replicas` must be at most the number of GPUs, {gpus}. Received: {replicas}"
            )
        names = [f"GPU:{i}" for i in range(replicas or gpus)]
    else:
        if replicas is not None:
            split_cpu(replicas)
        names = [f"CPU:{i}" for i in range(len(tf.config.list_logical_devices("CPU")))]
    # NCCL's sums are suspected of the NaN losses on several GPUs since TensorFlow 2.16 (its issue
    # 90686, open).
    return tf.distribute.MirroredStrategy(names, tf.distribute.ReductionToOneDevice())


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
