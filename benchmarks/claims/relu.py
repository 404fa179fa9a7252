"""The paper's figure 1: how much sooner a small network learns with ReLU than with tanh.

The network is that of `four_layers`, without weight decay or dropout. Both activations start from
biases of zero and He et al.'s deviations.

As in the paper each activation has the learning rate that makes it fastest: it is chosen among a
few with seed 0, and the epochs until 25 % training error are compared with the seeds after it. Ours
is another data set, smaller and of another kind, so that only the ratio can be set beside the
paper's 6.
"""

import dataclasses
import math
import statistics
import time
from pathlib import Path

from alexnet_keras.figures import Figure, course_style
from benchmarks.claims.four_layers import (
    compiled,
    four_layers,
    four_layers_parser,
    small_pictures,
)
from benchmarks.common import fresh_file

TARGET = 0.25
RATES = (0.003, 0.01, 0.03)
ACTIVATIONS = ("relu", "tanh")


@dataclasses.dataclass(frozen=True)
class Run:
    """A line of `relu.jsonl`.

    Attributes:
        data, pictures: what was trained on.
        width: factor of the maps.
        activation, learning_rate, seed, batch_size: of the run.
        errors: error on the training pictures, before training and after each epoch.
        seconds: that it took.
        versions: of what was used.
    """

    data: str
    pictures: int
    width: float
    activation: str
    learning_rate: float
    seed: int
    batch_size: int
    errors: list[float]
    seconds: float
    versions: dict[str, str]

    @property
    def epochs(self) -> float:
        """Until 25 % training error, between two epochs by a straight line; infinite if never."""
        for epoch, (before, after) in enumerate(zip(self.errors, self.errors[1:])):
            if after <= TARGET:
                return epoch + (before - TARGET) / (before - after)
        return math.inf


def training_errors(activation, learning_rate, seed, batch_size, width, pictures, classes, epochs):
    """Errors until the target is reached, the loss is not finite, or the epochs are over."""
    import keras

    keras.utils.set_random_seed(seed)
    model = compiled(four_layers(classes, width, activation), learning_rate)
    errors = [1 - model.evaluate(*pictures, 256, verbose=0)[1]]
    while len(errors) <= epochs and errors[-1] > TARGET:
        loss = model.fit(*pictures, batch_size=batch_size, verbose=0).history["loss"][0]
        if not math.isfinite(loss):
            break
        errors.append(1 - model.evaluate(*pictures, 256, verbose=0)[1])
    return errors


def best_rate(runs: list[Run], activation: str) -> float:
    """The rate that took the fewest epochs with seed 0; of equals, that with the lowest error."""
    of_seed = [run for run in runs if run.activation == activation and run.seed == 0]
    return min(of_seed, key=lambda run: (run.epochs, run.errors[-1])).learning_rate


def ratios(runs: list[Run]) -> list[float]:
    """Epochs with tanh over epochs with ReLU, each at its best rate, seed by seed from 1."""
    epochs = {}
    for run in runs:
        if run.seed and run.learning_rate == best_rate(runs, run.activation):
            epochs.setdefault(run.seed, {})[run.activation] = run.epochs
    pairs = [pair for pair in epochs.values() if len(pair) == 2]
    return [pair["tanh"] / pair["relu"] for pair in pairs]


def sentence(runs: list[Run]) -> str:
    """What was found, in a sentence."""
    found = ratios(runs)
    relu, tanh = (best_rate(runs, name) for name in ACTIVATIONS)
    return (
        f"25 % training error takes {statistics.fmean(found):.2f} times as many epochs with tanh "
        f"as with ReLU ({min(found):.2f} to {max(found):.2f} over {len(found)} seeds, at the rates "
        f"{tanh:g} and {relu:g}); the paper: about 6."
    )


@course_style(formulas=True)
def plot(runs: list[Run], path: Path) -> None:
    """Training error by epoch at the best rates, as in the paper's figure 1."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for activation, style, name in (("relu", "-", "ReLU"), ("tanh", "--", "tanh")):
        rate = best_rate(runs, activation)
        chosen = [r for r in runs if (r.activation, r.learning_rate) == (activation, rate)]
        for i, run in enumerate(run for run in chosen if run.seed):
            label = f"{name}, rate {rate:g}" if not i else None
            color = "C0" if activation == "relu" else "C1"
            axes.plot([100 * error for error in run.errors], style, color=color, label=label)
    axes.axhline(100 * TARGET, color="black", linewidth=0.8)
    axes.set(xlabel="epoch", ylabel="training error, %", ylim=(0, 100))
    axes.set_title(f"Four layers, {runs[0].pictures:,} pictures of 32 x 32; a line a seed")
    axes.legend()
    figure.savefig(path, dpi=100)


def main(argv: list[str] | None = None) -> None:
    parser = four_layers_parser(__doc__)
    parser.add_argument("--epochs", type=int, default=30, help="at most")
    args = parser.parse_args(argv)

    from alexnet_keras.experiments import append_line
    from alexnet_keras.training import versions

    limit, width, epochs = (32, 0.1, 2) if args.miniature else (None, args.width, args.epochs)
    splits, classes, _ = small_pictures(args.data, args.data_dir, limit)
    path = fresh_file(args.out, "relu.jsonl")
    runs = []

    def run(activation, rate, seed):
        started = time.perf_counter()
        errors = training_errors(
            activation, rate, seed, args.batch_size, width, splits["train"], classes, epochs
        )
        seconds = round(time.perf_counter() - started, 1)
        about = (width, activation, rate, seed, args.batch_size)
        size = len(splits["train"][1])
        runs.append(Run(args.data, size, *about, errors, seconds, versions()))
        append_line(path, runs[-1])
        print(f"{activation}, rate {rate:g}, seed {seed}: {runs[-1].epochs:.2f} epochs", flush=True)

    for activation in ACTIVATIONS:
        for rate in RATES[:2] if args.miniature else RATES:
            run(activation, rate, 0)
        for seed in range(1, 1 + args.repetitions):
            run(activation, best_rate(runs, activation), seed)
    plot(runs, path.with_suffix(".png"))
    print(f"\n{sentence(runs)}\n\n{path}")


if __name__ == "__main__":
    main()
