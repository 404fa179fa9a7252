"""Which pixels a unit sees, from the layers' own arithmetic."""

import dataclasses
import functools
from typing import Any

import keras
import numpy as np

from alexnet_keras.layers import (
    LocalResponseNormalization,
    WithinMapNormalization,
)


@dataclasses.dataclass(frozen=True, eq=False)
class ReceptiveField:
    """The pixels that a layer's units see. Pairs are for rows and for columns.

    Attributes:
        size: pixels that one unit sees, padding among them.
        stride: pixels between the fields of neighbours; 0 where there are no positions any more.
        start: the first pixel that the unit at (0, 0) sees; below 0 where that is padding.
        rows: int `(positions, 2)`; the first pixel row of the picture that the units of a row see,
            and that behind the last. The second is 0 where they see padding alone.
        columns: the same for columns.
    """

    size: tuple[int, int]
    stride: tuple[int, int]
    start: tuple[int, int]
    rows: np.ndarray = dataclasses.field(repr=False)
    columns: np.ndarray = dataclasses.field(repr=False)

    def box(self, row: int = 0, column: int = 0) -> tuple[int, int, int, int]:
        """Top, left, bottom and right of a unit's field, bottom and right excluded.

        In pixels of the network's input; it may reach beyond the picture, into padding.
        """
        top, left = (
            start + i * stride for start, i, stride in zip(self.start, (row, column), self.stride)
        )
        return top, left, top + self.size[0], left + self.size[1]

    def pixels(self, row: int = 0, column: int = 0) -> tuple[int, int, int, int]:
        """As `box`, of the picture's own pixels alone: a change of any other changes nothing.

        It may be less than what of the box lies in the picture: where a pool without padding drops
        the last column, units that look beyond it into padding do not see the pixels behind.
        """
        (top, bottom), (left, right) = self.rows[row].tolist(), self.columns[column].tolist()
        return top, left, bottom, right


def receptive_field(model: keras.Model, layer: str) -> ReceptiveField:
    """Which pixels each unit of a layer sees, from the kernels, strides and paddings before it.

    A window of k outputs of a layer whose units see r pixels, j apart, sees r + (k - 1) j; moved
    by s outputs, it moves by s j pixels. Where paths meet, the field holds those of all. What the
    normalization across channels adds is no further pixel; that within a map is a window, too.

    Args:
        model: a functional model of convolutions, pools, paddings, dense layers, normalizations,
            activations, sums and concatenations, each used once.
        layer: the name of one of its layers. Behind `Flatten` or a global pool a unit sees what
            all the positions see together.

    Returns:
        The `ReceptiveField`.

    Raises:
        ValueError: if there is no such layer, or one before it is of another kind or dilated.

    Example:

    >>> from alexnet_keras import AlexNet
    >>> field = receptive_field(AlexNet(include_top=False), "pool5")
    >>> field.size, field.stride, field.box(0, 0), field.pixels(0, 0)
    ((195, 195), (32, 32), (-64, -64, 131, 131), (0, 0, 131, 131))
    """
    producers = {id(a.output): a for a in model.layers}

    @functools.cache
    def seen(name):
        layer = model.get_layer(name)
        if isinstance(layer, keras.layers.InputLayer):
            pixels = [np.arange(side)[:, None] + [0, 1] for side in _sides(layer.output)]
            return np.array([1, 1]), np.array([1, 1]), np.array([0, 0]), pixels
        inputs = layer.input if isinstance(layer.input, list) else [layer.input]
        sizes, jumps, starts, pixels = zip(*(seen(producers[id(x)].name) for x in inputs))
        if np.ptp(jumps, axis=0).any():
            raise ValueError(f"The paths into layer {name} must have equal strides")
        kernel, stride, before = _window(layer)
        start, end = np.min(starts, axis=0), np.max(np.add(starts, sizes), axis=0)
        merged = [
            np.stack([np.min(paths, axis=0)[:, 0], np.max(paths, axis=0)[:, 1]], 1)
            for paths in zip(*pixels)
        ]
        return (
            end - start + (kernel - 1) * jumps[0],
            stride * jumps[0],
            start - before * jumps[0],
            [_through(*axis) for axis in zip(merged, _sides(layer.output), kernel, stride, before)],
        )

    *pairs, (rows, columns) = seen(layer)
    return ReceptiveField(*(tuple(pair.tolist()) for pair in pairs), rows, columns)


def _sides(tensor: Any) -> tuple[int, int]:
    """Height and width of maps; 1 and 1 of what has no positions."""
    if len(tensor.shape) != 4:
        return 1, 1
    last = keras.config.image_data_format() == "channels_last"
    return tuple(tensor.shape[1:3] if last else tensor.shape[2:4])


def _through(
    pixels: np.ndarray, positions: int, kernel: int, stride: int, before: int
) -> np.ndarray:
    """The pixels behind each of the windows of one axis, from those behind its inputs."""
    rows = []
    for first in np.arange(positions) * stride - before:
        inside = pixels[max(0, first) : max(0, first + kernel)]
        rows.append((inside[:, 0].min(initial=1 << 30), inside[:, 1].max(initial=0)))
    return np.array(rows)


_POINTWISE = (
    keras.layers.Activation,
    keras.layers.Add,
    keras.layers.BatchNormalization,
    keras.layers.Concatenate,
    keras.layers.Dense,
    keras.layers.Dropout,
    keras.layers.ReLU,
    keras.layers.Rescaling,
    LocalResponseNormalization,
)
"""Layers that look at one position of their input."""


def _window(layer: keras.layers.Layer) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Size, stride and padding (at the top and the left) of the window that a layer moves."""
    one, none = np.array([1, 1]), np.array([0, 0])
    flat = isinstance(layer, keras.layers.Flatten) and len(layer.input.shape) == 2
    if isinstance(layer, _POINTWISE) or flat:
        return one, one, none
    if isinstance(layer, keras.layers.ZeroPadding2D):
        return one, one, np.array(layer.padding)[:, 0]
    if isinstance(layer, WithinMapNormalization):
        return one * layer.size, one, one * (layer.size // 2)
    sides = np.array(_sides(layer.input))
    kinds = keras.layers
    if isinstance(layer, (kinds.Flatten, kinds.GlobalAveragePooling2D, kinds.GlobalMaxPooling2D)):
        return sides, none, none
    if isinstance(layer, kinds.AdaptiveAveragePooling2D) and not (sides % layer.output_size).any():
        return sides // layer.output_size, sides // layer.output_size, none
    if isinstance(layer, (kinds.MaxPooling2D, kinds.AveragePooling2D)):
        kernel = np.array(layer.pool_size)
    elif isinstance(layer, (kinds.Conv2D, kinds.DepthwiseConv2D)) and set(
        np.ravel(layer.dilation_rate)
    ) == {1}:
        kernel = np.array(layer.kernel_size)
    else:
        raise ValueError(
            "A receptive field is known through convolutions without dilation, pools, and what "
            f"looks at one position. Received: layer {layer.name} of type {type(layer).__name__}"
        )
    stride = np.array(layer.strides)
    if layer.padding == "valid":
        return kernel, stride, none
    # "same", as TensorFlow means it: the odd pixel of padding goes to the bottom and the right.
    positions = -(-sides // stride)
    return kernel, stride, np.maximum(0, (positions - 1) * stride + kernel - sides) // 2
