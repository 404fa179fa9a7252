"""What a trained network looks for and where it looks, as numbers; `visualization` draws them.

Pictures go in as the network takes them: float32 `(height, width, 3)` less the mean colour, as
`picture_preparation` makes them. What is said of a whole data set is gathered batch by batch, so
that memory does not grow with it (but for `features`, which are asked for). All runs on the
TensorFlow, JAX and PyTorch backends, except `grad_cam` and `integrated_gradients`: their gradients
are taken with TensorFlow.
"""

import dataclasses
import functools
import heapq
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from alexnet_keras.augmentation import (
    ColorStatistics,
    evaluation_batches,
    picture_preparation,
    square_side,
)
from alexnet_keras.datasets import DataError, ImageDataset, checked, decode_image
from alexnet_keras.layers import (
    AdaptiveAveragePooling2D,
    LocalResponseNormalization,
    WithinMapNormalization,
)


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
    _check_image(model, image)
    until = keras.Model(model.input, model.get_layer(layer).output)
    return _numpy(until(np.asarray(image, "float32")[None], training=False))[0]


def _numpy(tensor: Any) -> np.ndarray:
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))


def _check_image(model: keras.Model, image: np.ndarray, name: str = "image") -> None:
    if np.shape(image) != model.input_shape[1:]:
        raise ValueError(
            f"`{name}` must be of the model's input shape, {model.input_shape[1:]}. "
            f"Received: {np.shape(image)}"
        )


def _check_index(name: str, index: int, count: int) -> None:
    if not isinstance(index, (int, np.integer)) or not 0 <= index < count:
        raise ValueError(f"`{name}` must be an integer from 0 to {count - 1}. Received: {index!r}")


# Receptive fields


@dataclasses.dataclass(frozen=True)
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
    if isinstance(layer, AdaptiveAveragePooling2D) and not (sides % layer.size).any():
        return sides // layer.size, sides // layer.size, none
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


# Over a data set


def _outputs(
    model: keras.Model,
    outputs: Any,
    dataset: ImageDataset,
    statistics: ColorStatistics,
    split: str,
    batch_size: int,
    mean: str,
) -> Iterator[tuple[np.ndarray, np.ndarray, Any]]:
    """Images, labels, and what some of the model's tensors are for them, batch by batch."""
    if dataset.sizes.get(split) == 0:
        raise DataError(f"The {split} split must hold at least one picture. Received: none")
    until = keras.Model(model.input, outputs)
    batches = evaluation_batches(
        dataset,
        split,
        statistics,
        image_size=model.input_shape[1],
        batch_size=batch_size,
        mean=mean,
    )
    for images, labels in checked(batches, dataset, split):
        yield images, labels, until.predict_on_batch(images)


@dataclasses.dataclass(frozen=True)
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
    mean: str = "color",
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
        mean: `"color"` or `"image"`, as in training.

    Returns:
        `count` patches or as many as there are pictures, the strongest first; of equals, the first.

    Raises:
        DataError: if there is no such split, it is empty, or a picture cannot be decoded.
        ValueError: if there is no such layer or channel.

    Example:

    >>> from alexnet_keras import AlexNet, open_dataset
    >>> from alexnet_keras.augmentation import IMAGENET_STATISTICS
    >>> model = AlexNet(include_top=False, width=0.05, input_shape=(64, 64, 3))
    >>> patches = strongest_patches(
    ...     model, "conv1", 0, open_dataset(), IMAGENET_STATISTICS, split="validation", count=2
    ... )
    >>> patches[0].pixels.shape, patches[0].activation >= patches[1].activation
    ((11, 11, 3), True)
    """
    output, field = model.get_layer(layer).output, receptive_field(model, layer)
    _check_index("channel", channel, output.shape[-1])
    size = model.input_shape[1]
    prepare = picture_preparation(statistics, image_size=size, mean=mean)
    side = square_side(size)
    subtracted = -prepare(tf.zeros((side, side, 3))).numpy()  # what black becomes
    maps = output if len(output.shape) == 4 else ops.expand_dims(output, (1, 2))
    maps = ops.cast(maps[..., channel], "float32")
    index, best = 0, []
    for images, labels, batch in _outputs(
        model, maps, dataset, statistics, split, batch_size, mean
    ):
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
    mean: str = "color",
) -> dict[str, np.ndarray]:
    """The ReLU units that are not above zero for any picture: no gradient reaches their weights.

    Of a convolution, a unit is a map: it is dead if it is zero everywhere.

    Args:
        model: a functional model.
        dataset, split: the pictures.
        statistics: of the training data.
        batch_size: pictures a step.
        mean: `"color"` or `"image"`, as in training.

    Returns:
        For each layer with a ReLU, by name and in order, bool `(units,)`: true for the dead ones.

    Raises:
        DataError: if there is no such split, it is empty, or a picture cannot be decoded.
        ValueError: if the model has no ReLU.

    Example:

    >>> from alexnet_keras import AlexNet, open_dataset
    >>> from alexnet_keras.augmentation import IMAGENET_STATISTICS
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
    for _, _, batch in _outputs(model, lives, dataset, statistics, split, batch_size, mean):
        for name, alive in batch.items():
            dead[name] &= ~alive.ravel()
    return dead


def features(
    model: keras.Model,
    dataset: ImageDataset,
    statistics: ColorStatistics,
    *,
    split: str = "validation",
    layer: str | None = None,
    batch_size: int = 128,
    mean: str = "color",
) -> tuple[np.ndarray, np.ndarray]:
    """What a layer says of each picture of a split: at full width 16 kB a picture of fc7.

    Args:
        model: a functional model.
        dataset, split: the pictures.
        statistics: of the training data.
        layer: the name of a layer; `None` for the activations of fc7, as in the paper's section 6.
        batch_size: pictures a step.
        mean: `"color"` or `"image"`, as in training.

    Returns:
        float32 `(pictures, units)`, maps flattened, and the labels, int64 `(pictures,)`.

    Raises:
        DataError: if there is no such split, it is empty, or a picture cannot be decoded.
        ValueError: if there is no such layer.

    Example:

    >>> from alexnet_keras import AlexNet, open_dataset
    >>> from alexnet_keras.augmentation import IMAGENET_STATISTICS
    >>> model = AlexNet(width=0.05, input_shape=(64, 64, 3))
    >>> found, labels = features(model, open_dataset(), IMAGENET_STATISTICS)
    >>> found.shape, labels.shape
    ((337, 204), (337,))
    """
    output = _feature_output(model, layer)
    parts = [
        (values, labels)
        for _, labels, values in _outputs(
            model, output, dataset, statistics, split, batch_size, mean
        )
    ]
    return tuple(np.concatenate(part) for part in zip(*parts))


def _feature_output(model: keras.Model, layer: str | None) -> Any:
    if layer is not None:
        output = model.get_layer(layer).output
    else:
        fc7 = model.get_layer("fc7")
        output = next(
            a.output
            for a in model.layers
            if isinstance(a, keras.layers.Activation) and a.input is fc7.output
        )
    return ops.cast(ops.reshape(output, (-1, int(np.prod(output.shape[1:])))), "float32")


@dataclasses.dataclass(frozen=True)
class Neighbors:
    """The pictures nearest to some others.

    Attributes:
        query_split, queries: the others: a split and int64 `(queries,)`, places in it.
        split, indices: the nearest: a split and int64 `(queries, count)`, nearest first.
        distances: float32, of that shape.
    """

    query_split: str
    queries: np.ndarray
    split: str
    indices: np.ndarray
    distances: np.ndarray


def nearest_neighbors(
    model: keras.Model,
    dataset: ImageDataset,
    statistics: ColorStatistics,
    queries: Sequence[int],
    *,
    query_split: str = "validation",
    split: str = "train",
    count: int = 6,
    layer: str | None = None,
    batch_size: int = 128,
    mean: str = "color",
) -> Neighbors:
    """The pictures whose features are nearest to those of some others, by Euclidean distance.

    Source: the paper's figure 4: five test pictures and the six training pictures nearest to each
    in the 4,096 activations of fc7.

    Args:
        model: a functional model.
        dataset: the pictures.
        statistics: of the training data.
        queries: places in `query_split`.
        query_split, split: the splits of the queries and of the neighbours; where they are the
            same, a picture is no neighbour of itself.
        count: neighbours of each.
        layer: the name of a layer; `None` for the activations of fc7.
        batch_size: pictures a step.
        mean: `"color"` or `"image"`, as in training.

    Returns:
        The `Neighbors`; of equally near ones the first in the split.

    Raises:
        DataError: if there is no such split or a picture cannot be decoded.
        ValueError: if there is no such layer, a query is outside of its split, or there are fewer
            than `count` others.

    Example:

    >>> from alexnet_keras import AlexNet, open_dataset
    >>> from alexnet_keras.augmentation import IMAGENET_STATISTICS
    >>> model = AlexNet(width=0.05, input_shape=(64, 64, 3))
    >>> near = nearest_neighbors(
    ...     model, open_dataset(), IMAGENET_STATISTICS, [0, 1], split="validation"
    ... )
    >>> near.indices.shape, bool((near.distances[:, 0] <= near.distances[:, 5]).all())
    ((2, 6), True)
    """
    for name in (query_split, split):
        if name not in dataset.sizes:
            raise DataError(f"`split` must be one of {tuple(dataset.sizes)}. Received: {name!r}")
    for query in queries:
        _check_index("queries", query, dataset.sizes[query_split])
    others = dataset.sizes[split] - (split == query_split)
    if not 1 <= count <= others:
        raise ValueError(
            f"`count` must be from 1 to {others}, as many as there are. Received: {count}"
        )
    output = _feature_output(model, layer)
    prepare = picture_preparation(statistics, image_size=model.input_shape[1], mean=mean)
    examples = dataset.examples_at(query_split, list(queries))
    images = np.stack([prepare(decode_image(example["image"])).numpy() for example in examples])
    wanted = keras.Model(model.input, output).predict(images, batch_size, verbose=0)

    queries = np.asarray(queries, "int64")
    indices = np.zeros((len(queries), 0), "int64")
    distances = np.zeros((len(queries), 0), "float32")
    index = 0
    for _, labels, values in _outputs(model, output, dataset, statistics, split, batch_size, mean):
        places = np.arange(index, index + len(labels))
        new = np.stack([np.linalg.norm(values - one, axis=1) for one in wanted])
        if split == query_split:
            new[queries[:, None] == places] = np.inf
        indices = np.concatenate([indices, np.tile(places, (len(queries), 1))], axis=1)
        distances = np.concatenate([distances, new], axis=1)
        order = np.argsort(distances, axis=1, kind="stable")[:, :count]
        indices = np.take_along_axis(indices, order, axis=1)
        distances = np.take_along_axis(distances, order, axis=1)
        index += len(labels)
    return Neighbors(query_split, queries, split, indices, distances)


@dataclasses.dataclass(frozen=True)
class Embedding:
    """Pictures as points of a plane.

    Attributes:
        points: float32 `(pictures, 2)`.
        method: `"pca"` or `"tsne"`.
        shares: of PCA, the share of the features' variance along each axis.
    """

    points: np.ndarray
    method: str
    shares: tuple[float, float] | None = None


def embedding(found: np.ndarray, method: str = "pca", seed: int = 0) -> Embedding:
    """Lays features out in a plane. Needs scikit-learn.

    Args:
        found: `(pictures, units)`, from `features`.
        method: `"pca"` for the two directions of the largest variance: quick, the same for the same
            features, and distances mean something; `"tsne"` for t-SNE (van der Maaten and Hinton
            2008), which keeps neighbours together and nothing else.
        seed: of t-SNE.

    Returns:
        The `Embedding`.

    Raises:
        ValueError: for an unknown method, or fewer than three pictures.
        ModuleNotFoundError: if scikit-learn is not installed.

    Example:

    >>> import numpy as np
    >>> embedding(np.array([[0, 0], [2, 0], [4, 0.5]])).points.shape
    (3, 2)
    """
    if method not in ("pca", "tsne"):
        raise ValueError(f"`method` must be 'pca' or 'tsne'. Received: {method!r}")
    if len(found) < 3:
        raise ValueError(f"`found` must hold at least three pictures. Received: {len(found)}")
    try:
        from sklearn.decomposition import PCA
        from sklearn.manifold import TSNE
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"`embedding` needs scikit-learn: python -m pip install scikit-learn ({error})"
        ) from None
    if method == "pca":
        pca = PCA(2, random_state=0)  # the solver for many features starts at random
        points = pca.fit_transform(found)
        return Embedding(points, method, tuple(pca.explained_variance_ratio_.tolist()))
    perplexity = min(30, (len(found) - 1) / 3)
    return Embedding(TSNE(perplexity=perplexity, random_state=seed).fit_transform(found), method)


# Of one picture


@dataclasses.dataclass(frozen=True)
class Occlusion:
    """The probability of a class while part of the picture is hidden.

    Attributes:
        probability: of the whole picture.
        probabilities: float32 `(rows, columns)`; with a square hidden whose top left pixel is
            `(row * stride, column * stride)`.
        size, stride: of the square, in pixels.
    """

    probability: float
    probabilities: np.ndarray
    size: int
    stride: int


def occlusion_map(
    model: keras.Model,
    image: np.ndarray,
    class_index: int,
    *,
    size: int | None = None,
    stride: int | None = None,
    batch_size: int = 64,
) -> Occlusion:
    """Hides one square of the picture after the other behind the mean colour.

    Source: Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", 2013.

    Args:
        model: gives `(batch, classes)`.
        image: of the model's input shape.
        class_index: whose probability is wanted.
        size: side of the square, in pixels; `None` for an eighth of the picture's.
        stride: from one square to the next; `None` for half of the square's side.
        batch_size: pictures a step.

    Returns:
        The `Occlusion`.

    Raises:
        ValueError: if the picture has another shape, the class is not there, or `size` or `stride`
            is not an integer from 1 to the picture's side.

    Example:

    >>> import numpy as np
    >>> from alexnet_keras import AlexNet
    >>> model = AlexNet(classes=3, width=0.05, input_shape=(64, 64, 3))
    >>> occlusion_map(model, np.ones((64, 64, 3)), 2, size=16, stride=12).probabilities.shape
    (5, 5)
    """
    _check_image(model, image)
    _check_index("class_index", class_index, model.output_shape[-1])
    height, width = model.input_shape[1:3]
    size = max(1, min(height, width) // 8) if size is None else size
    stride = max(1, size // 2) if stride is None else stride
    for name, value in (("size", size), ("stride", stride)):
        if not isinstance(value, (int, np.integer)) or not 1 <= value <= min(height, width):
            raise ValueError(
                f"`{name}` must be an integer from 1 to {min(height, width)}. Received: {value!r}"
            )
    image = np.asarray(image, "float32")
    tops, lefts = range(0, height - size + 1, stride), range(0, width - size + 1, stride)
    corners = [(top, left) for top in tops for left in lefts]
    values = []
    for first in range(0, len(corners), batch_size):
        batch = np.stack([image] * len(corners[first : first + batch_size]))
        for hidden, (top, left) in zip(batch, corners[first:]):
            hidden[top : top + size, left : left + size] = 0
        values.append(model.predict_on_batch(batch)[:, class_index])
    return Occlusion(
        float(model.predict_on_batch(image[None])[0, class_index]),
        np.concatenate(values).reshape(len(tops), len(lefts)).astype("float32"),
        size,
        stride,
    )


def grad_cam(
    model: keras.Model, image: np.ndarray, class_index: int, layer: str | None = None
) -> np.ndarray:
    """Where the maps of a layer speak for a class.

    With A[k] the maps and y the class's score before the softmax, it is the positive part of
    sum_k (mean over the positions of dy / dA[k]) A[k]. Needs the TensorFlow backend.

    Source: Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
    Localization", 2017.

    Args:
        model: a functional model that ends in a dense layer.
        image: of the model's input shape.
        class_index: the class.
        layer: the name of a layer that gives maps; `None` for the last convolution's activation,
            relu5.

    Returns:
        float32 `(height, width)` of the layer's maps, at least 0.

    Raises:
        ValueError: if there is no such layer or class, the layer gives no maps, the picture has
            another shape, or Keras runs on another backend.

    Example:

    >>> import numpy as np
    >>> from alexnet_keras import AlexNet
    >>> model = AlexNet(classes=3, width=0.05, input_shape=(99, 99, 3))
    >>> grad_cam(model, np.ones((99, 99, 3)), 2).shape
    (5, 5)
    """
    _check_image(model, image)
    _check_index("class_index", class_index, model.output_shape[-1])
    maps = _last_maps(model) if layer is None else model.get_layer(layer).output
    if len(maps.shape) != 4:
        raise ValueError(
            f"`layer` must give maps (batch, height, width, channels). Received: {layer!r}, which "
            f"gives {maps.shape}"
        )
    _require_tensorflow()
    until = keras.Model(model.input, [maps, _score_output(model)])
    image = tf.constant(np.asarray(image, "float32")[None])
    with tf.GradientTape() as tape:
        tape.watch(image)
        maps, scores = until(image, training=False)
        score = scores[0, class_index]
    weights = _numpy(tape.gradient(score, maps))[0].mean(axis=(0, 1))
    return np.maximum(0, _numpy(maps)[0] @ weights)


def integrated_gradients(
    model: keras.Model,
    image: np.ndarray,
    class_index: int,
    baseline: np.ndarray | None = None,
    steps: int = 64,
) -> np.ndarray:
    """How much each pixel adds to the score of a class.

    The gradient of the score before the softmax, averaged along the straight line from the baseline
    to the picture, times their difference. The attributions sum to the score's own difference
    between the two, up to what the average over `steps` points is from the integral. Needs the
    TensorFlow backend.

    Source: Sundararajan, Taly and Yan, "Axiomatic Attribution for Deep Networks", 2017.

    Args:
        model: a functional model that ends in a dense layer.
        image: of the model's input shape.
        class_index: the class.
        baseline: of the same shape; `None` for zeros, the mean colour.
        steps: points on the line, each in the middle of its part.

    Returns:
        float32 of the picture's shape.

    Raises:
        ValueError: if there is no such class, the picture or the baseline has another shape,
            `steps` is below 1, or Keras runs on another backend.

    Example:

    >>> import numpy as np
    >>> from alexnet_keras import AlexNet
    >>> model = AlexNet(classes=3, width=0.05, input_shape=(64, 64, 3))
    >>> integrated_gradients(model, np.ones((64, 64, 3)), 2, steps=4).shape
    (64, 64, 3)
    """
    baseline = np.zeros(model.input_shape[1:]) if baseline is None else baseline
    _check_image(model, image)
    _check_image(model, baseline, "baseline")
    _check_index("class_index", class_index, model.output_shape[-1])
    if steps < 1:
        raise ValueError(f"`steps` must be at least 1. Received: {steps!r}")
    _require_tensorflow()
    scores = keras.Model(model.input, _score_output(model))
    baseline = np.asarray(baseline, "float32")
    difference = np.asarray(image, "float32") - baseline
    total = np.zeros(difference.shape)
    for places in np.array_split((np.arange(steps) + 0.5) / steps, -(-steps // 32)):
        points = tf.constant(
            (baseline + places[:, None, None, None] * difference).astype("float32")
        )
        with tf.GradientTape() as tape:
            tape.watch(points)
            score = tf.reduce_sum(scores(points, training=False)[:, class_index])
        total += _numpy(tape.gradient(score, points)).sum(axis=0)
    return (difference * total / steps).astype("float32")


def _require_tensorflow() -> None:
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise ValueError(
            "Gradients are taken with TensorFlow: Keras must run on the 'tensorflow' backend "
            f"(KERAS_BACKEND). Received: {backend!r}"
        )


def _last_maps(model: keras.Model) -> Any:
    """What the last convolution gives, after its activation where that follows at once."""
    convolutions = [a for a in model.layers if isinstance(a, keras.layers.Conv2D)]
    if not convolutions:
        raise ValueError(f"The model must have a convolution. Received: {model.name} without one")
    maps = convolutions[-1].output
    kinds = (keras.layers.Activation, keras.layers.ReLU)
    after = [a.output for a in model.layers if isinstance(a, kinds) and a.input is maps]
    return after[0] if after else maps


def _score_output(model: keras.Model) -> Any:
    """The scores of the classes before the softmax."""
    last = model.layers[-1]
    if not isinstance(last, keras.layers.Dense):
        raise ValueError(
            "The model must end in a dense layer. Received: one that ends in "
            f"{last.name} of type {type(last).__name__}"
        )
    linear = keras.layers.Dense.from_config({**last.get_config(), "activation": "linear"})
    scores = linear(last.input)
    linear.set_weights(last.get_weights())
    return scores
