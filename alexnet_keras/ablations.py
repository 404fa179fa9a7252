"""What each of the paper's ideas is worth: each switched off alone in an equal network."""

import bisect
import dataclasses
import functools
import json
import math
import shutil
import statistics
import types
import typing
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from alexnet_keras.configuration import TrainingConfig
from alexnet_keras.datasets import DataError, open_dataset
from alexnet_keras.evaluation import evaluate
from alexnet_keras.files import shipped, write_file
from alexnet_keras.model import layer_costs
from alexnet_keras.training import build_model, load_run, read_config, resume, train, versions

CONFIDENCE = 0.95
"""Of the intervals of the differences; what reaches across zero is called noise."""

RESULTS = "results.jsonl"
"""Name of the file in the folder: one JSON line a run."""


@dataclasses.dataclass(frozen=True)
class Condition:
    """One idea switched off.

    Attributes:
        label: its row in the table.
        changes: fields of `TrainingConfig` that differ from the base; a function of the base and
            the number of classes where a value has to be worked out.
        paper: what the paper found, in its own figures, and where.
        points: by how much top-1 error was higher without the idea, in points; `None` if the paper
            has no such figure.
        sign: 1 where the paper predicts a higher error, `None` where it predicts nothing.
    """

    label: str
    changes: dict[str, Any] | Callable[[TrainingConfig, int], dict[str, Any]]
    paper: str = "-"
    points: float | None = None
    sign: int | None = 1


_SATURATING = "25 % training error on CIFAR-10 about 6 times later (3.1, figure 1; tanh)"
_OVERFITTING = "substantial overfitting without crops and mirror images (4.1)"

CONDITIONS: dict[str, Condition] = {
    "base": Condition("the paper's network", {}, sign=None),
    "tanh": Condition("tanh for ReLU", {"activation": "tanh"}, _SATURATING),
    "sigmoid": Condition("sigmoid for ReLU", {"activation": "sigmoid"}, _SATURATING),
    "no-lrn": Condition(
        "no response normalization",
        {"normalization": "none"},
        "top-1 / top-5 error 1.4 / 1.2 points higher (3.3)",
        1.4,
    ),
    "batch-norm": Condition(
        "batch for response normalization",
        {"normalization": "batch"},
        "came in 2015",
        sign=None,
    ),
    "plain-pooling": Condition(
        "pools that do not overlap",
        {"overlapping": False},
        "0.4 / 0.3 points higher (3.4)",
        0.4,
    ),
    "no-dropout": Condition("no dropout", {"dropout": 0.0}, "substantial overfitting (4.2)"),
    "no-mirror": Condition("no mirror images", {"mirror": False}, _OVERFITTING),
    "no-crop": Condition("no crops at random", {"crop": False}, _OVERFITTING),
    "no-color-noise": Condition(
        "no PCA colour noise", {"color_noise": 0.0}, "over 1 point of top-1 higher (4.1)", 1.0
    ),
    "one-column": Condition(
        "one column of equal cost",
        lambda base, classes: {"columns": 1, "width": equal_cost_width(base, classes)},
        "not compared",
        sign=None,
    ),
    "half": Condition(
        "one column with half of the maps",
        lambda base, classes: {"columns": 1, "width": base.width / 2},
        "1.7 / 1.2 points higher (3.2)",
        1.7,
    ),
}
"""By name. `half` halves every layer; the paper's one-GPU network kept the full number of maps in
conv5 and of units in the dense layers (section 3.2, footnote 2), so that more is lost here."""


@dataclasses.dataclass(frozen=True)
class Result:
    """A run, as it stands in a line of `results.jsonl`.

    Attributes:
        condition: one of `CONDITIONS`.
        seed: of the run.
        config: its `TrainingConfig`, less `data_dir`.
        fingerprint: of the data, see `ImageDataset`.
        parameters: of the network.
        multiply_adds: of the network, an image.
        top1_error, top5_error: of the central crop, on the validation pictures, after the last
            epoch; no epoch is chosen.
        top1_error_ten_views, top5_error_ten_views: of the mean of ten views.
        training_loss, training_error: in the last epoch, with dropout and augmentation as in
            training.
        training_seconds: of the run's epochs.
        versions: see `training.versions`.
    """

    condition: str
    seed: int
    config: dict[str, Any]
    fingerprint: str
    parameters: int
    multiply_adds: int
    top1_error: float
    top5_error: float
    top1_error_ten_views: float
    top5_error_ten_views: float
    training_loss: float
    training_error: float
    training_seconds: float
    versions: dict[str, str]


def condition_config(name: str, base: TrainingConfig, classes: int) -> TrainingConfig:
    """The configuration of a condition.

    Args:
        name: one of `CONDITIONS`.
        base: of the network with all the ideas.
        classes: of the data.

    Raises:
        ValueError: if there is no such condition, `base` is not the paper's network of two columns,
            or it is without the idea already.

    Example:

    >>> from alexnet_keras import TrainingConfig
    >>> condition_config("no-dropout", TrainingConfig(), 10).dropout
    0.0
    """
    if name not in CONDITIONS:
        raise ValueError(f"`conditions` must be among {tuple(CONDITIONS)}. Received: {name!r}")
    if base.variant != "paper" or base.columns == 1:
        raise ValueError(
            "The base must be of variant 'paper', with two columns. "
            f"Received: variant={base.variant!r}, columns={base.columns!r}"
        )
    changes = CONDITIONS[name].changes
    config = dataclasses.replace(base, **changes(base, classes) if callable(changes) else changes)
    if name != "base" and config == base:
        raise ValueError(f"The base must have what {name!r} switches off. Received: {changes}")
    return config


def equal_cost_width(base: TrainingConfig, classes: int) -> float:
    """The width at which one column takes as many multiply-adds as two of the base's width.

    The nearest there is: numbers of maps are even, so that narrow networks may be a percent off.

    Args:
        base: its width, image size and switches count.
        classes: of the data.

    Example:

    >>> from alexnet_keras import TrainingConfig
    >>> equal_cost_width(TrainingConfig(width=0.25, image_size=64), 10)
    0.216064453125
    """

    def cost(config):
        model = build_model(config, classes)
        return sum(layer.multiply_adds for layer in layer_costs(model))

    @functools.cache
    def of_one_column(n):  # the dense layers have a step at each odd n
        return cost(dataclasses.replace(base, columns=1, width=n / 4096))

    target = cost(base)
    steps = range(1, math.ceil(4096 * base.width) + 1)
    place = bisect.bisect_left(steps, target, key=of_one_column)
    near = steps[max(0, place - 1) : place + 1]
    return min(near, key=lambda n: abs(of_one_column(n) - target)) / 4096


def ablate(
    base: TrainingConfig,
    out: str | Path,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    conditions: Sequence[str] = tuple(CONDITIONS),
    checkpoint_steps: int = 500,
    verbose: bool = True,
) -> list[Result]:
    """Trains the base and each condition with each seed, one run after another.

    All the conditions of a seed come before the next seed. After each run a line is added to
    `results.jsonl` in the folder, and the run's own folder, under `runs/`, is deleted. Called
    again, it leaves out what is there and goes on with the run that was cut off.

    Args:
        base: the network with all the ideas, and the recipe; its seed does not count.
        out: folder of the results.
        seeds, conditions: which runs.
        checkpoint_steps: as for `train`.
        verbose: whether a line is printed for each run.

    Returns:
        All the results in the folder, those of other seeds and conditions among them.

    Raises:
        ValueError: for an unknown condition, a seed given twice, and where the folder holds results
            with other settings or of other data; nothing is written.
        Others: as `train`.

    Example:

    >>> from alexnet_keras import TrainingConfig, ablate
    >>> base = TrainingConfig(width=0.05, image_size=64, epochs=1)
    >>> results = ablate(base, "ablations", seeds=[0], conditions=["base"], verbose=False)
    >>> [(result.condition, result.seed) for result in results]
    [('base', 0)]
    """
    out = Path(out)
    for name, values in (("seeds", seeds), ("conditions", conditions)):
        if not values or len(set(values)) < len(values):
            raise ValueError(f"`{name}` must be given, each once. Received: {list(values)}")
    dataset = open_dataset(
        base.data,
        base.data_dir,
        validation_fraction=base.validation_fraction,
        skip_bad=base.skip_bad,
    )
    results = read_results(out) if (out / RESULTS).exists() else []
    configs = {
        name: condition_config(name, base, len(dataset.class_names))
        for name in dict.fromkeys([*conditions, *(result.condition for result in results)])
    }
    for result in results:
        _require_same(result.config, configs[result.condition], out)
        if result.fingerprint != dataset.fingerprint:
            raise DataError(
                "The data must be that of the results in the folder. "
                f"Received: {dataset.name} with {out}, whose results are of other data"
            )
    done = {(result.condition, result.seed) for result in results}
    for seed in seeds:
        for name in conditions:
            folder = out / "runs" / f"{name}-{seed}"
            if (name, seed) not in done:
                config = dataclasses.replace(configs[name], seed=seed)
                result = _run(name, config, folder, checkpoint_steps)
                append_line(out / RESULTS, result)
                results.append(result)
                if verbose:
                    print(
                        f"{name}, seed {seed}: top-1 error {result.top1_error:.2%}, ten views "
                        f"{result.top1_error_ten_views:.2%}; {result.training_seconds:,.0f} s",
                        flush=True,
                    )
            shutil.rmtree(folder, ignore_errors=True)
    return results


def _run(name: str, config: TrainingConfig, folder: Path, checkpoint_steps: int) -> Result:
    how = {"checkpoint_steps": checkpoint_steps, "verbose": 0}
    if (folder / "config.json").exists():
        _require_same(dataclasses.asdict(read_config(folder)[0]), config, folder)
        run = resume(folder, **how)
    else:
        shutil.rmtree(folder, ignore_errors=True)  # it was cut off before it began
        run = train(config, folder, **how)
    dataset, model = run.open_dataset(), load_run(folder, "last").model
    one, ten = (
        evaluate(model, dataset, run.statistics, views=views, mean=config.mean) for views in (1, 10)
    )
    log = run.log()
    time = json.loads((folder / "time.json").read_text(encoding="utf-8"))
    return Result(
        condition=name,
        seed=config.seed,
        config={k: v for k, v in dataclasses.asdict(config).items() if k != "data_dir"},
        fingerprint=dataset.fingerprint,
        parameters=model.count_params(),
        multiply_adds=sum(layer.multiply_adds for layer in layer_costs(model)),
        top1_error=one.top1_error,
        top5_error=one.top5_error,
        top1_error_ten_views=ten.top1_error,
        top5_error_ten_views=ten.top5_error,
        training_loss=float(log["loss"][-1]),
        training_error=1 - float(log["top1"][-1]),
        training_seconds=time["training_seconds"],
        versions=versions(),
    )


def _require_same(saved: dict[str, Any], config: TrainingConfig, folder: Path) -> None:
    """Where the data lies does not count: its fingerprint is compared."""
    for name, value in dataclasses.asdict(config).items():
        before = saved.get(name, getattr(TrainingConfig, name))  # older results lack new fields
        if name not in ("data", "data_dir", "seed") and before != value:
            raise ValueError(
                f"`{name}` must be that of the results in the folder, {before!r}; other "
                f"settings need another folder. Received: {value!r} with {folder}"
            )


# Files of results


def read_results(path: str | Path | None = None) -> list[Result]:
    """The runs in a folder that `ablate` wrote, or in a file of their lines.

    Args:
        path: of the folder or file; `None` for the runs that come with the package, those of the
            README.

    Raises:
        DataError: if a line is not as `ablate` writes it, or there is no such condition.
    """
    path = shipped("results/ablations.jsonl") if path is None else Path(path)
    results = read_lines(path / RESULTS if path.is_dir() else path, Result)
    unknown = {result.condition for result in results} - CONDITIONS.keys()
    if unknown:
        raise DataError(f"Results must be of known conditions. Received: {sorted(unknown)}")
    return results


Line = typing.TypeVar("Line")


def read_lines(path: str | Path, kind: type[Line]) -> list[Line]:
    """Reads a file of JSON lines, each the fields of a dataclass.

    Args:
        path: of the file.
        kind: the dataclass; its annotations are the schema.

    Raises:
        DataError: if a line has other fields, or a value is of another type.
    """
    lines = []
    for number, text in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        try:
            line = kind(**json.loads(text))
            for field in dataclasses.fields(kind):
                _require_type(field.name, getattr(line, field.name), field.type)
        except (ValueError, TypeError) as error:
            raise DataError(
                f"Each line must have the fields of {kind.__name__}. "
                f"Received: line {number} of {path} ({error})"
            ) from None
        lines.append(line)
    return lines


def _require_type(name: str, value: Any, annotation: Any) -> None:
    union = isinstance(annotation, types.UnionType)
    alternatives = typing.get_args(annotation) if union else [annotation]
    kinds = [typing.get_origin(kind) or kind for kind in alternatives]
    if float in kinds:
        kinds.append(int)
    if not isinstance(value, tuple(kinds)) or (isinstance(value, bool) and bool not in kinds):
        raise TypeError(f"{name} must be of type {kinds[0].__name__}, not {value!r}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name} must be finite, not {value!r}")
    if isinstance(value, list):
        for item in value:
            _require_type(f"an item of {name}", item, *typing.get_args(annotation))


def append_line(path: Path, line: Any) -> None:
    """Adds a dataclass to a file of JSON lines; the file is whole at any time."""
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    text = before + json.dumps(dataclasses.asdict(line)) + "\n"
    write_file(path, lambda partial: partial.write_text(text, encoding="utf-8"))


# Statistics


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
    axes.grid(axis="x", alpha=0.3)
    axes.legend(fontsize="small")
    return figure
