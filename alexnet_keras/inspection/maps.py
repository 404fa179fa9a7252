"""What the first filters look like, and what layers give for a picture."""

from typing import Any

import keras
import numpy as np
from keras import ops


def first_filters(model: keras.Model) -> list[np.ndarray]:
    """The kernels of the first convolution, column by column.

    Args:
        model: a network whose first convolution sees the three colours. There are as many columns
            as its second convolution has groups: two in the paper's network.

    Returns:
        For each column float32 `(filters, height, width, 3)`.

    Raises:
        ValueError: if the first convolution does not see three channels, or there is none.

    Example:

    >>> from alexnet_keras import AlexNet
    >>> [a.shape for a in first_filters(AlexNet(include_top=False))]
    [(48, 11, 11, 3), (48, 11, 11, 3)]
    """
    convolutions = [a for a in model.layers if isinstance(a, keras.layers.Conv2D)]
    shape = tuple(convolutions[0].kernel.shape) if convolutions else None
    if shape is None or shape[2] != 3:
        raise ValueError(
            "The model's first convolution must see three channels. "
            f"Received: {'a kernel of ' + str(shape) if shape else 'no convolution'}"
        )
    kernels = np.moveaxis(ops.convert_to_numpy(convolutions[0].kernel), -1, 0)
    return np.split(kernels, convolutions[1].groups if len(convolutions) > 1 else 1)


def feature_maps(model: keras.Model, layer: str, image: np.ndarray) -> np.ndarray:
    """What a layer makes of a picture.

    Args:
        model: a functional model.
        layer: the name of any of its layers: `"conv1"` for what the convolution gives, `"relu1"`
            for what comes after.
        image: of the model's input shape.

    Returns:
        float32 `(height, width, channels)`, or `(units,)` of a dense layer.

    Raises:
        ValueError: if there is no such layer, or the picture has another shape.

    Example:

    >>> import numpy as np
    >>> from alexnet_keras import AlexNet
    >>> feature_maps(AlexNet(include_top=False), "relu1", np.zeros((227, 227, 3))).shape
    (55, 55, 96)
    """
    check_image(model, image)
    until = keras.Model(model.input, model.get_layer(layer).output)
    return as_numpy(until(np.asarray(image, "float32")[None], training=False))[0]


def as_numpy(tensor: Any) -> np.ndarray:
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))


def check_image(model: keras.Model, image: np.ndarray, name: str = "image") -> None:
    if np.shape(image) != model.input_shape[1:]:
        raise ValueError(
            f"`{name}` must be of the model's input shape, {model.input_shape[1:]}. "
            f"Received: {np.shape(image)}"
        )
