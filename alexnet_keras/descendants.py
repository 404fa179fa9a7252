"""The networks that came after AlexNet: VGG, GoogLeNet and the residual networks.

All take pixels as `preprocess_input` leaves them: RGB, 0 to 255 less the mean colour. Strided
convolutions are padded alike on both sides, as in Caffe and PyTorch; Keras's "same" pads even maps
at the bottom and right only.
"""

import math
import numbers
from pathlib import Path
from typing import Any

import keras
import numpy as np

from alexnet_keras.layers import LocalResponseNormalization
from alexnet_keras.model import _axis, _full_precision, _image_input

VGGS: dict[int, tuple[int, ...]] = {
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
"""Convolutions in each of the five blocks, by depth: configurations A, B, D and E."""

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

RESNETS: dict[int, tuple[str, tuple[int, ...]]] = {
    18: ("basic", (2, 2, 2, 2)),
    34: ("basic", (3, 4, 6, 3)),
    50: ("bottleneck", (3, 4, 6, 3)),
    101: ("bottleneck", (3, 4, 23, 3)),
    152: ("bottleneck", (3, 8, 36, 3)),
    200: ("preactivation", (3, 24, 36, 3)),
}
"""Kind of block, and blocks in each of the four stages conv2 to conv5, by depth."""


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
    _check_depth(depth, VGGS)
    _check_options(pooling, classes, width)
    image = _image(input_tensor, input_shape)

    def he(factor):
        scale = 2 * factor**2
        return keras.initializers.VarianceScaling(scale, distribution="untruncated_normal")

    def conv(x, maps, layer, start):
        maps = _scaled(maps, width)
        return _conv(x, maps, 3, layer, activation="relu", kernel_initializer=start)

    def block(x, n, maps):
        for i in range(1, VGGS[depth][n - 1] + 1):
            first = n == i == 1
            start = keras.initializers.RandomNormal(0.0, 0.01) if first else he(1)
            x = conv(x, maps, f"block{n}_conv{i}", start)
        return keras.layers.MaxPooling2D(2, strides=2, name=f"block{n}_pool")(x)

    def dense(x, n):
        start = {"kernel_initializer": he(0.25)}
        units = _scaled(4096, width)
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
        x = _classifier(x, classes, classifier_activation, "predictions", he(0.5))
    else:
        x = _pooled(x, pooling)
    return _model(input_tensor, image, x, name or f"vgg{depth}", weights)


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
    _check_options(pooling, classes, width)
    if auxiliary and not include_top:
        raise ValueError(
            "`auxiliary` classifiers need `include_top`. "
            f"Received: auxiliary={auxiliary!r} and include_top={include_top!r}"
        )
    image = _image(input_tensor, input_shape)

    # Caffe's "xavier", uniform by the fan-in alone
    start = {
        "activation": "relu",
        "kernel_initializer": "lecun_uniform",
        "bias_initializer": keras.initializers.Constant(0.2),
    }

    def conv(x, maps, kernel, layer, strides=1):
        return _conv(x, _scaled(maps, width), kernel, layer, strides, **start)

    def norm(x, layer):  # Caffe's alpha, 1e-4, is divided by the size of the window
        return LocalResponseNormalization(k=1.0, divide_alpha_by_size=True, name=layer)(x)

    def pool(x, layer):
        # The size is rounded up: the last window of an even map reaches over its edge.
        pads = [(0, (side - 3) % 2) for side in _sides(x)]
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
        return keras.layers.Concatenate(axis=_axis(), name=layer)([a, b, c, d])

    def head(x, layer):
        window = [min(5, side) for side in _sides(x)]
        x = keras.layers.AveragePooling2D(window, strides=3, name=f"{layer}_pool")(x)  # 4 x 4
        x = conv(x, 128, 1, f"{layer}_conv")  # 4 x 4 x 128
        x = keras.layers.Flatten(name=f"{layer}_flatten")(x)
        x = keras.layers.Dense(_scaled(1024, width), name=f"{layer}_fc", **start)(x)
        x = keras.layers.Dropout(0.7, name=f"{layer}_drop")(x)
        return _classifier(x, classes, classifier_activation, layer, "lecun_uniform")

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
        x = keras.layers.Dropout(0.4, name="drop")(_pooled(x, "avg"))  # 1024
        x = _classifier(x, classes, classifier_activation, "predictions", "lecun_uniform")
        if auxiliary:
            x = [x, head(maps_4a, "aux1"), head(maps_4d, "aux2")]
    else:
        x = _pooled(x, pooling)
    return _model(input_tensor, image, x, name, weights)


def ResNet(  # noqa: N802
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
    shortcuts: bool = True,
) -> keras.Model:
    """Builds ResNet-18, 34, 50, 101, 152 or 200: blocks that add to what they are given.

    References: He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", CVPR 2016,
    table 1, for 18 to 152, with a batch normalization after every convolution and a ReLU after
    every addition; the same, "Identity Mappings in Deep Residual Networks", ECCV 2016, for 200,
    where both stand before every convolution and nothing after the addition.

    Where the number of maps grows, a 1 x 1 convolution is on the shortcut (option B), elsewhere
    nothing. Convolutions have no biases; weights start from He's normal distribution. In a
    bottleneck, the first 1 x 1 convolution has the stride, as in the first paper and in the code of
    the second; torchvision and fb.resnet.torch have it in the 3 x 3 convolution.

    Layers are named as in `keras.applications.ResNet50`, which has the same outputs for the same
    weights (its biases zero). Neither paper says all: batch normalization has epsilon 1e-5 and a
    momentum of 0.9, as in fb.resnet.torch (1.001e-5 and 0.99 in `keras.applications`), and pool1 is
    padded by 1 on every side, as there; the authors' Caffe files round its size up instead, which
    gives as many windows, one pixel further on. The projections of ResNet-200 take the activated
    maps and are not normalized, as in the authors' `resnet-1k-layers`.

    Args:
        depth: layers with weights, projections not counted: 18, 34, 50, 101, 152 or 200.
        include_top: whether the classifier stands at the end.
        weights, input_tensor, input_shape, pooling, classes, classifier_activation: as in `VGG`.
        name: name of the model; `None` for `"resnet18"` and so on, `"plain18"` without shortcuts.
        width: factor of the number of maps.
        shortcuts: whether the blocks add what they are given; without, the plain networks that the
            first paper compares with (figure 3, table 2).

    Returns:
        A `keras.Model` from float images `(batch, height, width, 3)` to `(batch, classes)`.

    Raises:
        ValueError: as `VGG`.

    Example:

    >>> import math
    >>> from alexnet_keras import ResNet, layer_costs
    >>> model = ResNet(18)
    >>> sum(math.prod(weight.shape) for weight in model.trainable_weights)
    11689512
    >>> sum(cost.multiply_adds for cost in layer_costs(model))
    1814073344
    """
    _check_depth(depth, RESNETS)
    _check_options(pooling, classes, width)
    kind, blocks = RESNETS[depth]
    image = _image(input_tensor, input_shape)

    def conv(x, maps, kernel, layer, strides=1):
        start = {"use_bias": False, "kernel_initializer": "he_normal"}
        return _conv(x, maps, kernel, f"{layer}_conv", strides, **start)

    def norm(x, layer):
        settings = {"axis": _axis(), "momentum": 0.9, "epsilon": 1e-5}
        return keras.layers.BatchNormalization(name=f"{layer}_bn", **settings)(x)

    def relu(x, layer):
        return keras.layers.Activation("relu", name=layer)(x)

    def changes(x, maps, strides):
        return shortcuts and (strides > 1 or x.shape[_axis()] != maps)

    def add(x, y, layer):
        return keras.layers.Add(name=layer)([x, y]) if shortcuts else y

    def basic(x, maps, strides, block):
        y = relu(norm(conv(x, maps, 3, f"{block}_1", strides), f"{block}_1"), f"{block}_1_relu")
        y = norm(conv(y, maps, 3, f"{block}_2"), f"{block}_2")
        if changes(x, maps, strides):
            x = norm(conv(x, maps, 1, f"{block}_0", strides), f"{block}_0")
        return relu(add(x, y, f"{block}_add"), f"{block}_out")

    def bottleneck(x, maps, strides, block):
        y = relu(norm(conv(x, maps, 1, f"{block}_1", strides), f"{block}_1"), f"{block}_1_relu")
        y = relu(norm(conv(y, maps, 3, f"{block}_2"), f"{block}_2"), f"{block}_2_relu")
        y = norm(conv(y, 4 * maps, 1, f"{block}_3"), f"{block}_3")
        if changes(x, 4 * maps, strides):
            x = norm(conv(x, 4 * maps, 1, f"{block}_0", strides), f"{block}_0")
        return relu(add(x, y, f"{block}_add"), f"{block}_out")

    def preactivation(x, maps, strides, block):
        y = x
        if block != "conv2_block1":  # there the activation of conv1 has just been
            y = relu(norm(x, f"{block}_preact"), f"{block}_preact_relu")
        if changes(x, 4 * maps, strides):
            x = conv(y, 4 * maps, 1, f"{block}_0", strides)
        y = relu(norm(conv(y, maps, 1, f"{block}_1", strides), f"{block}_1"), f"{block}_1_relu")
        y = relu(norm(conv(y, maps, 3, f"{block}_2"), f"{block}_2"), f"{block}_2_relu")
        y = conv(y, 4 * maps, 1, f"{block}_3")
        return add(x, y, f"{block}_out")

    residual = {"basic": basic, "bottleneck": bottleneck, "preactivation": preactivation}[kind]

    def stage(x, n, maps):
        for i in range(1, blocks[n - 2] + 1):
            strides = 2 if i == 1 and n > 2 else 1
            x = residual(x, _scaled(maps, width), strides, f"conv{n}_block{i}")
        return x

    # Shapes for 224 x 224 input, full width and basic blocks; the others give 4 times the maps.
    x = conv(image, _scaled(64, width), 7, "conv1", strides=2)
    x = relu(norm(x, "conv1"), "conv1_relu")  # 112 x 112 x 64
    x = keras.layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = keras.layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)  # 56 x 56 x 64
    x = stage(x, 2, 64)  # 56 x 56 x 64
    x = stage(x, 3, 128)  # 28 x 28 x 128
    x = stage(x, 4, 256)  # 14 x 14 x 256
    x = stage(x, 5, 512)  # 7 x 7 x 512
    if kind == "preactivation":
        x = relu(norm(x, "post"), "post_relu")
    if include_top:
        x = _pooled(x, "avg")  # 512
        x = _classifier(x, classes, classifier_activation, "predictions", "he_normal")
    else:
        x = _pooled(x, pooling)
    return _model(
        input_tensor, image, x, name or f"{'resnet' if shortcuts else 'plain'}{depth}", weights
    )


def _check_depth(depth, table):
    if depth not in tuple(table):
        raise ValueError(f"`depth` must be one of {tuple(table)}. Received: {depth!r}")


def _check_options(pooling, classes, width):
    if pooling not in (None, "avg", "max"):
        raise ValueError(f"`pooling` must be one of (None, 'avg', 'max'). Received: {pooling!r}")
    if not isinstance(classes, (int, np.integer)) or isinstance(classes, bool) or classes < 1:
        raise ValueError(f"`classes` must be an integer of at least 1. Received: {classes!r}")
    if not isinstance(width, numbers.Real) or not 0 < width < math.inf:
        raise ValueError(f"`width` must be a finite number greater than 0. Received: {width!r}")


def _image(input_tensor, input_shape):
    if input_tensor is None and input_shape is None:
        input_shape = (224, 224, 3) if _axis() == -1 else (3, 224, 224)
    return _image_input(input_tensor, input_shape)


def _scaled(n, width):
    return max(1, round(n * width))


def _sides(x):
    return x.shape[1:3] if _axis() == -1 else x.shape[2:4]


def _conv(x, maps, kernel, name, strides=1, **arguments):
    """A convolution padded by half its kernel, on both sides alike."""
    padding = "same"
    if strides > 1 and kernel > 1:
        x = keras.layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
        padding = "valid"
    return keras.layers.Conv2D(maps, kernel, strides, padding, name=name, **arguments)(x)


def _pooled(x, pooling):
    if pooling == "avg":
        return keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
    if pooling == "max":
        return keras.layers.GlobalMaxPooling2D(name="max_pool")(x)
    return x


def _classifier(x, classes, activation, name, start):
    return keras.layers.Dense(
        classes,
        activation=activation,
        kernel_initializer=start,
        dtype=_full_precision(),
        name=name,
    )(x)


def _model(input_tensor, image, outputs, name, weights):
    inputs = image if input_tensor is None else keras.utils.get_source_inputs(input_tensor)
    model = keras.Model(inputs, outputs, name=name)
    if weights is not None:
        from alexnet_keras.weights import load_weights

        load_weights(model, weights, name)
    return model
