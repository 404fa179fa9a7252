"""Top-1 and top-5 error, from one view or the paper's ten, and what was confused with what."""

import dataclasses
import functools
import heapq
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from alexnet_keras.augmentation import (
    ColorStatistics,
    evaluation_batches,
    picture_preparation,
)
from alexnet_keras.datasets import DataError, ImageDataset, checked, decode_image
from alexnet_keras.files import write_file, write_json


@dataclasses.dataclass(frozen=True)
class Mistake:
    """A picture that was taken for something else: its place in the split, labels, probability."""

    index: int
    label: int
    predicted: int
    probability: float


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """How well a network did on a split.

    Attributes:
        class_names: in the order of the labels.
        views: 1 or 10.
        top5_errors: pictures whose label is not among the five most probable classes.
        confusion: int64 `(classes, classes)`; row the label, column the prediction.
        mistakes: the most confident wrong predictions, worst first.
    """

    class_names: tuple[str, ...]
    views: int
    top5_errors: int
    confusion: np.ndarray
    mistakes: tuple[Mistake, ...]

    @property
    def pictures(self) -> int:
        """How many were looked at."""
        return int(self.confusion.sum())

    @property
    def top1_error(self) -> float:
        """Share of the pictures whose most probable class is wrong."""
        return 1 - np.trace(self.confusion).item() / self.pictures

    @property
    def top5_error(self) -> float:
        """Share of the pictures whose label is not among the five most probable classes."""
        return self.top5_errors / self.pictures

    @property
    def largest_class_share(self) -> float:
        """Accuracy of always naming the commonest class."""
        return self.confusion.sum(axis=1).max().item() / self.pictures

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "pictures": self.pictures,
            "views": self.views,
            "top1_error": self.top1_error,
            "top5_error": self.top5_error,
            "largest_class_share": self.largest_class_share,
            "class_names": list(self.class_names),
            "confusion": self.confusion.tolist(),
            "mistakes": [
                {
                    "index": mistake.index,
                    "label": self.class_names[mistake.label],
                    "predicted": self.class_names[mistake.predicted],
                    "probability": mistake.probability,
                }
                for mistake in self.mistakes
            ],
        }


def evaluate(
    model: keras.Model,
    dataset: ImageDataset,
    statistics: ColorStatistics,
    *,
    split: str = "validation",
    views: int = 1,
    batch_size: int = 128,
    mean: str = "color",
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
        mean: `"color"` or `"image"`, as in training.
        mistakes: how many of the most confident wrong predictions to keep.

    Returns:
        An `Evaluation`.

    Raises:
        DataError: if there is no such split, it is empty, a picture cannot be decoded, or the
            model has another number of classes.
        ValueError: if the network's probabilities are not finite.
    """
    classes = len(dataset.class_names)
    if model.output_shape[-1] != classes:
        raise DataError(
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
        mean=mean,
        views=views,
    )
    confusion = np.zeros((classes, classes), "int64")
    top5_errors, index, worst = 0, 0, []
    for images, labels in checked(batches, dataset, split):
        probabilities = predict_views(model, images)
        predicted = probabilities.argmax(axis=1)
        # Ties count against the network: a stuck one that is equally sure of all is wrong.
        of_label = np.take_along_axis(probabilities, labels[:, None], axis=1)
        top5_errors += int(((probabilities < of_label).sum(axis=1) < classes - 5).sum())
        np.add.at(confusion, (labels, predicted), 1)
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
    mean: str = "color",
) -> Iterator[tuple[str, np.ndarray | DataError]]:
    """Class probabilities of picture files, one after another.

    Args:
        model: gives probabilities `(batch, classes)` for `(batch, image_size, image_size, 3)`.
        paths: JPEG, PNG, BMP or GIF files.
        statistics: of the training data.
        views: 1 or 10.
        mean: `"color"` or `"image"`, as in training.

    Yields:
        `(path, probabilities)`, float32 of shape `(classes,)`; in place of the probabilities a
        `DataError` where the file cannot be read or decoded.
    """
    import tensorflow as tf

    prepare = picture_preparation(
        statistics, image_size=model.input_shape[1], mean=mean, views=views
    )
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


def write_report(
    folder: str | Path,
    evaluation: Evaluation,
    dataset: ImageDataset,
    split: str,
    log: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Writes `report.json`, `confusion.png`, `mistakes.png` and, given a log, `curves.png`.

    Args:
        folder: made if it is not there; files of those names in it are replaced.
        evaluation: what to report.
        dataset, split: what was evaluated.
        log: the run's columns by epoch, as from `Run.log`.
    """
    from alexnet_keras import visualization  # matplotlib takes a second to import

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    report = {"data": dataset.name, "split": split, **evaluation.as_dict()}
    examples = dataset.examples_at(split, [mistake["index"] for mistake in report["mistakes"]])
    for mistake, example in zip(report["mistakes"], examples):
        mistake["id"] = os.fsdecode(example["id"])
    write_json(folder / "report.json", report)
    name = Path(dataset.name).resolve().name if dataset.in_files else dataset.name
    title = f"{name}, {split}: top-1 error {evaluation.top1_error:.1%}"
    figures = {
        "confusion": visualization.plot_confusion(evaluation, title),
        "mistakes": visualization.plot_mistakes(evaluation, dataset, split),
    }
    if log is not None:
        figures["curves"] = visualization.plot_curves(log, title)
    for name, figure in figures.items():
        write_file(folder / f"{name}.png", functools.partial(figure.savefig, dpi=100))
