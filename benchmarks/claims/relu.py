"""The paper's figure 1: how much sooner a small network learns with ReLU than with tanh.

The network of `four_layers`, without weight decay, dropout or augmentation, on photographs of 32 x
32, in four regimes:

- `paper`: pixels of 0 to 255 less the mean colour, weights from N(0, 0.01), biases of zero;
- `he`: pixels divided by their standard deviation, weights from He et al.'s distribution;

and, to tell which of the two makes the difference, `scaled`, with N(0, 0.01), and `raw-he`.

As in the paper each activation has the learning rate that makes it fastest: it is chosen among a
range with seed 0, and the epochs until 25 % training error are compared with the seeds after it.
"""

import argparse
import dataclasses
import math
import statistics
import sys
import time
from pathlib import Path

from benchmarks.common import argument_parser, joined, run_apart

TARGET = 0.25
ACTIVATIONS = ("relu", "tanh")
RATES = {  # of ReLU, of tanh
    "paper": ((0.001, 0.003, 0.01), (0.01, 0.03)),
    "he": ((0.003, 0.01), (0.003, 0.01)),
    "scaled": ((0.01, 0.03, 0.1), (0.01, 0.03, 0.1)),
    "raw-he": ((0.0001, 0.0003, 0.001), (0.0001, 0.0003, 0.001)),
}
NAMES = {
    "paper": "From N(0, 0.01) and raw pixels",
    "he": "From He's start and scaled pixels",
    "scaled": "From N(0, 0.01) and scaled pixels",
    "raw-he": "From He's start and raw pixels",
}


@dataclasses.dataclass(frozen=True)
class Run:
    """A line of `relu.jsonl`.

    Attributes:
        data, pictures: what was trained on.
        width: factor of the maps.
        regime: one of `RATES`, see above.
        activation, learning_rate, seed, batch_size: of the run.
        errors: error on the training pictures, before training and after each epoch.
        seconds: that it took.
        device: what it ran on.
        versions: of what was used.
    """

    data: str
    pictures: int
    width: float
    regime: str
    activation: str
    learning_rate: float
    seed: int
    batch_size: int
    errors: list[float]
    seconds: float
    device: str
    versions: dict[str, str]

    @property
    def epochs(self) -> float:
        """Until 25 % training error, between two epochs by a straight line; infinite if never."""
        for epoch, (before, after) in enumerate(zip(self.errors, self.errors[1:])):
            if after <= TARGET:
                return epoch + (before - TARGET) / (before - after)
        return math.inf


def prepare(images, labels, classes, regime, activation, args):
    """The network, and what measures it on the training pictures."""
    import keras

    from benchmarks.claims.four_layers import four_layers
    from benchmarks.claims.in_memory import Measured, Training

    scale = 1 / images.std() if regime in ("he", "scaled") else 1.0
    small = keras.initializers.RandomNormal(stddev=0.01)
    start = {} if regime in ("he", "raw-he") else {"start": small}

    def build():
        network = four_layers(classes, args.width, activation, **start)
        image = keras.Input(images.shape[1:])
        return keras.Model(image, network(keras.layers.Rescaling(scale)(image)))

    training = Training(
        build,
        images,
        labels,
        batch_size=args.batch_size,
        epochs=args.epochs,
        weight_decay=0.0,
        cosine=False,
        crop=False,
        mirror=False,
        color_noise=False,
    )
    chunk = max(n for n in range(1, 1001) if len(labels) % n == 0)
    return training, Measured(training, images, labels, chunk)


def training_errors(training, measured, rate, seed):
    """Errors until the target is reached or the epochs are over.

    Or until the loss is not finite, or 20 epochs have brought the error to no less than 80 %.
    """
    import keras

    errors = []

    def measure(*_):
        errors.append(round(float(1 - measured()[1].mean()), 4))
        nothing_learnt = len(errors) > 20 and errors[-1] > 0.8
        training.model.stop_training = errors[-1] <= TARGET or nothing_learnt

    callbacks = [
        keras.callbacks.LambdaCallback(on_train_begin=measure, on_epoch_end=measure),
        keras.callbacks.TerminateOnNaN(),
    ]
    training.run(rate, seed, callbacks)
    return errors


def best_rate(runs: list[Run], regime: str, activation: str) -> float:
    """The rate that took the fewest epochs with seed 0; of equals, that with the lowest error."""
    of_seed = [r for r in runs if (r.regime, r.activation, r.seed) == (regime, activation, 0)]
    return min(of_seed, key=lambda run: (run.epochs, run.errors[-1])).learning_rate


def compared(runs: list[Run], regime: str, activation: str) -> list[Run]:
    """The runs at the best rate, without that by which it was chosen."""
    rate = best_rate(runs, regime, activation)
    return [
        run
        for run in runs
        if run.seed
        and (run.regime, run.activation, run.learning_rate) == (regime, activation, rate)
    ]


def ratios(runs: list[Run], regime: str) -> list[float]:
    """Epochs with tanh over epochs with ReLU, each at its best rate, seed by seed from 1."""
    epochs = {
        name: {r.seed: r.epochs for r in compared(runs, regime, name)} for name in ACTIVATIONS
    }
    seeds = sorted(epochs["relu"].keys() & epochs["tanh"].keys())
    return [epochs["tanh"][seed] / epochs["relu"][seed] for seed in seeds]


def sentence(runs: list[Run]) -> str:
    """What was found, in a sentence for each regime."""
    texts = []
    for regime in dict.fromkeys(run.regime for run in runs):
        found = ratios(runs, regime)
        relu, tanh = (best_rate(runs, regime, name) for name in ACTIVATIONS)
        at = f"at the rates {tanh:g} and {relu:g}"
        if all(map(math.isfinite, found)):
            text = (
                f"25 % training error takes {statistics.fmean(found):.2f} times as many epochs "
                f"with tanh as with ReLU ({min(found):.2f} to {max(found):.2f} over "
                f"{len(found)} seeds, {at})"
            )
        else:
            reached = {
                name: sum(math.isfinite(r.epochs) for r in compared(runs, regime, name))
                for name in ACTIVATIONS
            }
            text = (
                f"25 % training error was reached by {reached['tanh']} of {len(found)} runs with "
                f"tanh and {reached['relu']} with ReLU ({at})"
            )
        texts.append(f"{NAMES[regime]}, {text}.")
    return " ".join([*texts, "The paper: about 6."])


def plot(runs: list[Run], path: Path) -> None:
    """Training error by epoch at the best rates, as in the paper's figure 1."""
    from matplotlib.figure import Figure

    regimes = list(dict.fromkeys(run.regime for run in runs))
    rows = math.ceil(len(regimes) / 2)
    figure = Figure(figsize=(10, 0.6 + 3.4 * rows), layout="constrained")
    panels = figure.subplots(rows, min(2, len(regimes)), sharey=True, squeeze=False).ravel()
    for axes, regime in zip(panels, regimes):
        for activation, style, name in (("relu", "-", "ReLU"), ("tanh", "--", "tanh")):
            for i, run in enumerate(compared(runs, regime, activation)):
                label = f"{name}, rate {run.learning_rate:g}" if not i else None
                color = "C0" if activation == "relu" else "C1"
                errors = [100 * error for error in run.errors]
                axes.plot(errors, style, color=color, label=label, linewidth=1)
        axes.axhline(100 * TARGET, color="black", linewidth=0.8)
        axes.set(title=NAMES[regime], xlabel="epoch", ylabel="training error, %", ylim=(0, 100))
        axes.legend()
    for axes in panels[len(regimes) :]:
        axes.remove()
    figure.suptitle(f"Four layers, {runs[0].pictures:,} pictures of 32 x 32; a line a seed")
    figure.savefig(path, dpi=100)


def main(argv: list[str] | None = None) -> None:
    parser = argument_parser(__doc__, repetitions=5)
    parser.add_argument("--data", default="imagenette/160px-v2")
    parser.add_argument("--data-dir", help="of TensorFlow Datasets")
    parser.add_argument("--pictures", type=int, default=1000, help="the first so many")
    parser.add_argument("--width", type=float, default=0.5, help="factor of the maps")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=60, help="at most")
    parser.add_argument("--regimes", nargs="+", choices=RATES, default=[*RATES])
    parser.add_argument("--jobs", type=int, default=1, help="regimes at the same time")
    parser.add_argument("--one", choices=RATES, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.miniature:
        vars(args).update(data="openclipart", data_dir=None, width=0.1, batch_size=8)
        vars(args).update(pictures=32, epochs=2)
    folder = args.out / "relu"
    folder.mkdir(parents=True, exist_ok=True)
    if args.one or args.miniature:
        for regime in [args.one] if args.one else args.regimes:
            run_regime(regime, args, folder / f"{regime}.jsonl")
    else:
        run_apart(__spec__.name, argv or sys.argv[1:], args.regimes, args.jobs)
    if args.one:
        return
    from alexnet_keras.experiments import read_lines

    path = joined(folder, [*RATES], args.out / "relu.jsonl")
    runs = read_lines(path, Run)
    plot(runs, path.with_suffix(".png"))
    print(f"\n{sentence(runs)}\n\n{path}")


def run_regime(regime: str, args: argparse.Namespace, path: Path) -> None:
    """All runs of a regime that are not in the file yet: the rates first, then the seeds."""
    from alexnet_keras.experiments import append_line, read_lines
    from alexnet_keras.training import versions
    from benchmarks.claims.in_memory import device_name, squares

    splits, classes = squares(args.data, args.data_dir, 32, {"train": args.pictures})
    runs = read_lines(path, Run) if path.exists() else []

    def run(job, activation, rate, seed):
        if (activation, rate, seed) in {(r.activation, r.learning_rate, r.seed) for r in runs}:
            return
        started = time.perf_counter()
        errors = training_errors(*job, rate, seed)
        line = Run(
            data=args.data,
            pictures=len(splits["train"][1]),
            width=args.width,
            regime=regime,
            activation=activation,
            learning_rate=rate,
            seed=seed,
            batch_size=args.batch_size,
            errors=errors,
            seconds=round(time.perf_counter() - started, 1),
            device=device_name(),
            versions=versions(),
        )
        runs.append(line)
        append_line(path, line)
        print(
            f"{regime}, {activation}, rate {rate:g}, seed {seed}: {line.epochs:.2f} epochs, "
            f"{errors[-1]:.1%}, {line.seconds} s",
            flush=True,
        )

    for activation, rates in zip(ACTIVATIONS, RATES[regime]):
        job = prepare(*splits["train"], classes, regime, activation, args)
        for rate in rates[:2] if args.miniature else rates:
            run(job, activation, rate, 0)
        for seed in range(1, 1 + args.repetitions):
            run(job, activation, best_rate(runs, regime, activation), seed)


if __name__ == "__main__":
    main()
