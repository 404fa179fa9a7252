"""Conditions beside the base: differences paired by seed, with intervals."""

import dataclasses
import math
import statistics
from collections.abc import Iterable, Sequence

from alexnet_keras.experiments.ablations import Result
from alexnet_keras.experiments.conditions import CONDITIONS
from alexnet_keras.figures import Figure, course_style

CONFIDENCE = 0.95
"""Of the intervals of the differences; what reaches across zero is called noise."""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A condition beside the base. Errors are shares, differences those of condition less base.

    Attributes:
        condition: one of `CONDITIONS`.
        errors: by seed.
        differences: by seed, of the seeds that the base has, too.
    """

    condition: str
    errors: dict[int, float]
    differences: dict[int, float]

    @property
    def mean(self) -> float:
        """Mean error over the seeds."""
        return statistics.fmean(self.errors.values())

    @property
    def deviation(self) -> float:
        """Standard deviation over the seeds; NaN of one."""
        return _deviation(self.errors.values())

    @property
    def difference(self) -> float:
        """Mean difference over the seeds; NaN if the base has none of them."""
        return statistics.fmean(self.differences.values()) if self.differences else math.nan

    @property
    def standard_error(self) -> float:
        """Of the mean difference; NaN of one seed."""
        return _deviation(self.differences.values()) / math.sqrt(max(1, len(self.differences)))

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the mean difference, by Student's t; NaN of one seed."""
        if len(self.differences) < 2:
            return math.nan, math.nan
        from scipy.stats import t  # takes a second to import

        reach = t.ppf((1 + CONFIDENCE) / 2, len(self.differences) - 1) * self.standard_error
        return self.difference - reach, self.difference + reach

    @property
    def verdict(self) -> str:
        """What the difference says of the paper's prediction."""
        if self.condition == "base":
            return ""
        if len(self.differences) < 2:
            return "noise unknown: fewer than two pairs"
        low, high = self.interval
        if low <= 0 <= high:
            return "within the noise"
        sign = CONDITIONS[self.condition].sign
        if sign is None:
            return "higher" if low > 0 else "lower"
        return "agrees" if sign * low > 0 else "differs"


def _deviation(values: Iterable[float]) -> float:
    values = list(values)
    return statistics.stdev(values) if len(values) > 1 else math.nan


def compare(results: Sequence[Result], metric: str = "top1_error_ten_views") -> list[Comparison]:
    """Each condition beside the base, paired by seed, in the order of `CONDITIONS`.

    The noise is what remains between seeds: with as few as three, the interval is 4.3 standard
    errors to both sides. Of eleven such intervals one will miss the truth about every other time.

    Args:
        results: from `ablate` or `read_results`.
        metric: a field of `Result` that is a number. The paper's figures are of ten views.

    Raises:
        ValueError: if no result is of the base.
    """
    errors = {name: {} for name in CONDITIONS}
    for result in results:
        errors[result.condition][result.seed] = getattr(result, metric)
    if not errors["base"]:
        raise ValueError("The results must have runs of the base. Received: none")
    return [
        Comparison(
            name,
            of_seeds,
            {s: e - errors["base"][s] for s, e in of_seeds.items() if s in errors["base"]},
        )
        for name, of_seeds in errors.items()
        if of_seeds
    ]


def markdown_table(results: Sequence[Result]) -> str:
    """The results as a Markdown table, in percent and points; see `compare`.

    The differences, their 95 % intervals and the verdicts are of the top-1 error of ten views.
    """
    training = {row.condition: row.mean for row in compare(results, "training_error")}
    one_view = {row.condition: row for row in compare(results, "top1_error")}
    header = (
        ["", "seeds", "training error, %", "top-1 error, %", "of ten views", "less the base's"]
        + ["95 % interval", "the paper", "it predicts", "here"]
    )  # fmt: skip
    rows = [header, ["---", *["---:"] * 6, "---", "---", "---"]]
    for row in compare(results):
        condition = CONDITIONS[row.condition]
        low, high = row.interval
        compared = row.condition != "base"
        rows.append(
            [
                condition.label,
                str(len(row.errors)),
                f"{100 * training[row.condition]:.1f}",
                _with_deviation(one_view[row.condition]),
                _with_deviation(row),
                f"{100 * row.difference:+.1f}" if compared else "",
                f"{100 * low:+.1f} to {100 * high:+.1f}" if compared and low == low else "",
                condition.paper,
                "higher" if condition.sign else "-",
                row.verdict,
            ]
        )
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _with_deviation(row: Comparison) -> str:
    spread = f" ± {100 * row.deviation:.1f}" if row.deviation == row.deviation else ""
    return f"{100 * row.mean:.1f}{spread}"


@course_style()
def plot_comparisons(comparisons: Sequence[Comparison], title: str = "") -> Figure:
    """The differences from the base with their 95 % intervals, and the paper's own.

    Args:
        comparisons: from `compare`.
        title: of the figure.
    """
    rows = [row for row in comparisons if row.condition != "base"]
    figure = Figure(figsize=(9, 1.2 + 0.42 * len(rows)), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0, color="black", linewidth=0.8)
    for y, row in enumerate(rows):
        points = [100 * difference for difference in row.differences.values()]
        axes.plot(points, [y] * len(points), "|", color="C7", markersize=9)
        low, high = row.interval
        reach = 100 * (high - row.difference) if high == high else 0
        axes.errorbar(100 * row.difference, y, xerr=reach, fmt="o", color="C0", capsize=3)
    axes.plot([], [], "|", color="C7", markersize=9, label="each seed")
    axes.errorbar([], [], xerr=[], fmt="o", color="C0", capsize=3, label="mean, 95 % interval")
    papers = {y: CONDITIONS[row.condition].points for y, row in enumerate(rows)}
    found = {y: points for y, points in papers.items() if points is not None}
    if found:
        label = "the paper, on ImageNet"
        axes.plot(list(found.values()), list(found), "D", color="C3", fillstyle="none", label=label)
    axes.set_yticks(range(len(rows)), [CONDITIONS[row.condition].label for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set(
        title=title or "Each idea switched off alone",
        xlabel="top-1 error less that of the paper's network, points (ten views)",
    )
    axes.grid(axis="y", visible=False)
    axes.legend(fontsize="small")
    return figure
