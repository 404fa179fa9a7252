"""Runs a network over a split or over files, from one view or the paper's ten."""

import heapq
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import keras
import numpy as np

from alexnet_keras.common import DataError
from alexnet_keras.evaluation.measures import Calibration, Evaluation, Mistake
from alexnet_keras.pictures import (
    ColorStatistics,
    ImageDataset,
    decode_image,
    evaluation_batches,
    evaluation_transform,
    numpy_batches,
)


def evaluate(
    model: keras.Model,
    dataset: ImageDataset,
    statistics: ColorStatistics,
    *,
    split: str = "validation",
    views: int = 1,
    batch_size: int = 128,
    mistakes: int = 16,
) -> Evaluation:
    """Runs a network over a split. Memory does not grow with the number of pictures.

    Args:
        model: gives probabilities `(batch, classes)` for `(batch, image_size, image_size, 3)`.
        dataset, split: what to look at.
        statistics: of the training data.
        views: 1 for the central crop; 10 for the mean of the softmax over the paper's ten views
            (section 4.1).
        batch_size: images a step; with ten views a tenth as many pictures.
        mistakes: how many of the most confident wrong predictions to keep.

    Returns:
        An `Evaluation`.

    Raises:
        DataError: if there is no such split, it is empty, or a picture cannot be decoded.
        ValueError: if the model has another number of classes, or its probabilities are not finite.

    Example:

    >>> from alexnet_keras import evaluate, load_run
    >>> run = load_run()
    >>> evaluate(run.model, run.open_dataset(), run.statistics, batch_size=64).pictures
    337
    """
    classes = len(dataset.class_names)
    if model.output_shape[-1] != classes:
        raise ValueError(
            f"The model must have as many classes as the data, {classes}. "
            f"Received: one with {model.output_shape[-1]}"
        )
    if dataset.sizes.get(split) == 0:
        raise DataError(f"The {split} split must hold at least one picture. Received: none")
    batches = evaluation_batches(
        dataset,
        split,
        statistics,
        image_size=model.input_shape[1],
        batch_size=max(1, batch_size // views),
        views=views,
    )
    confusion, calibration = np.zeros((classes, classes), "int64"), Calibration.empty()
    top5_errors, index, worst = 0, 0, []
    for images, labels in numpy_batches(batches, dataset, split):
        probabilities = predict_views(model, images)
        predicted = probabilities.argmax(axis=1)
        # Ties count against the network: a stuck one that is equally sure of all is wrong.
        of_label = np.take_along_axis(probabilities, labels[:, None], axis=1)
        top5_errors += int(((probabilities < of_label).sum(axis=1) < classes - 5).sum())
        np.add.at(confusion, (labels, predicted), 1)
        calibration = calibration.add(probabilities.max(axis=1), predicted == labels)
        for i in np.flatnonzero(predicted != labels):
            probability = float(probabilities[i, predicted[i]])
            row = (probability, -(index + int(i)), int(labels[i]), int(predicted[i]))
            (heapq.heappush if len(worst) < mistakes else heapq.heappushpop)(worst, row)
        index += len(labels)
    return Evaluation(
        dataset.class_names,
        views,
        top5_errors,
        confusion,
        tuple(Mistake(-i, label, guess, p) for p, i, label, guess in sorted(worst, reverse=True)),
        calibration,
    )


def predict_views(model: keras.Model, images: np.ndarray, at_once: int = 128) -> np.ndarray:
    """Probabilities of a batch, averaged over the views where there are several.

    Args:
        model: gives `(batch, classes)` for `(batch, height, width, channels)`.
        images: of that shape, or `(batch, views, height, width, channels)`.
        at_once: how many images go through the network together.

    Returns:
        float32 `(batch, classes)`.

    Raises:
        ValueError: if they are not finite, as after training has diverged.

    Example:

    >>> from alexnet_keras import load_run
    >>> model = load_run().model
    >>> predict_views(model, np.zeros((2, 10, 128, 128, 3), "float32")).shape
    (2, 10)
    """
    flat = images.reshape((-1, *images.shape[-3:]))
    parts = [model.predict_on_batch(flat[i : i + at_once]) for i in range(0, len(flat), at_once)]
    probabilities = np.concatenate([np.asarray(part, "float32") for part in parts])
    if not np.isfinite(probabilities).all():
        raise ValueError(
            "The network's probabilities must be finite. Received: NaN; it has diverged in training"
        )
    return probabilities.reshape((len(images), -1, probabilities.shape[-1])).mean(axis=1)


def predict(
    model: keras.Model,
    paths: Sequence[str | Path],
    statistics: ColorStatistics,
    *,
    views: int = 1,
) -> Iterator[tuple[str, np.ndarray | DataError]]:
    """Class probabilities of picture files, one after another.

    Args:
        model: gives probabilities `(batch, classes)` for `(batch, image_size, image_size, 3)`.
        paths: JPEG, PNG, BMP or GIF files.
        statistics: of the training data.
        views: 1 or 10.

    Yields:
        `(path, probabilities)`, float32 of shape `(classes,)`; in place of the probabilities a
        `DataError` where the file cannot be read or decoded.

    Example:

    >>> from PIL import Image
    >>> from alexnet_keras import load_run, predict
    >>> Image.new("RGB", (90, 80), "red").save("red.jpg")
    >>> run = load_run()
    >>> for path, probabilities in predict(run.model, ["red.jpg"], run.statistics):
    ...     print(path, probabilities.shape, probabilities.sum().round(3))
    red.jpg (10,) 1.0
    """
    import tensorflow as tf

    prepare = evaluation_transform(statistics, image_size=model.input_shape[1], views=views)
    for path in map(str, paths):
        try:
            image = prepare(decode_image(tf.io.read_file(os.fsencode(path)))).numpy()
        except tf.errors.OpError as error:
            wanted = "be a JPEG, PNG, BMP or GIF file that can be decoded"
            if isinstance(error, tf.errors.NotFoundError):
                wanted = "exist"
            elif isinstance(error, tf.errors.PermissionDeniedError):
                wanted = "be a file that can be read"
            yield path, DataError(f"A picture must {wanted}. Received: {path}")
            continue
        yield path, predict_views(model, image[None])[0]
