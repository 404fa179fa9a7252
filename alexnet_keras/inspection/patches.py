"""What excites a map most in a data set, and which units never answer."""

import dataclasses
import heapq

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from alexnet_keras.common import check_integer
from alexnet_keras.inspection.feature_space import layer_outputs
from alexnet_keras.inspection.receptive_fields import receptive_field
from alexnet_keras.pictures import ColorStatistics, ImageDataset, evaluation_transform, square_side


@dataclasses.dataclass(frozen=True, eq=False)
class Patch:
    """What a unit saw where it was strongest in a picture.

    Attributes:
        index, label: of the picture in its split.
        row, column: of the unit in its map.
        activation: of the unit.
        box: what the unit sees, see `ReceptiveField.box`; of a dense unit without the padding.
        inside: what of the box is pixels of the picture, see `ReceptiveField.pixels`.
        pixels: those, float32 `(height, width, 3)`, 0 to 255.
    """

    index: int
    label: int
    row: int
    column: int
    activation: float
    box: tuple[int, int, int, int]
    inside: tuple[int, int, int, int]
    pixels: np.ndarray


def strongest_patches(
    model: keras.Model,
    layer: str,
    channel: int,
    dataset: ImageDataset,
    statistics: ColorStatistics,
    *,
    split: str = "train",
    count: int = 9,
    batch_size: int = 128,
) -> list[Patch]:
    """The places in a data set that excite a unit most, at most one a picture.

    Source: Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", 2013.

    Args:
        model: a functional model, see `receptive_field`.
        layer: the name of a layer. Of a dense one, a unit sees the whole picture.
        channel: of the layer, from 0; in a network of two columns the first half is column a.
        dataset, split: where to look.
        statistics: of the training data.
        count: how many patches.
        batch_size: pictures a step.

    Returns:
        `count` patches or as many as there are pictures, the strongest first; of equals, the first.

    Raises:
        DataError: if there is no such split, it is empty, or a picture cannot be decoded.
        ValueError: if there is no such layer or channel.

    Example:

    >>> from alexnet_keras import AlexNet, open_dataset
    >>> from alexnet_keras.pictures import IMAGENET_STATISTICS
    >>> model = AlexNet(include_top=False, width=0.05, input_shape=(64, 64, 3))
    >>> patches = strongest_patches(
    ...     model, "conv1", 0, open_dataset(), IMAGENET_STATISTICS, split="validation", count=2
    ... )
    >>> patches[0].pixels.shape, patches[0].activation >= patches[1].activation
    ((11, 11, 3), True)
    """
    output, field = model.get_layer(layer).output, receptive_field(model, layer)
    check_integer("channel", channel, minimum=0, maximum=output.shape[-1] - 1)
    size = model.input_shape[1]
    prepare = evaluation_transform(statistics, image_size=size)
    side = square_side(size)
    subtracted = -prepare(tf.zeros((side, side, 3))).numpy()  # what black becomes
    maps = output if len(output.shape) == 4 else ops.expand_dims(output, (1, 2))
    maps = ops.cast(maps[..., channel], "float32")
    index, best = 0, []
    for images, labels, batch in layer_outputs(model, maps, dataset, statistics, split, batch_size):
        for image, label, values in zip(images, labels, batch):
            key = float(values.max()), -index
            if len(best) < count or key > best[0][:2]:
                row, column = map(int, np.unravel_index(values.argmax(), values.shape))
                top, left, bottom, right = inside = field.pixels(row, column)
                box = field.box(row, column) if any(field.stride) else inside
                pixels = (image + subtracted)[top:bottom, left:right].copy()
                patch = Patch(index, int(label), row, column, key[0], box, inside, pixels)
                (heapq.heappush if len(best) < count else heapq.heapreplace)(best, (*key, patch))
            index += 1
    return [patch for _, _, patch in sorted(best, key=lambda row: row[:2], reverse=True)]


def dead_units(
    model: keras.Model,
    dataset: ImageDataset,
    statistics: ColorStatistics,
    *,
    split: str = "train",
    batch_size: int = 128,
) -> dict[str, np.ndarray]:
    """The ReLU units that are not above zero for any picture: no gradient reaches their weights.

    Of a convolution, a unit is a map: it is dead if it is zero everywhere.

    Args:
        model: a functional model.
        dataset, split: the pictures.
        statistics: of the training data.
        batch_size: pictures a step.

    Returns:
        For each layer with a ReLU, by name and in order, bool `(units,)`: true for the dead ones.

    Raises:
        DataError: if there is no such split, it is empty, or a picture cannot be decoded.
        ValueError: if the model has no ReLU.

    Example:

    >>> from alexnet_keras import AlexNet, open_dataset
    >>> from alexnet_keras.pictures import IMAGENET_STATISTICS
    >>> model = AlexNet(include_top=False, width=0.05, input_shape=(64, 64, 3))
    >>> dead = dead_units(model, open_dataset(), IMAGENET_STATISTICS, split="validation")
    >>> {name: units.shape for name, units in dead.items()}
    {'relu1': (4,), 'relu2': (12,), 'relu3': (20,), 'relu4': (20,), 'relu5': (12,)}
    """
    layers = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.ReLU)
        or getattr(layer, "activation", None) is keras.activations.relu
    ]
    if not layers:
        raise ValueError(f"The model must have a ReLU. Received: {model.name}, which has none")
    lives = {
        a.name: ops.any(a.output > 0, axis=tuple(range(len(a.output.shape) - 1)), keepdims=True)
        for a in layers
    }
    dead = {layer.name: np.ones(layer.output.shape[-1], bool) for layer in layers}
    for _, _, batch in layer_outputs(model, lives, dataset, statistics, split, batch_size):
        for name, alive in batch.items():
            dead[name] &= ~alive.ravel()
    return dead
