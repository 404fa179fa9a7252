"""ResNet, with its shortcuts and without."""

from pathlib import Path
from typing import Any

import keras

from alexnet_keras.alexnet import channel_axis
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

RESNETS: dict[int, tuple[str, tuple[int, ...]]] = {
    18: ("basic", (2, 2, 2, 2)),
    34: ("basic", (3, 4, 6, 3)),
    50: ("bottleneck", (3, 4, 6, 3)),
    101: ("bottleneck", (3, 4, 23, 3)),
    152: ("bottleneck", (3, 8, 36, 3)),
    200: ("preactivation", (3, 24, 36, 3)),
}
"""Kind of block, and blocks in each of the four stages conv2 to conv5, by depth."""


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
    depth = check_choice("depth", depth, RESNETS)
    classes, width = check_options(pooling, classes, width)
    kind, blocks = RESNETS[depth]
    image = network_input(input_tensor, input_shape)

    def conv(x, maps, kernel, layer, strides=1):
        start = {"use_bias": False, "kernel_initializer": "he_normal"}
        return convolution(x, maps, kernel, f"{layer}_conv", strides, **start)

    def norm(x, layer):
        settings = {"axis": channel_axis(), "momentum": 0.9, "epsilon": 1e-5}
        return keras.layers.BatchNormalization(name=f"{layer}_bn", **settings)(x)

    def relu(x, layer):
        return keras.layers.Activation("relu", name=layer)(x)

    def changes(x, maps, strides):
        return shortcuts and (strides > 1 or x.shape[channel_axis()] != maps)

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
            x = residual(x, scaled(maps, width), strides, f"conv{n}_block{i}")
        return x

    # Shapes for 224 x 224 input, full width and basic blocks; the others give 4 times the maps.
    x = conv(image, scaled(64, width), 7, "conv1", strides=2)
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
        x = pooled(x, "avg")  # 512
        x = classifier(x, classes, classifier_activation, "predictions", "he_normal")
    else:
        x = pooled(x, pooling)
    return finished_model(
        input_tensor, image, x, name or f"{'resnet' if shortcuts else 'plain'}{depth}", weights
    )
