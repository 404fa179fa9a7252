"""What each idea of the paper is worth where a network overfits its photographs.

AlexNet at half its width is trained so long on 1,500 photographs that it knows them by heart. Each
condition switches one idea off; the learning rate is chosen for each condition alike, by the
validation error of seed 100, which is not used again. The paper's recipe: momentum 0.9, weight
decay 0.0005, crops, mirror images, colour noise; half a cosine in the place of its steps.
"""

import argparse
import base64
import dataclasses
import sys
import time
from pathlib import Path

from alexnet_keras.figures import Figure, course_style
from benchmarks.common import argument_parser, joined, run_apart

CONDITIONS = {
    "base": {},
    "no dropout": {"dropout": 0.0},
    "no crops": {"crop": False},
    "no mirror": {"mirror": False},
    "no color noise": {"color_noise": False},
    "no LRN": {"normalization": "none"},
    "separate pooling": {"overlapping": False},
    "tanh": {"activation": "tanh"},
}
PICTURES = ("crop", "mirror", "color_noise")
TUNING_SEED = 100
EVERY = 10


@dataclasses.dataclass(frozen=True)
class Run:
    """A line of `overfitting.jsonl`.

    Attributes:
        data, pictures: what was trained on, and how many pictures.
        image_size, side: of the crops, and of the squares that they were taken from, in pixels.
        width: factor of the maps and units.
        condition: one of `CONDITIONS`.
        learning_rate, seed, batch_size, epochs: of the run.
        loss, error: while training, of each epoch: with dropout, of augmented pictures.
        measured_every: epochs between two of the following.
        loss_all_units, error_all_units: of training pictures as in evaluation.
        val_loss, val_error: of the validation pictures.
        right: whether the last answer to each validation picture is right: bits, in base 64. Where
            only what was printed is kept, it is empty, and so are the lists but the last errors.
        seconds: that it took.
        device: what it ran on.
        versions: of what was used.
    """

    data: str
    pictures: int
    image_size: int
    side: int
    width: float
    condition: str
    learning_rate: float
    seed: int
    batch_size: int
    epochs: int
    loss: list[float]
    error: list[float]
    measured_every: int
    loss_all_units: list[float]
    error_all_units: list[float]
    val_loss: list[float]
    val_error: list[float]
    right: str
    seconds: float
    device: str
    versions: dict[str, str]

    def answers(self):
        """For each validation picture whether the last answer is right, bool."""
        import numpy as np

        bits = np.frombuffer(base64.b64decode(self.right), "uint8")
        return np.unpackbits(bits).astype(bool)


def prepare(splits, classes, settings, condition):
    """The network of a condition, and what measures it on training and validation pictures."""
    from alexnet_keras import AlexNet
    from benchmarks.claims.in_memory import Measured, Training

    choices = {"crop": True, "mirror": True, "color_noise": True, **CONDITIONS[condition]}
    size = settings.image_size

    def build():
        return AlexNet(
            input_shape=(size, size, 3),
            classes=classes,
            width=settings.width,
            initialization="he",
            **{name: x for name, x in choices.items() if name not in PICTURES},
        )

    images, labels = splits["train"]
    training = Training(
        build,
        images,
        labels,
        batch_size=settings.batch_size,
        epochs=settings.epochs,
        weight_decay=0.0005,
        cosine=True,
        **{name: choices[name] for name in PICTURES},
    )
    chunk = min(785, len(splits["validation"][1]))  # a fifth of Imagenette's
    some = len(labels) // chunk * chunk
    measured = {
        "all_units": Measured(training, images[:some], labels[:some], chunk),
        "val": Measured(training, *splits["validation"], chunk),
    }
    return training, measured


def train_one(training, measured, rate, seed):
    """One training; returns the lists and the answers of a `Run`."""
    import keras
    import numpy as np

    found = {name: [] for name in measured}

    def measure(epoch, logs):
        if (epoch + 1) % EVERY:
            return
        for name, measure in measured.items():
            found[name].append(measure())

    callbacks = [
        keras.callbacks.LambdaCallback(on_epoch_end=measure),
        keras.callbacks.TerminateOnNaN(),
    ]
    history = training.run(rate, seed, callbacks).history
    if len(history["loss"]) < training.epochs:  # the loss was not a number
        measure(EVERY - 1, None)

    def rounded(values):
        return [round(float(x), 4) for x in np.nan_to_num(values, nan=99.0)]

    def errors(name):
        return rounded([1 - right.mean() for _, right in found[name]])

    return {
        "loss": rounded(history["loss"]),
        "error": rounded(1 - np.array(history["accuracy"])),
        "measured_every": EVERY,
        "loss_all_units": rounded([loss for loss, _ in found["all_units"]]),
        "error_all_units": errors("all_units"),
        "val_loss": rounded([loss for loss, _ in found["val"]]),
        "val_error": errors("val"),
        "right": base64.b64encode(np.packbits(found["val"][-1][1])).decode(),
    }


def run_condition(condition: str, args: argparse.Namespace, path: Path) -> None:
    """All runs of a condition that are not in the file yet: the rates first, then the seeds."""
    from alexnet_keras.experiments import append_line, read_lines
    from alexnet_keras.training import versions
    from benchmarks.claims.in_memory import device_name, squares

    limits = {"train": args.pictures, "validation": 32 if args.miniature else None}
    splits, classes = squares(args.data, args.data_dir, args.side, limits)
    done = read_lines(path, Run) if path.exists() else []
    training, measured = prepare(splits, classes, args, condition)

    def run(rate, seed):
        if (rate, seed) in {(r.learning_rate, r.seed) for r in done}:
            return
        started = time.perf_counter()
        found = train_one(training, measured, rate, seed)
        line = Run(
            data=args.data,
            pictures=len(splits["train"][1]),
            image_size=args.image_size,
            side=args.side,
            width=args.width,
            condition=condition,
            learning_rate=rate,
            seed=seed,
            batch_size=args.batch_size,
            epochs=args.epochs,
            **found,
            seconds=round(time.perf_counter() - started, 1),
            device=device_name(),
            versions=versions(),
        )
        append_line(path, line)
        done.append(line)
        print(
            f"{condition}, rate {rate:g}, seed {seed}: validation {line.val_error[-1]:.1%}, "
            f"training {line.error_all_units[-1]:.1%}, {line.seconds} s",
            flush=True,
        )

    for rate in args.rates:
        run(rate, TUNING_SEED)
    for seed in range(args.seeds):
        run(best_rate(done, condition), seed)


def best_rate(runs: list[Run], condition: str) -> float:
    """The rate with the lowest last validation error of the seed that is kept for this."""
    tuned = [r for r in runs if r.condition == condition and r.seed == TUNING_SEED]
    return min(tuned, key=lambda run: run.val_error[-1]).learning_rate


def comparisons(runs: list[Run]):
    """Each condition beside the base, as an ablation; the tuning seed is left out.

    Its own interval takes in the chance of the trainings only; see `interval_with_pictures`.
    """
    from alexnet_keras.experiments import Comparison

    errors = {}
    for run in runs:
        if run.seed != TUNING_SEED:
            errors.setdefault(run.condition, {})[run.seed] = run.val_error[-1]
    base = errors["base"]
    return [
        Comparison(name, found, {seed: e - base[seed] for seed, e in found.items() if seed in base})
        for name, found in errors.items()
    ]


def interval_with_pictures(runs: list[Run], condition: str) -> tuple[float, float]:
    """95 % interval of a condition's error less the base's, over seeds and pictures alike.

    Over seeds alone where the answers to each picture were not kept. Else two variances are added:
    that of the mean over the seeds, and that of the mean over pictures drawn at random of the
    difference at each. Student's t has the seeds' degrees of freedom.

    Returns:
        The lower and the upper end, fractions.
    """
    import numpy as np
    from scipy.stats import t

    if not all(run.right for run in runs):
        return next(row.interval for row in comparisons(runs) if row.condition == condition)
    answers = {
        name: {r.seed: r.answers() for r in runs if r.condition == name and r.seed != TUNING_SEED}
        for name in ("base", condition)
    }
    seeds = sorted(answers["base"].keys() & answers[condition].keys())
    difference = np.stack(
        [answers["base"][seed].astype(float) - answers[condition][seed] for seed in seeds]
    )
    count, pictures = difference.shape
    variance = difference.mean(axis=1).var(ddof=1) / count
    variance += difference.mean(axis=0).var(ddof=1) / pictures
    reach = t.ppf(0.975, count - 1) * variance**0.5
    return difference.mean() - reach, difference.mean() + reach


def table(runs: list[Run]) -> str:
    """The conditions with their errors, rates and differences."""
    from benchmarks.common import markdown_table

    rows = []
    for row in comparisons(runs):
        chosen = [r for r in runs if r.condition == row.condition and r.seed != TUNING_SEED]
        of_training = sum(r.error_all_units[-1] for r in chosen) / len(chosen)
        cells = [row.condition, str(len(chosen)), f"{chosen[0].learning_rate:g}"]
        cells += [f"{100 * of_training:.1f} %", f"{100 * row.mean:.1f} %"]
        if row.condition == "base":
            cells += ["", ""]
        else:
            low, high = interval_with_pictures(runs, row.condition)
            cells += [f"{100 * row.difference:+.1f}", f"{100 * low:+.1f} to {100 * high:+.1f}"]
        rows.append(cells)
    head = ("condition", "seeds", "rate", "training", "validation", "difference", "95 % interval")
    return markdown_table(head, rows)


@course_style(formulas=True)
def plot(runs: list[Run], path: Path) -> None:
    """What each condition adds to the error of the base, a point for each seed, and the mean."""
    rows = [row for row in comparisons(runs) if row.condition != "base"]
    figure = Figure(figsize=(7, 1.2 + 0.55 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for place, row in enumerate(rows):
        points = [100 * difference for difference in row.differences.values()]
        low, high = (100 * end for end in interval_with_pictures(runs, row.condition))
        mean = 100 * row.difference
        axes.errorbar(
            mean, place, xerr=[[mean - low], [high - mean]], fmt="D", color="C0", capsize=3
        )
        axes.plot(points, [place + 0.2] * len(points), "o", color="C1", markersize=4, alpha=0.8)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(rows)), [row.condition for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel("validation error beside the base, points; mean, 95 % interval, and each seed")
    axes.set_title(f"{runs[0].pictures:,} photographs, {runs[0].epochs} epochs")
    figure.savefig(path, dpi=100)


def main(argv: list[str] | None = None) -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--data", default="imagenette/160px-v2")
    parser.add_argument("--data-dir", help="of TensorFlow Datasets")
    parser.add_argument("--pictures", type=int, default=1500, help="to train on, the first so many")
    parser.add_argument("--image-size", type=int, default=96, help="of the crops, in pixels")
    parser.add_argument("--side", type=int, default=112, help="of the squares, in pixels")
    parser.add_argument("--width", type=float, default=0.5)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=120, help="a multiple of 10")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rates", type=float, nargs="+", default=[0.004, 0.012])
    parser.add_argument("--conditions", nargs="+", choices=CONDITIONS, default=[*CONDITIONS])
    parser.add_argument("--jobs", type=int, default=1, help="conditions at the same time")
    parser.add_argument("--one", choices=CONDITIONS, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.miniature:
        small = {
            "data": "openclipart",
            "data_dir": None,
            "width": 0.1,
            "image_size": 64,
            "side": 72,
        }
        small |= {"pictures": 32, "batch_size": 8, "epochs": EVERY, "seeds": 2}
        vars(args).update(small, rates=args.rates[:2])
    folder = args.out / "overfitting"
    folder.mkdir(parents=True, exist_ok=True)
    if args.one or args.miniature:
        for condition in [args.one] if args.one else args.conditions:
            run_condition(condition, args, folder / f"{condition}.jsonl")
    else:
        run_apart(__spec__.name, argv or sys.argv[1:], args.conditions, args.jobs)
    if args.one:
        return
    from alexnet_keras.experiments import read_lines

    path = joined(folder, [*CONDITIONS], args.out / "overfitting.jsonl")
    runs = read_lines(path, Run)
    plot(runs, path.with_suffix(".png"))
    print(f"\n{table(runs)}\n\n{path}")


if __name__ == "__main__":
    main()
