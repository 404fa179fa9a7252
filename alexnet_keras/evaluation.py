"""Top-1 and top-5 error, from one view or the paper's ten, with intervals; what was confused with
what; how far the probabilities can be trusted."""

import csv
import dataclasses
import functools
import heapq
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any

import keras
import numpy as np

from alexnet_keras.augmentation import (
    ColorStatistics,
    evaluation_batches,
    picture_preparation,
)
from alexnet_keras.datasets import DataError, ImageDataset, checked, decode_image, is_folder
from alexnet_keras.files import write_file, write_json

CONFIDENCE = 0.95
"""Of the intervals in a report."""

BINS = 15
"""Of the reliability diagram: equal parts of the range of probability, as many as Guo et al. 2017
take."""


def wilson_interval(
    count: int | np.ndarray, total: int | np.ndarray, confidence: float = CONFIDENCE
) -> np.ndarray:
    """Wilson's confidence interval of a share, for independent pictures.

    With p = count / total and z the normal quantile, its ends are (p + z^2 / 2n +- z sqrt(p (1 - p)
    / n + z^2 / 4n^2)) / (1 + z^2 / n). Unlike p +- z sqrt(p (1 - p) / n) it stays within 0 and 1,
    and holds its promise for small counts.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
    Journal of the American Statistical Association 22, 1927.

    Args:
        count: how many of `total`; an integer or an array of them.
        total: of the same shape.
        confidence: between 0 and 1.

    Returns:
        float64 of shape `(2, ...)`, the low and the high ends; NaN where `total` is 0.

    Raises:
        ValueError: if `count` is below 0 or above `total`, or `confidence` is out of its range.

    Example:

    >>> from alexnet_keras import wilson_interval
    >>> wilson_interval(10, 100).round(4).tolist()
    [0.0552, 0.1744]
    """
    k, n = np.asarray(count, "float64"), np.asarray(total, "float64")
    if not ((k >= 0) & (k <= n)).all():
        raise ValueError(f"`count` must lie between 0 and `total`. Received: {count} of {total}")
    if not 0 < confidence < 1:
        raise ValueError(f"`confidence` must lie between 0 and 1. Received: {confidence!r}")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    with np.errstate(invalid="ignore"):
        # (p + z^2 / 2n) / (1 + z^2 / n), and so on, with both sides times n.
        middle = k + z**2 / 2
        reach = z * np.sqrt(k * (n - k) / n + z**2 / 4)
        low, high = (middle - reach) / (n + z**2), (middle + reach) / (n + z**2)
    # Rounding would leave 1e-17 for 0.
    return np.stack([np.where(k == 0, 0 * low, low), np.where(k == n, 1 + 0 * high, high)])


@dataclasses.dataclass(frozen=True)
class Calibration:
    """How often the network is right where it is so and so sure.

    Attributes:
        pictures: int64 `(bins,)`; those whose highest probability lies in the bin. Bin i of n
            reaches from i / n, excluded, to (i + 1) / n.
        right: int64 `(bins,)`; how many of them were named rightly.
        confidence_sum: float64 `(bins,)`; the sum of those highest probabilities.

    Example:

    >>> calibration = Calibration.empty(bins=2)
    >>> calibration.add(np.array([0.4, 0.8, 1.0]), np.array([True, True, False]))
    >>> calibration.accuracy.tolist(), calibration.confidence.round(2).tolist()
    ([1.0, 0.5], [0.4, 0.9])
    """

    pictures: np.ndarray
    right: np.ndarray
    confidence_sum: np.ndarray

    @classmethod
    def empty(cls, bins: int = BINS) -> "Calibration":
        """With nothing counted yet."""
        return cls(np.zeros(bins, "int64"), np.zeros(bins, "int64"), np.zeros(bins))

    def add(self, confidence: np.ndarray, right: np.ndarray) -> None:
        """Counts some pictures.

        Args:
            confidence: float `(pictures,)`, the highest probability of each.
            right: bool `(pictures,)`.
        """
        bins = np.searchsorted(self.edges[1:-1], confidence.astype("float64"))
        np.add.at(self.pictures, bins, 1)
        np.add.at(self.right, bins, right)
        np.add.at(self.confidence_sum, bins, confidence)

    @property
    def edges(self) -> np.ndarray:
        """The bins' limits, float64 `(bins + 1,)`."""
        return np.linspace(0, 1, len(self.pictures) + 1)

    @property
    def confidence(self) -> np.ndarray:
        """Mean of the highest probability, by bin; NaN where no picture is."""
        return _share(self.confidence_sum, self.pictures)

    @property
    def accuracy(self) -> np.ndarray:
        """Share that was named rightly, by bin; NaN where no picture is."""
        return _share(self.right, self.pictures)

    @property
    def expected_error(self) -> float:
        """The expected calibration error: |accuracy - confidence|, averaged over the pictures.

        Source: Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", 2017.
        """
        return float(np.abs(self.right - self.confidence_sum).sum() / self.pictures.sum())


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """NaN where the whole is nothing."""
    with np.errstate(invalid="ignore"):
        return part / whole


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
        calibration: how often the network was right where it was how sure.

    Example:

    >>> from alexnet_keras import evaluate, load_run
    >>> run = load_run("runs/openclipart-paper")
    >>> result = evaluate(run.model, run.open_dataset(), run.statistics)
    >>> result.pictures, result.confusion.shape
    (337, (10, 10))
    >>> low, high = result.top1_interval
    >>> low < result.top1_error < high
    True
    """

    class_names: tuple[str, ...]
    views: int
    top5_errors: int
    confusion: np.ndarray
    mistakes: tuple[Mistake, ...]
    calibration: Calibration

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
    def top1_interval(self) -> tuple[float, float]:
        """The 95 % interval of `top1_error`, see `wilson_interval`."""
        errors = self.pictures - np.trace(self.confusion).item()
        return tuple(wilson_interval(errors, self.pictures).tolist())

    @property
    def top5_interval(self) -> tuple[float, float]:
        """The 95 % interval of `top5_error`, see `wilson_interval`."""
        return tuple(wilson_interval(self.top5_errors, self.pictures).tolist())

    @property
    def recall(self) -> np.ndarray:
        """Share of each label's pictures that was named so, float64 `(classes,)`; NaN if none."""
        return _share(self.confusion.diagonal(), self.confusion.sum(axis=1))

    @property
    def precision(self) -> np.ndarray:
        """Share of what was named so that is so, float64 `(classes,)`; NaN if nothing was."""
        return _share(self.confusion.diagonal(), self.confusion.sum(axis=0))

    @property
    def largest_class_share(self) -> float:
        """Accuracy of always naming the commonest class."""
        return self.confusion.sum(axis=1).max().item() / self.pictures

    def as_dict(self) -> dict[str, Any]:
        """For JSON; `None` where there is nothing to divide by."""
        return {
            "pictures": self.pictures,
            "views": self.views,
            "top1_error": self.top1_error,
            "top1_interval": self.top1_interval,
            "top5_error": self.top5_error,
            "top5_interval": self.top5_interval,
            "interval_confidence": CONFIDENCE,
            "largest_class_share": self.largest_class_share,
            "expected_calibration_error": self.calibration.expected_error,
            "class_names": list(self.class_names),
            "confusion": self.confusion.tolist(),
            "classes": self._class_rows(),
            "reliability": self._reliability_rows(),
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

    def _class_rows(self) -> list[dict[str, Any]]:
        right, pictures = self.confusion.diagonal(), self.confusion.sum(axis=1)
        predicted = self.confusion.sum(axis=0)
        return _rows(
            {
                "class": self.class_names,
                "pictures": pictures,
                "predicted": predicted,
                "right": right,
                "recall": self.recall,
                "recall_low": wilson_interval(right, pictures)[0],
                "recall_high": wilson_interval(right, pictures)[1],
                "precision": self.precision,
                "precision_low": wilson_interval(right, predicted)[0],
                "precision_high": wilson_interval(right, predicted)[1],
            }
        )

    def _reliability_rows(self) -> list[dict[str, Any]]:
        c = self.calibration
        low, high = wilson_interval(c.right, c.pictures)
        return _rows(
            {
                "from": c.edges[:-1],
                "to": c.edges[1:],
                "pictures": c.pictures,
                "right": c.right,
                "confidence": c.confidence,
                "accuracy": c.accuracy,
                "accuracy_low": low,
                "accuracy_high": high,
            }
        )


def _rows(columns: Mapping[str, Sequence]) -> list[dict[str, Any]]:
    """One dictionary a row, for JSON and CSV; NaN becomes `None`."""
    lists = [np.asarray(column).tolist() for column in columns.values()]
    return [
        {k: None if value != value else value for k, value in zip(columns, row)}
        for row in zip(*lists)
    ]


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

    Example:

    >>> from alexnet_keras import evaluate, load_run
    >>> run = load_run("runs/openclipart-paper")
    >>> evaluate(run.model, run.open_dataset(), run.statistics, batch_size=64).pictures
    337
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
    confusion, calibration = np.zeros((classes, classes), "int64"), Calibration.empty()
    top5_errors, index, worst = 0, 0, []
    for images, labels in checked(batches, dataset, split):
        probabilities = predict_views(model, images)
        predicted = probabilities.argmax(axis=1)
        # Ties count against the network: a stuck one that is equally sure of all is wrong.
        of_label = np.take_along_axis(probabilities, labels[:, None], axis=1)
        top5_errors += int(((probabilities < of_label).sum(axis=1) < classes - 5).sum())
        np.add.at(confusion, (labels, predicted), 1)
        calibration.add(probabilities.max(axis=1), predicted == labels)
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
    >>> model = load_run("runs/openclipart-paper").model
    >>> predict_views(model, np.zeros((2, 10, 64, 64, 3), "float32")).shape
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

    Example:

    >>> from PIL import Image
    >>> from alexnet_keras import load_run, predict
    >>> Image.new("RGB", (90, 80), "red").save("red.jpg")
    >>> run = load_run("runs/openclipart-paper")
    >>> for path, probabilities in predict(run.model, ["red.jpg"], run.statistics):
    ...     print(path, probabilities.shape, probabilities.sum().round(3))
    red.jpg (10,) 1.0
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
    """Writes what is known of an evaluation.

    All of it is in `report.json`; its tables are in `per_class.csv`, `reliability.csv`,
    `confusion.csv` and `mistakes.csv`, and drawn in the `.png` files of these names; given a log,
    `curves.png` is drawn too.

    Args:
        folder: made if it is not there; files of those names in it are replaced.
        evaluation: what to report.
        dataset, split: what was evaluated.
        log: the run's columns by epoch, as from `Run.log`.

    Example:

    >>> from alexnet_keras import evaluate, load_run
    >>> run = load_run("runs/openclipart-paper")
    >>> data = run.open_dataset()
    >>> write_report("report", evaluate(run.model, data, run.statistics), data, "validation")
    >>> len(list(Path("report").glob("*.png")))
    4
    """
    from alexnet_keras import visualization  # matplotlib takes a second to import

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    report = {"data": dataset.name, "split": split, **evaluation.as_dict()}
    examples = dataset.examples_at(split, [mistake["index"] for mistake in report["mistakes"]])
    for mistake, example in zip(report["mistakes"], examples):
        mistake["id"] = os.fsdecode(example["id"])
    write_json(folder / "report.json", report)
    names = evaluation.class_names
    tables = {
        "confusion": (
            ("label", *names),
            [(name, *row) for name, row in zip(names, report["confusion"])],
        ),
        "mistakes": (
            ("index", "label", "predicted", "probability", "id"),
            [mistake.values() for mistake in report["mistakes"]],
        ),
        "per_class": (report["classes"][0], [row.values() for row in report["classes"]]),
        "reliability": (
            report["reliability"][0],
            [row.values() for row in report["reliability"]],
        ),
    }
    for name, (header, rows) in tables.items():
        write_file(folder / f"{name}.csv", functools.partial(_write_csv, header=header, rows=rows))
    name = Path(dataset.name).resolve().name if is_folder(dataset.name) else dataset.name
    title = f"{name}, {split}: top-1 error {evaluation.top1_error:.1%}"
    figures = {
        "confusion": visualization.plot_confusion(evaluation, title),
        "mistakes": visualization.plot_mistakes(evaluation, dataset, split),
        "per_class": visualization.plot_classes(evaluation, title),
        "reliability": visualization.plot_reliability(evaluation, title),
    }
    if log is not None:
        figures["curves"] = visualization.plot_curves(log, title)
    for name, figure in figures.items():
        write_file(folder / f"{name}.png", functools.partial(figure.savefig, dpi=100))


def _write_csv(path: Path, header: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    with open(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
