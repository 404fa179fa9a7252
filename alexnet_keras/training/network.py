"""The network of a configuration."""

from typing import Any

import keras
import tensorflow as tf

from alexnet_keras import descendants
from alexnet_keras.alexnet import AlexNet
from alexnet_keras.configuration import DESCENDANTS, PRECISIONS, TrainingConfig
from alexnet_keras.devices import replica_count


def build_model(config: TrainingConfig, classes: int) -> keras.Model:
    """The network of a configuration, with the initial weights that belong to its seed.

    Example:

    >>> build_model(TrainingConfig(image_size=64, width=0.05), classes=10).output_shape
    (None, 10)
    """
    keras.utils.set_random_seed(config.seed)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(PRECISIONS[config.precision])
    shape = (config.image_size, config.image_size, 3)
    try:
        if config.variant in DESCENDANTS:
            function, arguments = DESCENDANTS[config.variant]
            build = getattr(descendants, function)
            return build(**arguments, input_shape=shape, classes=classes, width=config.width)
        return AlexNet(
            input_shape=shape,
            classes=classes,
            variant=config.variant,
            width=config.width,
            activation=config.activation,
            normalization=config.normalization,
            overlapping=config.overlapping,
            dropout=config.dropout,
            columns=config.columns,
            initialization=config.initialization,
        )
    finally:
        keras.config.set_dtype_policy(before)


def jit_compile(config: TrainingConfig, strategy: Any = None) -> bool | str:
    """What `keras.Model.compile` should be told of the name.

    XLA fuses what is memory-bound on a GPU. On a CPU its convolutions are slower than TensorFlow's
    own, except in float16, which TensorFlow has no fast code for.

    Args:
        config: of a run; with `deterministic` Keras leaves XLA out.
        strategy: `None` for one device.

    Raises:
        ValueError: if the configuration asks for XLA on several replicas of TensorFlow.

    Example:

    >>> jit_compile(TrainingConfig(jit_compile=True))
    True
    """
    backend = keras.backend.backend()
    # Keras compiles the step of all replicas as one, sums between them included: a
    # MirroredStrategy of one runs, of two it fails in any precision (Keras issue 21366).
    several = backend == "tensorflow" and replica_count(strategy) > 1
    if config.jit_compile and several:
        raise ValueError(
            "`jit_compile` must not be True on several replicas of TensorFlow, which XLA does not "
            f"compile. Received: True with {replica_count(strategy)} replicas"
        )
    if config.jit_compile is not None:
        return config.jit_compile
    if backend == "jax":
        return "auto"
    if backend != "tensorflow" or several or config.deterministic:
        return False
    return config.precision == "float16" or bool(tf.config.list_physical_devices("GPU"))
