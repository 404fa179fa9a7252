"""VGG: small kernels, one after another."""

from pathlib import Path
from typing import Any

import keras

from alexnet_keras.common import check_choice
from alexnet_keras.descendants.parts import (
    check_options,
    classifier,
    convolution,
    finished_model,
    network_input,
    pooled,
    scaled,
)

VGGS: dict[int, tuple[int, ...]] = {
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
"""Convolutions in each of the five blocks, by depth: configurations A, B, D and E."""


def VGG(  # noqa: N802 (named as in keras.applications)
    depth: int,
    include_top: bool = True,
    weights: str | Path | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int, int, int] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | None = "softmax",
    name: str | None = None,
    *,
    width: float = 1.0,
) -> keras.Model:
    """Builds VGG-11, 13, 16 or 19: 3 x 3 convolutions alone, and AlexNet's three dense layers.

    Reference: Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
    Recognition", ICLR 2015, table 1, configurations A, B, D and E.

    Layers are named as in `keras.applications.VGG16`, which has the same outputs for the same
    weights, but lacks the paper's dropout of 0.5 after the first two dense layers.

    Deviation from the paper: it starts from N(0, 0.01), too small for a deep network, and so copies
    the first layers from a shallower one that has been trained. Here the standard deviations are
    `sqrt(2 / fan_in)` (He et al. 2015), and as in `AlexNet(initialization="he")`, since pixels are
    not scaled to unit size, 0.01 in the first convolution, a quarter of He's in the first two
    dense layers and half of it in the last.

    Args:
        depth: layers with weights: 11, 13, 16 or 19.
        include_top: whether the three dense layers stand at the end.
        weights: `None` for random ones, or a path to a `.weights.h5` or `.keras` file.
        input_tensor: optional Keras tensor to build on; its shape must be that of an image.
        input_shape: `(height, width, 3)`, or `(3, height, width)` where Keras is set to
            `channels_first`; at least 64 pixels each way. Default 224 x 224.
        pooling: with `include_top=False`: `None` for the last maps, `"avg"` or `"max"` for their
            mean or maximum over the positions.
        classes: number of classes, with `include_top`.
        classifier_activation: activation of the last layer; `None` for logits.
        name: name of the model; `None` for `"vgg16"` and so on.
        width: factor of the number of maps and hidden units.

    Returns:
        A `keras.Model` from float images `(batch, height, width, 3)` to `(batch, classes)`.

    Raises:
        ValueError: for another depth or an unknown option, `classes` below 1, an input below 64
            pixels or without three channels, and for weights that do not fit.

    Example:

    >>> from alexnet_keras import VGG
    >>> VGG(16).count_params()
    138357544
    """
    depth = check_choice("depth", depth, VGGS)
    classes, width = check_options(pooling, classes, width)
    image = network_input(input_tensor, input_shape)

    def he(factor):
        scale = 2 * factor**2
        return keras.initializers.VarianceScaling(scale, distribution="untruncated_normal")

    def conv(x, maps, layer, start):
        maps = scaled(maps, width)
        return convolution(x, maps, 3, layer, activation="relu", kernel_initializer=start)

    def block(x, n, maps):
        for i in range(1, VGGS[depth][n - 1] + 1):
            first = n == i == 1
            start = keras.initializers.RandomNormal(0.0, 0.01) if first else he(1)
            x = conv(x, maps, f"block{n}_conv{i}", start)
        return keras.layers.MaxPooling2D(2, strides=2, name=f"block{n}_pool")(x)

    def dense(x, n):
        start = {"kernel_initializer": he(0.25)}
        units = scaled(4096, width)
        x = keras.layers.Dense(units, activation="relu", name=f"fc{n}", **start)(x)
        return keras.layers.Dropout(0.5, name=f"drop{n}")(x)

    # Shapes for 224 x 224 input and full width.
    x = block(image, 1, 64)  # 112 x 112 x 64
    x = block(x, 2, 128)  # 56 x 56 x 128
    x = block(x, 3, 256)  # 28 x 28 x 256
    x = block(x, 4, 512)  # 14 x 14 x 512
    x = block(x, 5, 512)  # 7 x 7 x 512

    if include_top:
        x = keras.layers.Flatten(name="flatten")(x)  # 25088
        x = dense(x, 1)  # 4096
        x = dense(x, 2)  # 4096
        x = classifier(x, classes, classifier_activation, "predictions", he(0.5))
    else:
        x = pooled(x, pooling)
    return finished_model(input_tensor, image, x, name or f"vgg{depth}", weights)
