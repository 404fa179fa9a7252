"""What an evaluation found: errors with their intervals, confusion, calibration."""

import dataclasses
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from alexnet_keras.common import check_number

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

    >>> from alexnet_keras.evaluation import wilson_interval
    >>> wilson_interval(10, 100).round(4).tolist()
    [0.0552, 0.1744]
    """
    k, n = np.asarray(count, "float64"), np.asarray(total, "float64")
    if not ((k >= 0) & (k <= n)).all():
        raise ValueError(f"`count` must lie between 0 and `total`. Received: {count} of {total}")
    confidence = check_number("confidence", confidence, above=0, below=1)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    with np.errstate(invalid="ignore"):
        # (p + z^2 / 2n) / (1 + z^2 / n), and so on, with both sides times n.
        middle = k + z**2 / 2
        reach = z * np.sqrt(k * (n - k) / n + z**2 / 4)
        low, high = (middle - reach) / (n + z**2), (middle + reach) / (n + z**2)
    # Rounding would leave 1e-17 for 0.
    return np.stack([np.where(k == 0, 0 * low, low), np.where(k == n, 1 + 0 * high, high)])


@dataclasses.dataclass(frozen=True, eq=False)
class Calibration:
    """How often the network is right where it is so and so sure.

    Attributes:
        pictures: int64 `(bins,)`; those whose highest probability lies in the bin. Bin i of n
            reaches from i / n, excluded, to (i + 1) / n.
        right: int64 `(bins,)`; how many of them were named rightly.
        confidence_sum: float64 `(bins,)`; the sum of those highest probabilities.

    Example:

    >>> calibration = Calibration.empty(bins=2)
    >>> calibration = calibration.add(np.array([0.4, 0.8, 1.0]), np.array([True, True, False]))
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

    def add(self, confidence: np.ndarray, right: np.ndarray) -> "Calibration":
        """The same with some more pictures counted.

        Args:
            confidence: float `(pictures,)`, the highest probability of each.
            right: bool `(pictures,)`.
        """
        bins = np.searchsorted(self.edges[1:-1], confidence.astype("float64"))
        count = len(self.pictures)
        return Calibration(
            self.pictures + np.bincount(bins, minlength=count),
            self.right + np.bincount(bins[right], minlength=count),
            self.confidence_sum + np.bincount(bins, confidence, minlength=count),
        )

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


@dataclasses.dataclass(frozen=True, eq=False)
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
    >>> run = load_run()
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
