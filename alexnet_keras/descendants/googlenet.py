"""GoogLeNet: kernels of several sizes side by side."""

from pathlib import Path
from typing import Any

import keras

from alexnet_keras.alexnet import channel_axis
from alexnet_keras.descendants.parts import (
    check_options,
    classifier,
    convolution,
    finished_model,
    network_input,
    pooled,
    scaled,
    sides,
)
from alexnet_keras.layers import LocalResponseNormalization

INCEPTIONS: dict[str, tuple[int, ...]] = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
"""Maps of each inception module: 1 x 1; 3 x 3 reduced and 3 x 3; 5 x 5 reduced and 5 x 5; pool."""


def GoogLeNet(  # noqa: N802
    include_top: bool = True,
    weights: str | Path | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int, int, int] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | None = "softmax",
    name: str = "googlenet",
    *,
    auxiliary: bool = False,
    width: float = 1.0,
) -> keras.Model:
    """Builds GoogLeNet: nine inception modules, and a mean over the positions for AlexNet's fc6.

    Reference: Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, table 1; what the paper
    leaves open (response normalization, padding, pools whose size is rounded up, the first weights)
    is that of Caffe's `models/bvlc_googlenet`. There is no batch normalization.

    At 224 x 224 it has 1.58 billion multiply-adds. The paper speaks of 1.5, and the rows of its
    table add up to that, because the first has 34 million: those of a 7 x 1 and a 1 x 7
    convolution. The 7 x 7 convolution that it names, and that Caffe has, takes 118 million.

    Deviations: the mean before the classifier is over the whole map, which is Caffe's 7 x 7 window
    at 224 x 224. The 5 x 5 windows of the auxiliary pools are no larger than the map (images below
    79 pixels), and drop what is left over where Caffe rounds up: the same at 224 x 224.

    Args:
        include_top: whether the classifier stands at the end.
        weights, input_tensor, input_shape, pooling, classes, classifier_activation, width: as in
            `VGG`.
        name: name of the model.
        auxiliary: whether the two auxiliary classifiers, for training, come with it. The loss is
            then `predictions + 0.3 aux1 + 0.3 aux2`.

    Returns:
        A `keras.Model` from float images `(batch, height, width, 3)` to `(batch, classes)`; with
        `auxiliary` to a list of three such outputs, of the layers predictions, aux1 and aux2.

    Raises:
        ValueError: as `VGG`, and for `auxiliary` without `include_top`.

    Example:

    >>> from alexnet_keras import GoogLeNet
    >>> GoogLeNet().count_params()
    6998552
    """
    classes, width = check_options(pooling, classes, width)
    if auxiliary and not include_top:
        raise ValueError(
            "`auxiliary` classifiers need `include_top`. "
            f"Received: auxiliary={auxiliary!r} and include_top={include_top!r}"
        )
    image = network_input(input_tensor, input_shape)

    # Caffe's "xavier", uniform by the fan-in alone
    start = {
        "activation": "relu",
        "kernel_initializer": "lecun_uniform",
        "bias_initializer": keras.initializers.Constant(0.2),
    }

    def conv(x, maps, kernel, layer, strides=1):
        return convolution(x, scaled(maps, width), kernel, layer, strides, **start)

    def norm(x, layer):  # Caffe's alpha, 1e-4, is divided by the size of the window
        return LocalResponseNormalization(k=1.0, divide_alpha_by_size=True, name=layer)(x)

    def pool(x, layer):
        # The size is rounded up: the last window of an even map reaches over its edge.
        pads = [(0, (side - 3) % 2) for side in sides(x)]
        if any(map(any, pads)):
            x = keras.layers.ZeroPadding2D(pads, name=f"{layer}_pad")(x)
        return keras.layers.MaxPooling2D(3, strides=2, name=layer)(x)

    def inception(x, module):
        n1, reduce3, n3, reduce5, n5, after_pool = INCEPTIONS[module]
        layer = f"inception_{module}"
        a = conv(x, n1, 1, f"{layer}_1x1")
        b = conv(conv(x, reduce3, 1, f"{layer}_3x3_reduce"), n3, 3, f"{layer}_3x3")
        c = conv(conv(x, reduce5, 1, f"{layer}_5x5_reduce"), n5, 5, f"{layer}_5x5")
        d = keras.layers.MaxPooling2D(3, strides=1, padding="same", name=f"{layer}_pool")(x)
        d = conv(d, after_pool, 1, f"{layer}_pool_proj")
        return keras.layers.Concatenate(axis=channel_axis(), name=layer)([a, b, c, d])

    def head(x, layer):
        window = [min(5, side) for side in sides(x)]
        x = keras.layers.AveragePooling2D(window, strides=3, name=f"{layer}_pool")(x)  # 4 x 4
        x = conv(x, 128, 1, f"{layer}_conv")  # 4 x 4 x 128
        x = keras.layers.Flatten(name=f"{layer}_flatten")(x)
        x = keras.layers.Dense(scaled(1024, width), name=f"{layer}_fc", **start)(x)
        x = keras.layers.Dropout(0.7, name=f"{layer}_drop")(x)
        return classifier(x, classes, classifier_activation, layer, "lecun_uniform")

    # Shapes for 224 x 224 input and full width.
    x = conv(image, 64, 7, "conv1", strides=2)  # 112 x 112 x 64
    x = norm(pool(x, "pool1"), "norm1")  # 56 x 56 x 64
    x = conv(x, 64, 1, "conv2_reduce")
    x = conv(x, 192, 3, "conv2")  # 56 x 56 x 192
    x = pool(norm(x, "norm2"), "pool2")  # 28 x 28 x 192
    x = inception(x, "3a")  # 28 x 28 x 256
    x = inception(x, "3b")  # 28 x 28 x 480
    x = pool(x, "pool3")  # 14 x 14 x 480
    x = maps_4a = inception(x, "4a")  # 14 x 14 x 512
    x = inception(x, "4b")
    x = inception(x, "4c")
    x = maps_4d = inception(x, "4d")  # 14 x 14 x 528
    x = inception(x, "4e")  # 14 x 14 x 832
    x = pool(x, "pool4")  # 7 x 7 x 832
    x = inception(x, "5a")
    x = inception(x, "5b")  # 7 x 7 x 1024

    if include_top:
        x = keras.layers.Dropout(0.4, name="drop")(pooled(x, "avg"))  # 1024
        x = classifier(x, classes, classifier_activation, "predictions", "lecun_uniform")
        if auxiliary:
            x = [x, head(maps_4a, "aux1"), head(maps_4d, "aux2")]
    else:
        x = pooled(x, pooling)
    return finished_model(input_tensor, image, x, name, weights)
