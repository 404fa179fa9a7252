import functools
import math
from unittest import mock

import keras
import numpy as np

from alexnet_keras import (
    VGG,
    GoogLeNet,
    ResNet,
)
from alexnet_keras.descendants import (
    RESNETS,
    VGGS,
)

BUILDERS = {
    **{f"vgg{depth}": functools.partial(VGG, depth) for depth in VGGS},
    "googlenet": GoogLeNet,
    **{f"resnet{depth}": functools.partial(ResNet, depth) for depth in RESNETS},
}


SMALL = {"input_shape": (64, 64, 3), "classes": 5, "width": 0.1}


def without_initial_values(build):
    """Builds a network whose kernels are zero, which is quicker."""

    def zeros(self, shape, dtype=None):
        return keras.ops.zeros(shape, dtype)

    with mock.patch.object(keras.initializers.VarianceScaling, "__call__", zeros):
        return build()


@functools.cache
def resnet(depth):
    return without_initial_values(lambda: ResNet(depth))


def small(network, **arguments):
    return BUILDERS[network](**{**SMALL, **arguments})


def pictures(*shape, seed=0):
    return np.random.default_rng(seed).normal(0, 50, shape).astype("float32")


def layer_names(model):
    return [layer.name for layer in model.layers if layer.weights]


def trainable(model):
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


def randomize(model, prefix=""):
    """Gives every weight of the layers whose name starts so a value of its own."""
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if not layer.name.startswith(prefix):
            continue
        if isinstance(layer, keras.layers.BatchNormalization):
            n = layer.gamma.shape[0]
            values = [rng.uniform(0.5, 1.5, n), rng.normal(0, 0.2, n), rng.normal(0, 0.2, n)]
            layer.set_weights([*values, rng.uniform(0.5, 1.5, n)])
        elif layer.weights:
            kernel = rng.standard_normal(layer.kernel.shape, "float32")
            layer.kernel.assign(kernel * math.sqrt(2 / np.prod(kernel.shape[:-1])))
            if layer.use_bias:
                layer.bias.assign(rng.normal(0, 0.2, layer.bias.shape))
