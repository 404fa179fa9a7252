"""Pictures that cross to the device as bytes, and become the network's input there."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from alexnet_keras.pictures import colored


def take_bytes(model: keras.Model, subtracted: np.ndarray) -> None:
    """Lets the training steps of a compiled model take the batches of `byte_batches`.

    What else it does, and what it is saved as, is not changed: its input is still pictures less
    the mean. To be called before the first `fit`.

    Args:
        model: compiled for one output of classes.
        subtracted: float32 `(3,)` or `(height, width, 3)`, from `ColorStatistics.subtracted`.

    Example:

    >>> import keras, numpy as np
    >>> model = keras.Sequential([keras.Input((2, 2, 3)), keras.layers.GlobalAveragePooling2D()])
    >>> model.compile("sgd", "mse")
    >>> take_bytes(model, np.zeros(3, "float32"))
    """
    step = model.train_step

    def train_step(*arguments):
        *state, data = arguments  # JAX has a state
        (images, offsets), *others = data
        images = keras.ops.cast(images, "float32")
        images = colored(images, offsets, keras.ops.convert_to_tensor(subtracted))
        return step(*state, (images, *others))

    model.train_step = train_step
    # Else Keras would build the loss with a batch of bytes.
    shape = (1, *model.output_shape[1:])
    model.compute_loss(None, np.zeros(1, "int64"), np.ones(shape, "float32"))


def to_device(batches: tf.data.Dataset, strategy: Any) -> tf.data.Dataset:
    """Copies batches ahead to the one GPU that TensorFlow trains on; leaves others as they are.

    Strategies of several devices do the same by themselves, and Keras for JAX.

    Example:

    >>> import tensorflow as tf
    >>> to_device(tf.data.Dataset.range(2), None).element_spec
    TensorSpec(shape=(), dtype=tf.int64, name=None)
    """
    if keras.backend.backend() != "tensorflow" or strategy is not None:
        return batches
    gpus = tf.config.list_logical_devices("GPU")
    if not gpus:
        return batches
    return batches.apply(tf.data.experimental.prefetch_to_device(gpus[0].name))
