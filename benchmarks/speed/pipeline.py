"""The input pipeline, from JPEG files to batches: this package, `tf.image`, Pillow and PyTorch.

Every contender scales the shorter side to 256 pixels, takes a random 227 x 227 crop of the central
square, mirrors it at random, adds the paper's PCA colour noise and subtracts the mean colour. The
pictures are 500 x 375 pixels, cut out of scikit-learn's two sample photographs.

Other tables compare what `train` is fed with, of whole data sets, with what it was fed with before.
"""

import functools
import multiprocessing
import os
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.common import machine
from benchmarks.speed import feed
from benchmarks.speed.harness import Contender, measure, measuring_options, report, speed_parser

SIZE, SIDE = 227, 256


def make_pictures(folder: Path, count: int) -> None:
    """Writes JPEG files of 500 x 375 pixels, quality 90, into two class folders under `train/`."""
    from PIL import Image
    from sklearn.datasets import load_sample_images

    rng = np.random.default_rng(0)
    sources = [Image.fromarray(image) for image in load_sample_images().images]
    for split, pictures in (("train", count), ("val", 2)):
        for label in range(2):
            (folder / split / str(label)).mkdir(parents=True)
        for i in range(pictures):
            image = sources[i % 2]
            left = int(rng.integers(image.width - 500 + 1))
            top = int(rng.integers(image.height - 375 + 1))
            image = image.crop((left, top, left + 500, top + 375))
            image.save(folder / split / str(i % 2) / f"{i}.jpg", quality=90)


def _files(folder):
    return sorted(str(path) for path in Path(folder, "train").glob("*/*.jpg"))


def _noise_directions():
    from alexnet_keras.pictures import IMAGENET_STATISTICS as STATISTICS

    return STATISTICS.mean, (STATISTICS.components * STATISTICS.deviations).T * np.float32(0.1)


def _passes(dataset, batches):
    def run():
        for images, _labels in dataset.take(batches):
            assert images.shape[1:] == (SIZE, SIZE, 3)

    return run


def package(folder, batches, batch_size):
    """`alexnet_keras.pictures.training_batches`."""
    from alexnet_keras.pictures import IMAGENET_STATISTICS, open_dataset, training_batches

    dataset = training_batches(
        open_dataset(folder), IMAGENET_STATISTICS, image_size=SIZE, batch_size=batch_size, seed=0
    )
    return _passes(dataset, batches)


def _prepare(folder: Path, out: Path) -> None:
    from alexnet_keras.pictures import open_dataset, write_records

    write_records(open_dataset(folder), out, side=SIDE)


def tf_image(folder, batches, batch_size, antialias):
    """Decode whole, resize whole, crop, mirror, add noise, with `tf.image`'s functions."""
    import tensorflow as tf

    mean, directions = _noise_directions()

    def one_picture(path):
        image = tf.image.decode_jpeg(tf.io.read_file(path), channels=3)
        size = tf.shape(image)[:2]
        scaled = tf.cast(tf.round(size * SIDE / tf.reduce_min(size)), tf.int32)
        image = tf.image.resize(image, scaled, antialias=antialias)
        image = tf.image.resize_with_crop_or_pad(image, SIDE, SIDE)
        image = tf.image.random_crop(image, (SIZE, SIZE, 3))
        image = tf.image.random_flip_left_right(image)
        noise = tf.linalg.matvec(directions, tf.random.normal((3,)), transpose_a=True)
        return image - mean + noise, 0

    dataset = (
        tf.data.Dataset.from_tensor_slices(_files(folder))
        .shuffle(10_000)
        .repeat()
        .map(one_picture, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(batch_size)
        .prefetch(tf.data.AUTOTUNE)
    )
    return _passes(dataset, batches)


def pillow_picture(path: str) -> np.ndarray:
    """The same with Pillow and numpy, float32 of shape `(227, 227, 3)`."""
    from PIL import Image, ImageOps

    image = Image.open(path).convert("RGB")
    scale = SIDE / min(image.size)
    image = image.resize([round(n * scale) for n in image.size], Image.Resampling.BILINEAR)
    left, top = ((n - SIDE) // 2 for n in image.size)
    rng = np.random.default_rng()
    x, y = rng.integers(SIDE - SIZE + 1, size=2) + (left, top)
    image = image.crop((x, y, x + SIZE, y + SIZE))
    if rng.random() < 0.5:
        image = ImageOps.mirror(image)
    mean, directions = _constants()
    return np.asarray(image, "float32") - mean + rng.normal(size=3).astype("float32") @ directions


@functools.cache
def _constants():
    return _noise_directions()


def pillow(folder, batches, batch_size, processes):
    """A pool of processes."""
    pool = multiprocessing.get_context("spawn").Pool(processes)
    files = _files(folder)

    def run():
        wanted = [files[i % len(files)] for i in range(batches * batch_size)]
        pictures = pool.imap(pillow_picture, wanted, chunksize=8)
        for _ in range(batches):
            np.stack([next(pictures) for _ in range(batch_size)])

    return run


class _TorchFiles:
    def __init__(self, files, length):
        self.files, self.length = files, length

    def __len__(self):
        return self.length

    def __getitem__(self, i):
        return pillow_picture(self.files[i % len(self.files)]), 0


def torch_loader(folder, batches, batch_size, processes):
    """`torch.utils.data.DataLoader` over the Pillow function."""
    import torch.utils.data

    loader = torch.utils.data.DataLoader(
        _TorchFiles(_files(folder), batches * batch_size),
        batch_size,
        shuffle=True,
        num_workers=processes,
        persistent_workers=True,
        multiprocessing_context="spawn",
    )

    def run():
        for _images, _labels in loader:
            pass

    return run


def difference(folder: Path, pictures: int) -> tuple[float, float]:
    """How far a crop scaled by itself is from one cut out of the scaled square, in levels of 255.

    Returns:
        The mean absolute difference, and that between two neighbouring crops of the scaled square.
    """
    import tensorflow as tf

    from alexnet_keras.pictures import central_square, crop_of_square, decode_image

    rng = np.random.default_rng(0)
    apart, neighbours = [], []
    for path in _files(folder)[:pictures]:
        encoded = tf.io.read_file(path)
        position = rng.random(2).astype("float32")
        crop = crop_of_square(encoded, SIZE, position)
        square = central_square(decode_image(encoded), SIDE)
        y, x = (position * (SIDE - SIZE)).round().astype(int)
        expected = square[y : y + SIZE, x : x + SIZE]
        apart.append(np.abs(crop - expected).mean())
        neighbours.append(np.abs(expected[:, 1:] - expected[:, :-1]).mean())
    return float(np.mean(apart)), float(np.mean(neighbours))


def main(argv: list[str] | None = None) -> None:
    parser = speed_parser(__doc__)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument(
        "--feeds",
        nargs="*",
        default=["openclipart"],
        choices=tuple(feed.SIZES),
        help="data sets to feed from; TFDS_DATA_DIR is the folder of TensorFlow Datasets' own",
    )
    args = parser.parse_args(argv)
    size = {
        "batches": 1 if args.miniature else 48,
        "batch_size": 4 if args.miniature else args.batch_size,
    }
    processes = args.threads or machine()["cores"]
    images = size["batches"] * size["batch_size"]
    with tempfile.TemporaryDirectory() as folder:
        pictures, prepared = Path(folder, "pictures"), Path(folder, "prepared")
        make_pictures(pictures, 8 if args.miniature else 512)
        _prepare(pictures, prepared)
        size["folder"] = str(pictures)
        workers = {**size, "processes": processes}
        peers = [
            Contender("package, prepared", package, {**size, "folder": str(prepared)}, images),
            Contender("tf.image", tf_image, {**size, "antialias": False}, images),
            Contender("tf.image, antialias", tf_image, {**size, "antialias": True}, images),
        ]
        if not args.miniature:
            peers += [
                Contender(f"Pillow, {processes} processes", pillow, workers, images),
                Contender(f"DataLoader, {processes} workers", torch_loader, workers, images),
            ]
        results = measure(
            Contender("package", package, size, images),
            *peers,
            **measuring_options(args, seconds=0),
        )
        apart, neighbours = difference(pictures, 2 if args.miniature else 64)
        mean_bytes = round(np.mean([os.path.getsize(path) for path in _files(pictures)]))
    sections = {"Input pipeline": {"results": results, "unit": "images/s"}}
    for data in args.feeds:
        rivals = feed.contenders(data, size["batches"], size["batch_size"])
        results = measure(*rivals, **measuring_options(args, seconds=0))
        title = f"Feed of {data}, {feed.SIZES[data]} pixels"
        sections[title] = {"results": results, "unit": "images/s"}
    settings = {
        "batch_size": size["batch_size"],
        "pictures": "500 x 375",
        "mean_bytes": mean_bytes,
        "threads": args.threads or "all",
        "repetitions": args.repetitions,
        "difference": f"{apart:.2f} of 255",
        "difference_of_neighbours": f"{neighbours:.2f} of 255",
    }
    report("pipeline", settings, sections, args.out)


if __name__ == "__main__":
    main()
