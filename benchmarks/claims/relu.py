"""The paper's figure 1: how much sooner a small network learns with ReLU than with tanh.

Four layers, as in cuda-convnet's `example-layers/layers-19pct.cfg` for CIFAR-10 (the paper does
not print its own): 5 x 5 convolutions of 32, 32 and 64 maps, times `--width`; after the first a
maximum, after the others a mean over overlapping 3 x 3 windows with stride 2; a dense layer.
Pictures of 32 x 32, less the mean colour and divided by the deviation of all their pixels, without
augmentation; no weight decay, no dropout. Both activations start from biases of zero and He et
al.'s deviations.

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

from benchmarks.speed.harness import argument_parser

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


def four_layers(classes, width, activation="relu", alpha=None):
    """The network, from scaled pixels to probabilities; normalized if there is an alpha."""
    import keras

    from alexnet_keras import LocalResponseNormalization

    def conv(x, filters):
        filters = max(1, round(width * filters))
        x = keras.layers.Conv2D(filters, 5, padding="same", kernel_initializer="he_normal")(x)
        return keras.layers.Activation(activation)(x)

    def norm(x):  # size, k and beta as in cuda-convnet's layers-conv-local-11pct.cfg
        layer = LocalResponseNormalization(5, k=1.0, alpha=alpha or 0.0, divide_alpha_by_size=True)
        return x if alpha is None else layer(x)

    average = keras.layers.AveragePooling2D
    image = x = keras.Input((32, 32, 3))
    x = keras.layers.MaxPooling2D(3, 2, "same")(norm(conv(x, 32)))  # 16 x 16
    x = average(3, 2, "same")(norm(conv(x, 32)))  # 8 x 8
    x = average(3, 2, "same")(conv(x, 64))  # 4 x 4
    x = keras.layers.Dense(classes, activation="softmax")(keras.layers.Flatten()(x))
    return keras.Model(image, x)


def small_pictures(data: str, data_dir: str | None, limit: int | None = None):
    """The pictures as 32 x 32 squares, scaled by the training split, and the labels.

    Returns:
        The name of each split with float32 `(pictures, 32, 32, 3)` and int64 `(pictures,)`, the
        number of classes, and the deviation that the pixels were divided by.
    """
    import numpy as np

    from alexnet_keras import open_dataset
    from alexnet_keras.pictures import central_square

    dataset = open_dataset(data, data_dir)
    splits = {}
    for split in ("train", "validation"):
        examples = dataset.decoded(split).map(
            lambda example: (central_square(example["image"], 32), example["label"])
        )
        pairs = list(examples.take(limit or -1).as_numpy_iterator())
        splits[split] = tuple(np.stack(part) for part in zip(*pairs))
    pixels = splits["train"][0]
    mean, deviation = pixels.mean(axis=(0, 1, 2)), pixels.std().item()
    splits = {k: ((x - mean) / deviation, y) for k, (x, y) in splits.items()}
    return splits, len(dataset.class_names), deviation


def compiled(model, learning_rate, weight_decay=0.0):
    """The model with the paper's optimizer."""
    from alexnet_keras import MomentumSGD

    model.compile(
        MomentumSGD(learning_rate, 0.9, weight_decay),
        "sparse_categorical_crossentropy",
        weighted_metrics=["accuracy"],
        jit_compile=False,
    )
    return model


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


def plot(runs: list[Run], path: Path) -> None:
    """Training error by epoch at the best rates, as in the paper's figure 1."""
    from matplotlib.figure import Figure

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
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=100)


def small_network_parser(description: str):
    """What the scripts that train the four layers take."""
    parser = argument_parser(description)
    parser.add_argument("--data", default="openclipart")
    parser.add_argument("--data-dir")
    parser.add_argument("--width", type=float, default=0.5, help="factor of the maps")
    parser.add_argument("--batch-size", type=int, default=32)
    return parser


def main(argv: list[str] | None = None) -> None:
    parser = small_network_parser(__doc__)
    parser.add_argument("--epochs", type=int, default=30, help="at most")
    args = parser.parse_args(argv)

    from alexnet_keras.experiments import append_line
    from alexnet_keras.training import versions

    limit, width, epochs = (32, 0.1, 2) if args.miniature else (None, args.width, args.epochs)
    splits, classes, _ = small_pictures(args.data, args.data_dir, limit)
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "relu.jsonl"
    path.unlink(missing_ok=True)
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
