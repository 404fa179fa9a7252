"""The paper's network in half precision beside float32, on the embedded pictures.

The same start, pictures and dropout for all. By seed: the mean loss of the last of some steps, and
the validation error of a whole training.
"""

import json
import tempfile

from benchmarks.harness import argument_parser, machine


def last_losses(precision: str, seed: int, steps: int, last: int, **network) -> float:
    """Trains for some steps and gives the mean loss of the last of them."""
    import numpy as np

    from alexnet_keras import MomentumSGD, TrainingConfig, color_statistics, open_dataset
    from alexnet_keras.augmentation import training_batches
    from alexnet_keras.training import build_model

    config = TrainingConfig(precision=precision, seed=seed, **network)
    data = open_dataset()
    statistics = color_statistics(data, config.image_size)
    model = build_model(config, len(data.class_names))
    model.compile(
        MomentumSGD(config.learning_rate), "sparse_categorical_crossentropy", jit_compile=False
    )
    batches = training_batches(
        data,
        statistics,
        image_size=config.image_size,
        batch_size=config.batch_size,
        seed=seed,
    )
    losses = [float(model.train_on_batch(*batch)) for batch in _fresh(model, batches.take(steps))]
    return float(np.mean(losses[-last:]))


def trained_error(precision: str, seed: int, epochs: int, **network) -> float:
    """Trains as `alexnet-keras train --schedule cosine` does; top-1 error of the last epoch."""
    from alexnet_keras import TrainingConfig, train

    config = TrainingConfig(
        precision=precision, seed=seed, epochs=epochs, schedule="cosine", **network
    )
    with tempfile.TemporaryDirectory() as folder:
        return 1 - float(train(config, folder, verbose=0).log()["val_top1"][-1])


def _fresh(model, batches):
    for batch in batches:
        model.reset_metrics()  # `train_on_batch` gives the mean since then
        yield batch


def main(argv: list[str] | None = None) -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--last", type=int, default=20, help="steps that the mean is taken over")
    parser.add_argument("--epochs", type=int, default=15, help="of a whole training")
    parser.add_argument("--precisions", nargs="+", default=["bfloat16"])
    args = parser.parse_args(argv)
    network = {"image_size": 64, "width": 0.1, "batch_size": 4} if args.miniature else {}
    steps, last = (2, 1) if args.miniature else (args.steps, args.last)
    precisions, seeds = ["float32", *args.precisions], range(args.repetitions)
    losses = [
        {p: last_losses(p, seed, steps, last, **network) for p in precisions} for seed in seeds
    ]
    print(f"Mean loss of the last {last} of {steps} steps\n")
    _print_table(losses, lambda x, x32: f"{x:.4f} ({100 * (x / x32 - 1):+.2f} %)")
    epochs = 1 if args.miniature else args.epochs
    network |= {"batch_size": 64} if args.miniature else {}
    errors = [{p: trained_error(p, seed, epochs, **network) for p in precisions} for seed in seeds]
    print(f"\nTop-1 error in validation after {epochs} epochs\n")
    _print_table(errors, lambda x, x32: f"{100 * x:.2f} % ({100 * (x - x32):+.2f} points)")
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "precision.json"
    settings = {"steps": steps, "last": last, "epochs": epochs}
    saved = {"machine": machine(), **settings, "losses": losses, "errors": errors}
    path.write_text(json.dumps(saved, indent=2) + "\n", encoding="utf-8")
    print(f"\n{path}")


def _print_table(rows, cell):
    """A line a seed and one of the means, each number beside float32's."""
    names = list(rows[0])
    print("| seed | " + " | ".join(names) + " |\n| ---: |" + " ---: |" * len(names))
    mean = {name: sum(row[name] for row in rows) / len(rows) for name in names}
    for seed, row in [*enumerate(rows), ("mean", mean)]:
        print(f"| {seed} | " + " | ".join(cell(x, row["float32"]) for x in row.values()) + " |")


if __name__ == "__main__":
    main()
