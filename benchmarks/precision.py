"""Loss of the paper's network in half precision beside float32, on the embedded pictures.

The same start, pictures and dropout for all; the mean loss of the last steps, by seed.
"""

import json

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


def _fresh(model, batches):
    for batch in batches:
        model.reset_metrics()  # `train_on_batch` gives the mean since then
        yield batch


def main(argv: list[str] | None = None) -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--last", type=int, default=20, help="steps that the mean is taken over")
    parser.add_argument("--precisions", nargs="+", default=["bfloat16"])
    args = parser.parse_args(argv)
    network = {"image_size": 64, "width": 0.1, "batch_size": 4} if args.miniature else {}
    steps, last = (2, 1) if args.miniature else (args.steps, args.last)
    rows = []
    for seed in range(args.repetitions):
        row = {
            p: last_losses(p, seed, steps, last, **network) for p in ["float32", *args.precisions]
        }
        rows.append(row)
    print(f"Mean loss of the last {last} of {steps} steps\n")
    names = list(rows[0])
    print("| seed | " + " | ".join(names) + " |\n| ---: |" + " ---: |" * len(names))
    for seed, row in enumerate(rows):
        cells = [f"{x:.4f} ({100 * (x / row['float32'] - 1):+.2f} %)" for x in row.values()]
        print(f"| {seed} | " + " | ".join(cells) + " |")
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "precision.json"
    saved = {"machine": machine(), "steps": steps, "last": last, "losses": rows}
    path.write_text(json.dumps(saved, indent=2) + "\n", encoding="utf-8")
    print(f"\n{path}")


if __name__ == "__main__":
    main()
