"""The layers of AlexNet that Keras lacks.

All are written in ``keras.ops`` and run on the TensorFlow, JAX and PyTorch backends.
"""

from alexnet_keras.layers.color_noise import PCAColorNoise, color_directions
from alexnet_keras.layers.grouped_convolution import GroupedConv2D
from alexnet_keras.layers.response_normalization import (
    LocalResponseNormalization,
    without_branches,
)
from alexnet_keras.layers.within_map_normalization import WithinMapNormalization

__all__ = [
    "GroupedConv2D",
    "LocalResponseNormalization",
    "PCAColorNoise",
    "WithinMapNormalization",
    "color_directions",
    "without_branches",
]
