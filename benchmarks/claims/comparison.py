"""AlexNet beside what came after it, trained alike: for equally many epochs, and for equally long.

All see the same pictures in the same order, with the same augmentation, optimizer, learning rate
and half cosine, without pretrained weights. With `--seconds` each is trained a second time, for as
many epochs as fit into that time at the rate of its training step. That is measured first, in
turns, on noise, and kept in `comparison.json`; so the trainings may share the machine.

Each training has a process of its own, is measured by the error after its last epoch, and appends a
line to `comparison.jsonl`; those that are there are not done again. The tables and the plot are
made of the lines: `--plot-only` makes them again.

    python -m benchmarks.claims.comparison --seconds 20
    python -m benchmarks.claims.comparison --data imagenette-72 --seconds 100
"""

import dataclasses
import json
import math
import multiprocessing
import statistics
import tempfile
from pathlib import Path
from typing import Any

from alexnet_keras.figures import Figure, course_style
from benchmarks.common import machine, markdown_table
from benchmarks.speed.harness import Contender, measure, measuring_options, report, speed_parser
from benchmarks.speed.networks import batch
from benchmarks.speed.training import keras_step

NETWORKS = {
    "paper": "AlexNet",
    "batchnorm": "AlexNet, batch normalization",
    "vgg11": "VGG-11",
    "googlenet": "GoogLeNet",
    "plain18": "ResNet-18 without shortcuts",
    "resnet18": "ResNet-18",
    "plain34": "ResNet-34 without shortcuts",
    "resnet34": "ResNet-34",
}
"""Label by variant of `TrainingConfig`."""


@dataclasses.dataclass(frozen=True)
class Run:
    """A line of `comparison.jsonl`.

    Attributes:
        variant: one of `NETWORKS`.
        seed, epochs: of the run.
        limit: the seconds that the epochs were chosen for; `None` where all have as many epochs.
        recipe: the other arguments of `TrainingConfig`, less `data_dir`.
        training_pictures, validation_pictures: how many there are.
        parameters, multiply_adds: of the network, for its size of picture.
        top1_error, top5_error: of the central crop in validation, after the last epoch.
        training_error: in the last epoch, with dropout and augmentation.
        seconds: that all epochs took, on a machine that may have been busy.
        machine: see `harness.machine`.
    """

    variant: str
    seed: int
    epochs: int
    limit: float | None
    recipe: dict[str, Any]
    training_pictures: int
    validation_pictures: int
    parameters: int
    multiply_adds: int
    top1_error: float
    top5_error: float
    training_error: float
    seconds: float
    machine: dict[str, Any]


def train_once(
    variant: str,
    seed: int,
    epochs: int,
    limit: float | None,
    recipe: dict[str, Any],
    data_dir: str | None = None,
) -> Run:
    """Trains in a folder that is deleted afterwards; the arguments are as in `Run`."""
    from alexnet_keras import TrainingConfig, layer_costs, train

    config = TrainingConfig(variant=variant, seed=seed, epochs=epochs, data_dir=data_dir, **recipe)
    with tempfile.TemporaryDirectory() as folder:
        run = train(config, Path(folder) / "run", verbose=0)
        time = json.loads((run.folder / "time.json").read_text(encoding="utf-8"))
        log, sizes = run.log(), run.open_dataset().sizes
    return Run(
        variant=variant,
        seed=seed,
        epochs=epochs,
        limit=limit,
        recipe=recipe,
        training_pictures=sizes["train"],
        validation_pictures=sizes["validation"],
        parameters=run.model.count_params(),
        multiply_adds=sum(layer.multiply_adds for layer in layer_costs(run.model)),
        top1_error=round(1 - float(log["val_top1"][-1]), 6),
        top5_error=round(1 - float(log["val_top5"][-1]), 6),
        training_error=round(1 - float(log["top1"][-1]), 6),
        seconds=time["training_seconds"],
        machine=machine(),
    )


def step(variant: str, image_size: int, width: float, batch_size: int):
    """A training step on noise, for ten classes."""
    from alexnet_keras import MomentumSGD, TrainingConfig
    from alexnet_keras.training import build_model

    model = build_model(TrainingConfig(variant=variant, image_size=image_size, width=width), 10)
    return keras_step(model, MomentumSGD(), False, *batch(batch_size, image_size, 10))


def measure_steps(networks: list[str], size: dict[str, Any], args) -> None:
    """Measures the training steps in turns and writes `comparison.json`."""
    contenders = [
        Contender(variant, step, {"variant": variant, **size}, size["batch_size"])
        for variant in networks
    ]
    results = measure(*contenders, **measuring_options(args))
    settings = {**size, "threads": args.threads or "all", "repetitions": args.repetitions}
    sections = {"Training step": {"results": results, "unit": "images/s"}}
    report("comparison", settings, sections, args.out)


def rates(path: Path) -> dict[str, tuple[float, float | None]]:
    """By variant, images a second and the peak of the memory in bytes, from `comparison.json`.

    All rates are that of the first, which has turns with each of the others, over its ratio to
    them: the machine's drift is in both.
    """
    results = json.loads(path.read_text(encoding="utf-8"))["sections"]["Training step"]["results"]
    first = statistics.median(next(iter(results.values()))["rates"])
    return {
        variant: (first / statistics.median(result["ratios"] or [1.0]), result["peak_bytes"])
        for variant, result in results.items()
    }


def _mean(runs: list[Run], name: str) -> float:
    return statistics.fmean(getattr(run, name) for run in runs)


def groups(runs: list[Run]) -> dict[str, dict[str, tuple[list[Run], list[Run]]]]:
    """By data set and variant, in the order of `NETWORKS`: the runs for equally many epochs, and
    those for equally long."""
    found: dict[str, dict[str, tuple[list[Run], list[Run]]]] = {}
    for variant in NETWORKS:
        for run in runs:
            if run.variant == variant:
                of_data = found.setdefault(run.recipe["data"], {})
                of_data.setdefault(variant, ([], []))[run.limit is not None].append(run)
    return found


def tables(runs: list[Run], measured: dict[str, tuple[float, float | None]]) -> dict[str, str]:
    """A Markdown table of means over the seeds, by data set; `measured` is from `rates`."""
    found = {}
    for data, networks in groups(runs).items():
        (limit,) = {run.limit for _, long in networks.values() for run in long} or {math.nan}
        (epochs,) = {run.epochs for alike, _ in networks.values() for run in alike}
        head = [
            *("", "parameters", "multiply-adds", "images/s", "peak MB"),
            f"training error after {epochs} epochs, %",
            *("top-1 error, %", f"epochs in {limit:g} s", "top-1 error then, %"),
        ]
        rows = []
        for variant, (alike, long) in networks.items():
            rate, peak = measured.get(variant, (None, None))
            rows.append(
                [
                    NETWORKS[variant],
                    f"{alike[0].parameters:,}",
                    f"{alike[0].multiply_adds:,}",
                    f"{rate:,.0f}" if rate else "-",
                    f"{peak / 1e6:,.0f}" if peak else "-",
                    f"{100 * _mean(alike, 'training_error'):.1f}",
                    f"{100 * _mean(alike, 'top1_error'):.1f}",
                    ", ".join(str(run.epochs) for run in long) or "-",
                    f"{100 * _mean(long, 'top1_error'):.1f}" if long else "-",
                ]
            )
        found[data] = markdown_table(head, rows)
    return found


def note(runs: list[Run]) -> str:
    """What was trained on, and how far chance moves one error."""
    from alexnet_keras.evaluation import wilson_interval

    first = runs[0]
    low, high = wilson_interval(first.validation_pictures // 2, first.validation_pictures)
    seeds = ", ".join(str(seed) for seed in sorted({run.seed for run in runs}))
    return (
        f"{first.training_pictures:,} pictures, crops of {first.recipe['image_size']} pixels, "
        f"networks of width {first.recipe['width']:g}, batches of {first.recipe['batch_size']}, "
        f"seeds {seeds}. An error of 50 % over "
        f"{first.validation_pictures:,} pictures has a 95 % interval of {100 * low:.1f} to "
        f"{100 * high:.1f} %."
    )


@course_style(formulas=True)
def plot(runs: list[Run], path: Path) -> None:
    """Draws error against multiply-adds; the area of a bubble is the number of parameters."""
    found = groups(runs)
    figure = Figure(figsize=(11, 4.2 * len(found) + 0.8), layout="constrained")
    rows = figure.subplots(len(found), 2, squeeze=False, sharey="row")
    bubbles = {}
    for row, (data, networks) in zip(rows, found.items()):
        for timed, axes in enumerate(row):
            for variant, pair in networks.items():
                for run in pair[timed][:1]:
                    x, y = run.multiply_adds / 1e6, 100 * _mean(pair[timed], "top1_error")
                    color = f"C{list(NETWORKS).index(variant)}"
                    bubble = axes.scatter(x, y, s=run.parameters / 4e3, alpha=0.5, color=color)
                    bubbles.setdefault(NETWORKS[variant], bubble)
                    amount = f"{run.limit:g} seconds" if timed else f"{run.epochs} epochs"
                    axes.set_title(f"{Path(data).name}, {amount} each")
            axes.set_xlabel("multiply-adds a picture, millions")
            axes.set_xscale("log", base=2)
            axes.xaxis.set_major_formatter("{x:g}")
            axes.margins(0.2)
        row[0].set_ylabel("top-1 error in validation, %")
    figure.suptitle("The area of a bubble is the number of parameters")
    legend = figure.legend(
        list(bubbles.values()), list(bubbles), loc="outside lower center", ncols=4
    )
    for handle in legend.legend_handles:
        handle.set_sizes([80])
    figure.savefig(path, dpi=100)


def _require_same(parser, args, recipe, runs):
    """What is there must be of this comparison, or the means would mix two."""
    for run in runs:
        there, asked = {**run.recipe, "epochs": run.epochs}, {**recipe, "epochs": args.epochs}
        if run.limit:
            there |= {"epochs": None, "seconds": run.limit}
            asked |= {"epochs": None, "seconds": args.seconds or run.limit}
        if run.recipe["data"] == args.data and asked != there:
            parser.error(f"other runs are in {args.out}: {there}. Received: {asked}")
    speeds = args.out / "comparison.json"
    if args.seconds and speeds.exists():
        saved = json.loads(speeds.read_text(encoding="utf-8"))["settings"]
        asked = {name: recipe[name] for name in ("image_size", "width", "batch_size")}
        if not asked.items() <= saved.items():
            parser.error(f"speeds of another size are in {args.out}: {saved}. Received: {asked}")


def main(argv: list[str] | None = None) -> None:
    parser = speed_parser(__doc__)
    parser.add_argument("--data", default="openclipart", help="as for alexnet-keras train")
    parser.add_argument("--data-dir")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--width", type=float, default=0.25, help="factor of maps and units")
    parser.add_argument("--image-size", type=int, default=64, help="pixels")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=12, help="of the first comparison")
    parser.add_argument("--seconds", type=float, help="of the second (default: none is made)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--plot-only", action="store_true", help="tables and plot of what is there")
    args = parser.parse_args(argv)
    if args.miniature:
        args.networks, args.width, args.epochs, args.seconds = ["paper", "resnet18"], 0.05, 1, 0.05

    from alexnet_keras.experiments import append_line, read_lines

    size = {"image_size": args.image_size, "width": args.width, "batch_size": args.batch_size}
    recipe = {"data": args.data, **size, "schedule": "cosine"}
    path = args.out / "comparison.jsonl"
    runs = read_lines(path, Run) if path.exists() else []

    def there(variant, seed, limit):
        for run in runs:
            if (run.variant, run.seed, run.limit, run.recipe) == (variant, seed, limit, recipe):
                return run

    def keep(run):
        append_line(path, run)
        runs.append(run)
        print(
            f"{run.variant}, seed {run.seed}, {run.epochs} epochs in {run.seconds:.0f} s: "
            f"top-1 error {run.top1_error:.2%}",
            flush=True,
        )
        return run

    def trained(variant, seed, epochs, limit):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            arguments = (variant, seed, epochs, limit, recipe, args.data_dir)
            return pool.apply(train_once, arguments)

    args.out.mkdir(parents=True, exist_ok=True)
    speeds = args.out / "comparison.json"
    if not args.plot_only:
        _require_same(parser, args, recipe, runs)
        if args.seconds and not speeds.exists():
            measure_steps(args.networks if args.miniature else list(NETWORKS), size, args)
    for seed in [] if args.plot_only else args.seeds:
        for variant in args.networks:
            alike = there(variant, seed, None) or keep(trained(variant, seed, args.epochs, None))
            if args.seconds and not there(variant, seed, args.seconds):
                pictures = args.seconds * rates(speeds)[variant][0]
                epochs = max(1, round(pictures / alike.training_pictures))
                if epochs == alike.epochs:
                    keep(dataclasses.replace(alike, limit=args.seconds))
                else:
                    keep(trained(variant, seed, epochs, args.seconds))
    if not runs:
        parser.error(f"nothing is in {path} yet")
    measured = rates(speeds) if speeds.exists() else {}
    for data, table in tables(runs, measured).items():
        print(f"\n{data}\n\n{table}\n\n{note([r for r in runs if r.recipe['data'] == data])}")
    plot(runs, path.with_suffix(".png"))
    print(f"\n{path}")


if __name__ == "__main__":
    main()
