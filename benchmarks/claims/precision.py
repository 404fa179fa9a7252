"""The paper's network in half precision beside float32, on the embedded pictures.

The same start, pictures and dropout for all, seed by seed: the mean loss of the last of some steps,
and the validation error of a whole training.

Two trainings that differ in their rounding alone drift apart. How far shows the row "float32,
rounded otherwise", which starts from weights that are larger by a millionth. What half precision
changes has to be seen beside that.

Each value is written to `precision.json` as soon as it is there; those that are there are not
measured again.
"""

import json
import math
import tempfile
from typing import Any

from benchmarks.common import argument_parser, machine, markdown_table

OTHERWISE = "float32, rounded otherwise"


def last_losses(
    name: str, seed: int, steps: int, last: int, learning_rate: float, **network
) -> float:
    """Trains for some steps and gives the mean loss of the last of them."""
    import numpy as np

    from alexnet_keras import MomentumSGD, TrainingConfig, color_statistics, open_dataset
    from alexnet_keras.pictures import training_batches
    from alexnet_keras.training import build_model, jit_compile

    precision = "float32" if name == OTHERWISE else name
    config = TrainingConfig(precision=precision, seed=seed, **network)
    data = open_dataset()
    statistics = color_statistics(data, config.image_size)
    model = build_model(config, len(data.class_names))
    if name == OTHERWISE:
        model.set_weights([weight * np.float32(1 + 1e-6) for weight in model.get_weights()])
    model.compile(
        MomentumSGD(learning_rate),
        "sparse_categorical_crossentropy",
        jit_compile=jit_compile(config),
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


def trained_error(name: str, seed: int, epochs: int, **network) -> float:
    """Trains as `alexnet-keras train --schedule cosine` does; top-1 error of the last epoch."""
    from alexnet_keras import TrainingConfig, train

    config = TrainingConfig(precision=name, seed=seed, epochs=epochs, schedule="cosine", **network)
    with tempfile.TemporaryDirectory() as folder:
        return 1 - float(train(config, folder, verbose=0).log()["val_top1"][-1])


def _fresh(model, batches):
    for batch in batches:
        model.reset_metrics()  # `train_on_batch` gives the mean since then
        yield batch


def saved_tables(saved: dict[str, Any]) -> dict[str, str]:
    """The tables of a result file, by title: means over the seeds, and paired differences."""
    settings = saved["settings"]
    loss = (
        f"Mean loss of the last {settings['last']} of {settings['steps']} steps, "
        f"learning rate {settings['learning_rate']:g}"
    )
    error = f"Top-1 error in validation after {settings['epochs']} epochs"
    return {
        loss: _table(saved["losses"], "loss", "%", lambda x, x32: 100 * (x / x32 - 1), "{:.4f}"),
        error: _table(saved["errors"], "error", "points", lambda x, x32: 100 * (x - x32), "{:.2%}"),
    }


def _table(values, what, unit, difference, form):
    from alexnet_keras.experiments import Comparison

    rows = []
    for name, by_seed in values.items():
        pairs = {
            seed: difference(value, values["float32"][seed])
            for seed, value in by_seed.items()
            if seed in values["float32"]
        }
        row = Comparison(name, by_seed, pairs)
        cells = [name, str(len(by_seed)), form.format(row.mean), "", ""]
        if name != "float32":
            low, high = row.interval
            cells[3] = f"{row.difference:+.2f}"
            cells[4] = "-" if math.isnan(low) else f"{low:+.2f} to {high:+.2f}"
        rows.append(cells)
    head = ["", "seeds", what, f"less float32's, {unit}", "95 % interval"]
    return markdown_table(head, rows)


def main(argv: list[str] | None = None) -> None:
    parser = argument_parser(__doc__, repetitions=12)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--last", type=int, default=20, help="steps that the mean is taken over")
    parser.add_argument("--learning-rate", type=float, default=0.01, help="of these steps")
    parser.add_argument("--epochs", type=int, default=15, help="of a whole training")
    parser.add_argument("--precisions", nargs="+", default=["bfloat16", "float16"])
    parser.add_argument("--image-size", type=int, default=128, help="pixels")
    parser.add_argument("--width", type=float, default=0.25, help="factor of maps and units")
    args = parser.parse_args(argv)

    from alexnet_keras.common import write_json

    network = {"image_size": args.image_size, "width": args.width}
    if args.miniature:
        args.steps, args.last, args.epochs = 2, 1, 1
        network = {"image_size": 64, "width": 0.1, "batch_size": 4}
    names = ("steps", "last", "learning_rate", "epochs", "image_size", "width")
    settings = {name: getattr(args, name) for name in names}
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "precision.json"
    saved = {"machine": machine(), "settings": settings, "losses": {}, "errors": {}}
    if path.exists():
        saved = json.loads(path.read_text(encoding="utf-8"))
        if saved["settings"] != settings:
            parser.error(
                f"{path} must have been written with {settings}. Received: {saved['settings']}"
            )

    def measure(kind, names, function):
        for seed in map(str, range(args.repetitions)):
            for name in names:
                values = saved[kind].setdefault(name, {})
                if seed not in values:
                    values[seed] = function(name, int(seed))
                    write_json(path, saved)
                    print(f"{kind}, {name}, seed {seed}: {values[seed]:.4f}", flush=True)

    def loss(name, seed):
        return last_losses(name, seed, args.steps, args.last, args.learning_rate, **network)

    def error(name, seed):
        larger = {"batch_size": 64} if args.miniature else {}
        return trained_error(name, seed, args.epochs, **network | larger)

    measure("losses", ["float32", OTHERWISE, *args.precisions], loss)
    measure("errors", ["float32", *args.precisions], error)
    for title, table in saved_tables(saved).items():
        print(f"\n{title}\n\n{table}")
    print(f"\n{path}")


if __name__ == "__main__":
    main()
