"""Keeps what the README shows of runs.

    python -m benchmarks.claims.trained runs/imagenette-paper runs/imagenette-batchnorm

Reads the folders that `alexnet-keras train` wrote, with their reports of one view and of ten. Each
run is a line of `trained.jsonl`, which the table and the plot of the errors are made of; the
kernels of the first layers are in `trained_filters.npz`. What was kept before is replaced.
"""

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_keras.figures import Figure, course_style
from benchmarks.claims.comparison import NETWORKS
from benchmarks.common import RESULTS, fresh_file, markdown_table


@dataclasses.dataclass(frozen=True)
class Run:
    """A line of `trained.jsonl`.

    Attributes:
        config: `TrainingConfig`, less `data_dir`.
        parameters: of the network.
        pictures: validated on.
        top1_errors, top5_errors: with the weights of the best epoch, of one view and of ten.
        top1_intervals: 95 % intervals of the first.
        last_error: top-1 error of one view after the last epoch.
        log: by column of `log.csv`.
        seconds: of training, validation after each epoch included.
        versions: of what was used.
    """

    config: dict[str, Any]
    parameters: int
    pictures: int
    top1_errors: list[float]
    top1_intervals: list[list[float]]
    top5_errors: list[float]
    last_error: float
    log: dict[str, list[float]]
    seconds: float
    versions: dict[str, str]


def read_run(folder: Path) -> tuple[Run, list[np.ndarray]]:
    """What is kept of a run, and the filters of its first layer by column."""
    from alexnet_keras import load_run
    from alexnet_keras.inspection import first_filters

    run = load_run(folder)
    # Of an epoch of one step there is no speed, which is then not a number.
    log = {name: column.tolist() for name, column in run.log().items() if np.isfinite(column).all()}
    paths = [folder / "report.json", folder / "evaluation-validation-10" / "report.json"]
    reports = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    times = json.loads((folder / "time.json").read_text(encoding="utf-8"))
    config = dataclasses.asdict(run.config)
    del config["data_dir"]
    kept = Run(
        config=config,
        parameters=run.model.count_params(),
        pictures=reports[0]["pictures"],
        top1_errors=[report["top1_error"] for report in reports],
        top1_intervals=[report["top1_interval"] for report in reports],
        top5_errors=[report["top5_error"] for report in reports],
        last_error=1 - log["val_top1"][-1],
        log={name: [round(value, 6) for value in column] for name, column in log.items()},
        seconds=times["training_seconds"],
        versions=json.loads((folder / "config.json").read_text(encoding="utf-8"))["versions"],
    )
    return kept, first_filters(run.model)


def table(runs: list[Run]) -> str:
    """A line a run, in Markdown."""
    head = ["", "parameters", "top-1 error, one view", "95 % interval", "ten views"]
    head += ["top-5 error, one view", "ten views", "one view, last epoch", "training time"]
    rows = []
    for run in runs:
        low, high = run.top1_intervals[0]
        cells = [
            NETWORKS.get(run.config["variant"], run.config["variant"]),
            f"{run.parameters:,}",
            f"{run.top1_errors[0]:.2%}",
            f"{low:.1%} to {high:.1%}",
            f"{run.top1_errors[1]:.2%}",
            *(f"{error:.2%}" for error in run.top5_errors),
            f"{run.last_error:.2%}",
            f"{run.seconds / 60:.0f} min",
        ]
        rows.append(cells)
    return markdown_table(head, rows)


@course_style(formulas=True)
def plot(runs: list[Run], path: Path) -> None:
    """Draws the errors of one view by epoch, in training and in validation."""
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axes = figure.subplots()
    for number, run in enumerate(runs):
        epochs = range(1, len(run.log["epoch"]) + 1)
        name = NETWORKS.get(run.config["variant"], run.config["variant"])
        for column, style, where in (("top1", "--", "training"), ("val_top1", "-", "validation")):
            errors = [100 * (1 - value) for value in run.log[column]]
            axes.plot(epochs, errors, style, color=f"C{number}", label=f"{name}: {where}")
    axes.set(xlabel="epoch", ylabel="top-1 error, %", title="One view", ylim=(0, None))
    axes.legend()
    figure.savefig(path, dpi=100)


def plot_filters(source: Path, path: Path) -> None:
    """Draws the filters of the first run's first layer."""
    from alexnet_keras.inspection import plot_filters

    with np.load(source) as columns:
        figure = plot_filters(
            [columns[name].astype("float32") for name in sorted(columns.files)],
            "The first layer, trained",
        )
    figure.savefig(path, dpi=100)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+", help="folders that train wrote")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    args = parser.parse_args(argv)

    from alexnet_keras.common import write_file
    from alexnet_keras.experiments import append_line

    found = [read_run(folder) for folder in args.runs]
    path = fresh_file(args.out, "trained.jsonl")
    for run, _ in found:
        append_line(path, run)
    columns = {f"column_{letter}": x.astype("float16") for letter, x in zip("ab", found[0][1])}
    filters = path.with_name("trained_filters.npz")
    write_file(filters, lambda partial: np.savez_compressed(partial, **columns))
    runs = [run for run, _ in found]
    plot(runs, path.with_suffix(".png"))
    plot_filters(filters, filters.with_suffix(".png"))
    print(f"{table(runs)}\n\n{path}")


if __name__ == "__main__":
    main()
