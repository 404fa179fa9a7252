"""Response normalization in a small network: the paper's 13 % and 11 % test error on CIFAR-10.

The paper says of it (section 3.3) "a four-layer CNN achieved a 13% test error rate without
normalization and 11% with normalization". cuda-convnet's `layers-conv-local-13pct.cfg` and
`-11pct.cfg` are the pair, with two locally connected layers. Here the network of `four_layers`
stands for it, with the normalization of that file (k = 1, alpha = 0.001 / 5, beta = 0.75, windows
of 5 maps) after the ReLU of the first two. That alpha is for pixels of 0 to 255: as the pixels are
divided by their deviation here, alpha is multiplied by its square, which makes the same function.
Weight decay 0.0005; a constant rate, the errors of the last epoch.
"""

import dataclasses
import time
from pathlib import Path

from alexnet_keras.figures import Figure, course_style
from benchmarks.claims.four_layers import compiled, four_layers, four_layers_parser, small_pictures
from benchmarks.common import fresh_file


@dataclasses.dataclass(frozen=True)
class Run:
    """A line of `lrn_claim.jsonl`.

    Attributes:
        data, pictures: what was trained on, and how many pictures.
        width: factor of the maps.
        normalized: whether with response normalization.
        learning_rate, seed, batch_size, epochs: of the run.
        training_error, validation_error: after the last epoch.
        seconds: that it took.
        versions: of what was used.
    """

    data: str
    pictures: int
    width: float
    normalized: bool
    learning_rate: float
    seed: int
    batch_size: int
    epochs: int
    training_error: float
    validation_error: float
    seconds: float
    versions: dict[str, str]


def comparison(runs: list[Run]):
    """Without normalization beside with, as an ablation: differences by seed and their interval."""
    from alexnet_keras.experiments import Comparison

    errors = {
        normalized: {r.seed: r.validation_error for r in runs if r.normalized == normalized}
        for normalized in (True, False)
    }
    differences = {seed: error - errors[True][seed] for seed, error in errors[False].items()}
    return Comparison("no-lrn", errors[False], differences)


def sentence(runs: list[Run]) -> str:
    """What was found, in a sentence."""
    row = comparison(runs)
    low, high = row.interval
    return (
        f"Without response normalization the validation error is {100 * row.mean:.1f} %, "
        f"{100 * row.difference:+.1f} points beside that with it (95 % interval {100 * low:+.1f} "
        f"to {100 * high:+.1f}, {len(row.errors)} seeds; the paper: +2): {row.verdict}."
    )


@course_style(formulas=True)
def plot(runs: list[Run], path: Path) -> None:
    """The errors of each seed, joined."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for seed in sorted({run.seed for run in runs}):
        pair = {run.normalized: run for run in runs if run.seed == seed}
        for name, style in (("validation", "o-"), ("training", "o--")):
            errors = [100 * getattr(pair[n], f"{name}_error") for n in (False, True)]
            label = f"{name}, a line a seed" if not seed else None
            color = "C0" if name == "validation" else "C1"
            axes.plot([0, 1], errors, style, color=color, label=label)
    axes.set_xticks([0, 1], ["without", "with response normalization"])
    axes.set(xlim=(-0.3, 1.3), ylim=(0, None), ylabel="error, %")
    axes.set_title(f"Four layers, {runs[0].pictures:,} pictures of 32 x 32")
    axes.grid(axis="x", visible=False)
    axes.legend()
    figure.savefig(path, dpi=100)


def main(argv: list[str] | None = None) -> None:
    parser = four_layers_parser(__doc__)
    parser.add_argument("--learning-rate", type=float, default=0.01)
    parser.add_argument("--epochs", type=int, default=10)
    args = parser.parse_args(argv)

    import keras

    from alexnet_keras.experiments import append_line
    from alexnet_keras.training import versions

    limit, width, epochs = (32, 0.1, 1) if args.miniature else (None, args.width, args.epochs)
    splits, classes, deviation = small_pictures(args.data, args.data_dir, limit)
    path = fresh_file(args.out, "lrn_claim.jsonl")
    runs = []
    for seed in range(args.repetitions):
        for normalized in (False, True):
            started = time.perf_counter()
            keras.utils.set_random_seed(seed)
            alpha = 0.001 * deviation**2 if normalized else None
            model = four_layers(classes, width, alpha=alpha)
            compiled(model, args.learning_rate, 0.0005)
            model.fit(*splits["train"], batch_size=args.batch_size, epochs=epochs, verbose=0)
            training, validation = (
                1 - model.evaluate(*splits[split], 256, verbose=0)[1]
                for split in ("train", "validation")
            )
            seconds = round(time.perf_counter() - started, 1)
            recipe = (args.learning_rate, seed, args.batch_size, epochs)
            about = (args.data, len(splits["train"][1]), width, normalized, *recipe)
            runs.append(Run(*about, training, validation, seconds, versions()))
            append_line(path, runs[-1])
            name = "with" if normalized else "without"
            print(f"seed {seed}, {name} normalization: {validation:.2%}", flush=True)
    plot(runs, path.with_suffix(".png"))
    print(f"\n{sentence(runs)}\n\n{path}")


if __name__ == "__main__":
    main()
