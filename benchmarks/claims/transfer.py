"""What weights from other pictures are worth: the embedded set, learned from nothing and from them.

Four ways, with the same recipe and the same seeds: from nothing; from the weights of a run, whose
layers learn at the full rate, or at a tenth of it; and with conv1 to conv5 of them frozen. fc8 is
new each time.
Each training appends a line to `transfer.jsonl`; those that are there are not done again. The table
and the plot are made of the lines: `--plot-only` makes them again.

    python -m benchmarks.claims.transfer --weights runs/imagenette-small --seeds 0 1 2
"""

import dataclasses
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_keras.figures import Figure, course_style
from benchmarks.common import argument_parser, machine, markdown_table

WAYS = {
    "from nothing": {},
    "full rate everywhere": {},
    "rate of a tenth below fc8": {"transfer_rate": 0.1},
    "conv1 to conv5 frozen": {"freeze": "conv5"},
}
"""What is added to the configuration, by the name in the table."""


@dataclasses.dataclass(frozen=True)
class Run:
    """A line of `transfer.jsonl`.

    Attributes:
        way: one of `WAYS`.
        seed: of everything at random.
        recipe: the other arguments of `TrainingConfig`.
        weights: the data that the run to begin with was trained on; `None` from nothing.
        errors: top-1 error in validation by epoch.
        seconds: of training.
        machine: see `common.machine`.
    """

    way: str
    seed: int
    recipe: dict[str, Any]
    weights: str | None
    errors: list[float]
    seconds: float
    machine: dict[str, Any]


def train_once(way: str, seed: int, weights: Path, recipe: dict[str, Any]) -> Run:
    """Trains in a folder that is deleted afterwards.

    Args:
        way, seed, recipe: as in `Run`.
        weights: folder of the run to begin with.
    """
    import keras

    from alexnet_keras import TrainingConfig, load_run, train

    keras.backend.clear_session()
    start = {} if way == "from nothing" else {"from_weights": str(weights), **WAYS[way]}
    with tempfile.TemporaryDirectory() as folder:
        run = train(TrainingConfig(**recipe, **start, seed=seed), Path(folder) / "run", verbose=0)
        errors = [round(1 - float(top1), 6) for top1 in run.log()["val_top1"]]
        time = json.loads((run.folder / "time.json").read_text(encoding="utf-8"))
    return Run(
        way=way,
        seed=seed,
        recipe=recipe,
        weights=load_run(weights).config.data if start else None,
        errors=errors,
        seconds=time["training_seconds"],
        machine=machine(),
    )


def by_way(runs: list[Run]) -> dict[str, np.ndarray]:
    """Errors by epoch, `(seeds, epochs)`, of each way that was trained."""
    errors = {way: [run.errors for run in runs if run.way == way] for way in WAYS}
    return {way: np.array(found) for way, found in errors.items() if found}


def epochs_to_reach(errors: np.ndarray, goal: float) -> list[int | None]:
    """The first epoch, from 1, whose error is at most the goal; `None` for a seed without one."""
    reached = errors <= goal
    return [int(row.argmax()) + 1 if row.any() else None for row in reached]


def table(runs: list[Run]) -> str:
    """A Markdown table of the error after the last epoch, not the best, which would be a choice by
    the pictures it is measured on."""
    errors = by_way(runs)
    goal = errors["from nothing"][:, -1].mean() if "from nothing" in errors else None
    head = ["start", "seeds", "top-1 error after the last epoch", "lowest to highest"]
    head.append("epochs to the mean error from nothing, by seed")
    rows = []
    for way, found in errors.items():
        last = found[:, -1]
        epochs = [] if goal is None else epochs_to_reach(found, goal)
        rows.append(
            [
                way,
                str(len(last)),
                f"{last.mean():.2%}",
                f"{last.min():.2%} to {last.max():.2%}",
                ", ".join("not reached" if n is None else str(n) for n in epochs),
            ]
        )
    return markdown_table(head, rows)


@course_style(formulas=True)
def plot(runs: list[Run], path: Path) -> None:
    """Draws the mean error by epoch, with the range of the seeds."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for way, found in by_way(runs).items():
        epochs = np.arange(1, found.shape[1] + 1)
        (line,) = axes.plot(epochs, 100 * found.mean(axis=0), marker="o", ms=3, label=way)
        low, high = 100 * found.min(axis=0), 100 * found.max(axis=0)
        axes.fill_between(epochs, low, high, color=line.get_color(), alpha=0.2, lw=0)
    seeds = len({run.seed for run in runs})
    axes.set(
        title=f"The embedded pictures: mean and range of {seeds} seeds",
        xlabel="epoch",
        ylabel="top-1 error in validation, %",
    )
    axes.legend(title="start")
    figure.savefig(path, dpi=100)


def main(argv: list[str] | None = None) -> None:
    parser = argument_parser(__doc__.splitlines()[0])
    parser.add_argument(
        "--weights",
        type=Path,
        help="run to begin with, of the same network; without: from nothing only",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--plot-only", action="store_true", help="table and plot of what is there")
    args = parser.parse_args(argv)
    recipe = {
        "epochs": args.epochs,
        "width": 0.25,
        "image_size": 128,
        "batch_size": 32,
        "schedule": "cosine",
    }
    path = args.out / "transfer.jsonl"
    with tempfile.TemporaryDirectory() as folder:
        if args.miniature:
            recipe |= {"epochs": 1, "width": 0.05, "image_size": 64}
            args.seeds, args.weights = args.seeds[:1], Path(folder) / "run"
            if not args.plot_only:
                from alexnet_keras import TrainingConfig, train

                train(TrainingConfig(**recipe), args.weights, verbose=0)
        if not args.plot_only:
            _train_all(args.seeds, args.weights, recipe, path)
    runs = _read(path, recipe)
    if not runs:
        parser.error(f"nothing of this recipe is in {path} yet")
    print(f"\n{table(runs)}\n")
    plot(runs, path.with_suffix(".png"))
    print(path, path.with_suffix(".png"), sep="\n")


def _read(path, recipe):
    from alexnet_keras.experiments import read_lines

    runs = read_lines(path, Run) if path.exists() else []
    return [run for run in runs if run.recipe == recipe]


def _train_all(seeds, weights, recipe, path):
    from alexnet_keras.experiments import append_line

    path.parent.mkdir(parents=True, exist_ok=True)
    there = [(run.way, run.seed) for run in _read(path, recipe)]
    for seed in seeds:  # a seed at a time, so that few of them show something already
        for way in WAYS if weights else ["from nothing"]:
            if (way, seed) in there:
                continue
            run = train_once(way, seed, weights, recipe)
            append_line(path, run)
            print(
                f"{way}, seed {seed}: top-1 error {run.errors[-1]:.2%}, {run.seconds:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
