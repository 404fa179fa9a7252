"""An epoch of Imagenette by `alexnet_keras.train`, from files to weights: where its time goes."""

import dataclasses
import json
import tempfile
from pathlib import Path

from benchmarks.gpu.figures import Keeper, part_parser, read_device

EPOCHS = 3
EPOCH = "an epoch, with validation and writing"
"""Name of the figure."""


def seconds_of_epochs(config, epochs: int, folder: Path) -> tuple[float, dict]:
    """Seconds that so many epochs took, validation and writing included, and the run's log."""
    import alexnet_keras

    config = dataclasses.replace(config, epochs=epochs)
    run = alexnet_keras.train(config, folder / str(epochs), verbose=0)
    seconds = json.loads((run.folder / "time.json").read_text(encoding="utf-8"))
    return seconds["training_seconds"], run.log()


def main(argv: list[str] | None = None) -> None:
    args = part_parser(__doc__).parse_args(argv)
    if not args.miniature and read_device(args.out)["gpu"] is None:
        print("feed: not run, as there is no GPU here.")
        return
    if not args.miniature and args.data_dir is None:
        print("feed: not run, as --data-dir does not name a folder with Imagenette.")
        return
    from alexnet_keras import TrainingConfig, open_dataset

    size = {"image_size": 64, "width": 0.05, "batch_size": 64}
    if not args.miniature:
        size = {"image_size": 142, "width": 1.0, "batch_size": 128}
        size |= {"data": "imagenette/160px-v2", "data_dir": str(args.data_dir)}
    config = TrainingConfig(**size, precision="bfloat16", schedule="constant")
    pictures = open_dataset(config.data, config.data_dir).sizes
    settings = {"data": config.data, "image_size": config.image_size, "width": config.width}
    settings |= {"batch_size": config.batch_size, "precision": config.precision, **pictures}
    keep = Keeper("feed", args.out, settings)
    with tempfile.TemporaryDirectory() as folder:
        first, _ = seconds_of_epochs(config, 1, Path(folder))
        all_, log = seconds_of_epochs(config, EPOCHS, Path(folder))
    # The first epoch of each has the compilation, which is left out so.
    epoch = (all_ - first) / (EPOCHS - 1)
    keep(EPOCH, epoch, "s", epochs=EPOCHS - 1)
    keep("pictures trained on, by the clock", pictures["train"] / epoch, "images/s")
    for name, column in log.items():
        if name.startswith("seconds_") and len(column) > 1:
            keep(f"an epoch, {name.removeprefix('seconds_')}", column[1:].mean(), "s")


if __name__ == "__main__":
    main()
