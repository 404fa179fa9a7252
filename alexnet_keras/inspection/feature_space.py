"""Pictures as points in the space of a layer's activations: features, neighbours, embeddings."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from alexnet_keras.common import DataError, check_choice, check_integer
from alexnet_keras.pictures import (
    ColorStatistics,
    ImageDataset,
    decode_image,
    evaluation_batches,
    evaluation_transform,
    numpy_batches,
)


def layer_outputs(
    model: keras.Model,
    outputs: Any,
    dataset: ImageDataset,
    statistics: ColorStatistics,
    split: str,
    batch_size: int,
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
    )
    for images, labels in numpy_batches(batches, dataset, split):
        yield images, labels, until.predict_on_batch(images)


def features(
    model: keras.Model,
    dataset: ImageDataset,
    statistics: ColorStatistics,
    *,
    split: str = "validation",
    layer: str | None = None,
    batch_size: int = 128,
) -> tuple[np.ndarray, np.ndarray]:
    """What a layer says of each picture of a split: at full width 16 kB a picture of fc7.

    Args:
        model: a functional model.
        dataset, split: the pictures.
        statistics: of the training data.
        layer: the name of a layer; `None` for the activations of fc7, as in the paper's section 6.
        batch_size: pictures a step.

    Returns:
        float32 `(pictures, units)`, maps flattened, and the labels, int64 `(pictures,)`.

    Raises:
        DataError: if there is no such split, it is empty, or a picture cannot be decoded.
        ValueError: if there is no such layer.

    Example:

    >>> from alexnet_keras import AlexNet, open_dataset
    >>> from alexnet_keras.pictures import IMAGENET_STATISTICS
    >>> model = AlexNet(width=0.05, input_shape=(64, 64, 3))
    >>> found, labels = features(model, open_dataset(), IMAGENET_STATISTICS)
    >>> found.shape, labels.shape
    ((337, 204), (337,))
    """
    output = _feature_output(model, layer)
    parts = [
        (values, labels)
        for _, labels, values in layer_outputs(
            model, output, dataset, statistics, split, batch_size
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


@dataclasses.dataclass(frozen=True, eq=False)
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

    Returns:
        The `Neighbors`; of equally near ones the first in the split.

    Raises:
        DataError: if there is no such split or a picture cannot be decoded.
        ValueError: if there is no such layer, a query is outside of its split, or there are fewer
            than `count` others.

    Example:

    >>> from alexnet_keras import AlexNet, open_dataset
    >>> from alexnet_keras.pictures import IMAGENET_STATISTICS
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
        check_integer("queries", query, minimum=0, maximum=dataset.sizes[query_split] - 1)
    others = dataset.sizes[split] - (split == query_split)
    count = check_integer("count", count, minimum=1, maximum=others)
    output = _feature_output(model, layer)
    prepare = evaluation_transform(statistics, image_size=model.input_shape[1])
    examples = dataset.examples_at(query_split, list(queries))
    images = np.stack([prepare(decode_image(example["image"])).numpy() for example in examples])
    wanted = keras.Model(model.input, output).predict(images, batch_size, verbose=0)

    queries = np.asarray(queries, "int64")
    indices = np.zeros((len(queries), 0), "int64")
    distances = np.zeros((len(queries), 0), "float32")
    index = 0
    for _, labels, values in layer_outputs(model, output, dataset, statistics, split, batch_size):
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


@dataclasses.dataclass(frozen=True, eq=False)
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
    check_choice("method", method, ("pca", "tsne"))
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
