"""Resident memory: the peak of a training step, and of reading data sets of growing size; and
whether it grows over many steps of a small network.
"""

import multiprocessing
import tempfile
from pathlib import Path

from benchmarks.speed.harness import Contender, measure, measuring_options, report, speed_parser
from benchmarks.speed.networks import batch, network_size
from benchmarks.speed.pipeline import make_pictures
from benchmarks.speed.training import package, torch_step

IMAGE_SIZE = 227


def nothing():
    """What the libraries take by themselves."""
    import alexnet_keras.alexnet  # noqa: F401

    return lambda: None


def epoch(folder, batch_size):
    """Reads every picture of a folder once, as training does."""
    from alexnet_keras.pictures import IMAGENET_STATISTICS, open_dataset, training_batches

    dataset = open_dataset(folder)
    batches = training_batches(
        dataset, IMAGENET_STATISTICS, image_size=IMAGE_SIZE, batch_size=batch_size, seed=0
    )

    def run():
        for _ in batches.take(-(-dataset.sizes["train"] // batch_size)):
            pass

    return run


def growth(steps: int, every: int) -> list[float]:
    """Trains a small network by `fit` and gives the resident size now and then, in MB."""
    import keras
    import psutil

    import alexnet_keras

    sizes = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, step, logs=None):
            if (step + 1) % every == 0:
                sizes.append(psutil.Process().memory_info().rss / 1e6)

    model = alexnet_keras.AlexNet(
        input_shape=(64, 64, 3), classes=10, width=0.1, initialization="he"
    )
    model.compile(alexnet_keras.MomentumSGD(), "sparse_categorical_crossentropy", jit_compile=False)
    images, labels = batch(64, 64, 10)

    def batches():
        while True:
            yield images, labels

    model.fit(batches(), steps_per_epoch=steps, epochs=1, verbose=0, callbacks=[Watch()])
    return sizes


def main(argv: list[str] | None = None) -> None:
    parser = speed_parser(__doc__)
    parser.set_defaults(repetitions=1)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--pictures", type=int, nargs="+", default=[500, 2000, 8000])
    args = parser.parse_args(argv)
    images = 2 if args.miniature else args.batch_size
    size = {"batch_size": images, **network_size(args.miniature)}
    options = measuring_options(args, seconds=0)
    training = measure(
        Contender("package", package, size, images),
        Contender("torch, channels_first", torch_step, size, images),
        Contender("torch, channels_last", torch_step, {**size, "channels_last": True}, images),
        **options,
    )
    counts = [4, 8] if args.miniature else args.pictures
    with tempfile.TemporaryDirectory() as folder:
        reading = measure(Contender("libraries alone", nothing), **options)
        for count in counts:
            pictures = Path(folder) / str(count)
            make_pictures(pictures, count)
            arguments = {"folder": str(pictures), "batch_size": images}
            reading |= measure(Contender(f"{count} pictures", epoch, arguments, count), **options)
    steps, every = (4, 1) if args.miniature else (2000, 200)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        sizes = pool.apply(growth, (steps, every))
    shown = ", ".join(f"{size:,.0f}" for size in sizes)
    print(f"MB resident after every {every} of {steps} steps of a small network: {shown}")
    sections = {
        "Training step": {"results": training, "unit": "images/s"},
        "Reading 500 x 375 JPEG files": {"results": reading, "unit": "images/s"},
    }
    settings = {**size, "threads": args.threads or "all", f"MB after every {every} steps": shown}
    report("memory", settings, sections, args.out)


if __name__ == "__main__":
    main()
