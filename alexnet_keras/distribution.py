"""Training on several devices of one machine, each with the whole network: replicas."""

import contextlib
from typing import Any

import keras
import numpy as np
import tensorflow as tf

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


def choose_strategy(name: str = "auto", replicas: int | None = None) -> Any:
    """The strategy to train with.

    Args:
        name: `"none"` for one device; `"mirrored"` for a replica on each GPU, or on logical CPUs
            where there is no GPU; `"auto"` for the second where there are several GPUs.
        replicas: how many; `None` for all the GPUs, or the logical CPUs that there are. On a
            machine without a GPU the CPU is split (`split_cpu`).

    Returns:
        A `tf.distribute.MirroredStrategy`, or `None` for one device.

    Raises:
        ValueError: for an unknown name, another backend than TensorFlow, or more replicas than
            GPUs.
        RuntimeError: if the CPU is to be split and TensorFlow has started.

    Example:

    >>> choose_strategy("none") is None
    True
    """
    if name not in STRATEGIES:
        raise ValueError(f"`strategy` must be one of {STRATEGIES}. Received: {name!r}")
    if replicas is not None and (not isinstance(replicas, int) or replicas < 1):
        raise ValueError(f"`replicas` must be an integer of at least 1. Received: {replicas!r}")
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
    return 1 if strategy is None else strategy.num_replicas_in_sync


def for_replicas(batches: tf.data.Dataset, replicas: int) -> tf.data.Dataset:
    """Fills every batch up to a multiple of the replicas, and weights its pictures.

    `MirroredStrategy` cuts a batch into equal shares, takes the mean of the loss in each, and the
    mean of those. The last batch of an epoch need not have equal shares, or one for every replica
    (TensorFlow issue 61231: its loss is then NaN). Filled up with pictures of weight zero, and the
    others weighted by filled / real, the sum over all shares is the mean over the real pictures.

    Args:
        batches: of `(images, labels)`.
        replicas: their number.

    Returns:
        Batches of `(images, labels, weights)`, the weights float32 of shape `(batch,)`; for one
        replica the batches as they are.

    Example:

    >>> import tensorflow as tf
    >>> pictures = tf.zeros((3, 8, 8, 3)), tf.zeros(3, tf.int64)
    >>> batches = tf.data.Dataset.from_tensor_slices(pictures).batch(32)
    >>> [weights.numpy().round(2).tolist() for _, _, weights in for_replicas(batches, 2)]
    [[1.33, 1.33, 1.33, 0.0]]
    """
    if replicas == 1:
        return batches

    def filled(images, labels):
        real = tf.shape(labels)[0]
        missing = -real % replicas
        weight = tf.cast(real + missing, tf.float32) / tf.cast(real, tf.float32)
        more = tf.concat([[missing], tf.zeros((tf.rank(images) - 1,), tf.int32)], axis=0)
        before = tf.zeros_like(more)
        return (
            tf.ensure_shape(tf.pad(images, tf.stack([before, more], axis=1)), images.shape),
            tf.pad(labels, [[0, missing]]),
            tf.pad(tf.fill([real], weight), [[0, missing]]),
        )

    return batches.map(filled, num_parallel_calls=1).prefetch(1)


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
    """A mean over the pictures whose weight is not zero, whatever it is (see `for_replicas`)."""

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
