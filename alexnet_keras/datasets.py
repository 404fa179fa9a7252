"""One door to pictures: the embedded set, TensorFlow Datasets, and folders of class folders."""

import dataclasses
import hashlib
import io
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from alexnet_keras.configuration import EMBEDDED
from alexnet_keras.files import shipped

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".gif")
"""What a folder is searched for, in lower or upper case."""

HELD_OUT = ("val", "valid", "validation", "test")
"""Names of the folder beside `train/` that is validated on; the first that is there."""


MANIFEST, CHECKSUMS = "manifest.json", "SHA256SUMS"
"""What `prepare` keeps in its folder beside the data set: the first from the beginning, the second
when all is done."""


class DataError(ValueError):
    """Data that cannot be opened or trained on; the message is one sentence for the user."""


SHUFFLE_CHUNK = 10_000
"""Most encoded pictures held in memory at once to shuffle; a smaller set is shuffled whole, and so
is a folder of any size, of which only the paths are held."""


@dataclasses.dataclass(frozen=True)
class ImageDataset:
    """Labelled pictures in a training and a validation split.

    Attributes:
        name: as given to `open_dataset`.
        class_names: the names of the classes, in the order of the labels.
        sizes: number of pictures, by split.
        skipped: files that could not be decoded and were left out, with `skip_bad`.
        source: function from a split's name to a `tf.data.Dataset` of examples, in fixed order.
        in_files: whether `source` gives paths, to be read, in place of encoded pictures.
        fingerprint: equal for equal data: of a folder, a digest of the splits' relative paths; of
            a TensorFlow Datasets set, its name and version.

    Example:

    >>> from alexnet_keras import open_dataset
    >>> data = open_dataset()
    >>> data.sizes["validation"], data.class_names[:2]
    (337, ('animals', 'flags'))
    """

    name: str
    class_names: tuple[str, ...]
    sizes: dict[str, int]
    source: Callable[[str], tf.data.Dataset] = dataclasses.field(repr=False, compare=False)
    skipped: tuple[str, ...] = ()
    in_files: bool = False
    fingerprint: str = ""

    def encoded(self, split: str) -> tf.data.Dataset:
        """The split's examples, in a fixed order: dictionaries of the scalars `image` (string, the
        bytes of the file), `label` (int64) and `id` (string, the path or record).

        Raises:
            DataError: if the data set has no such split.
        """
        return self._read(self._records(split))

    def shuffled(self, split: str, seed: tf.Tensor) -> tf.data.Dataset:
        """As `encoded`, in an order at random that follows from `seed` alone.

        Args:
            split: name of the split.
            seed: two integers; they may be tensors inside a `tf.function`.
        """

        def shuffled_chunk(chunk):
            order = tf.range(tf.shape(chunk["label"])[0])
            order = tf.random.experimental.stateless_shuffle(order, seed)
            chunk = {key: tf.gather(values, order) for key, values in chunk.items()}
            return tf.data.Dataset.from_tensor_slices(chunk)

        size = max(1, self.sizes[split]) if self.in_files else SHUFFLE_CHUNK
        return self._read(self._records(split).batch(size).flat_map(shuffled_chunk))

    def examples_at(self, split: str, indices: Sequence[int]) -> list[dict[str, Any]]:
        """The encoded examples at some places of the split's fixed order, as numpy scalars."""
        found = {}
        if indices:
            some = self.encoded(split).take(max(indices) + 1).as_numpy_iterator()
            found = {i: example for i, example in enumerate(some) if i in set(indices)}
        return [found[i] for i in indices]

    def class_shares(self, split: str) -> np.ndarray:
        """Share of each class in the split, float64 of shape `(classes,)`.

        Pictures are neither read from files nor decoded. Of a set of TensorFlow Datasets, which
        are shuffled when they are made, the first 10,000 records are counted.
        """
        records = self._records(split)
        if not self.in_files:
            records = records.take(SHUFFLE_CHUNK)
        counts = np.zeros(len(self.class_names))
        for labels in records.map(lambda record: record["label"]).batch(1024).as_numpy_iterator():
            counts += np.bincount(labels, minlength=len(counts))
        return counts / max(1, counts.sum())

    def require_decodable(self, split: str) -> None:
        """Decodes every picture of the split.

        Raises:
            DataError: if one cannot be decoded; the message names the first ones.
        """
        bad = undecodable(self.encoded(split))
        if bad:
            raise DataError(
                "Every picture must be a JPEG, PNG, BMP or GIF file that can be decoded. "
                f"Received: {len(bad)} of the {self.sizes[split]} {split} pictures that cannot "
                f"(--skip-bad leaves them out): {', '.join(bad[:5])}{' ...' * (len(bad) > 5)}"
            )

    def _records(self, split: str) -> tf.data.Dataset:
        if split not in self.sizes:
            raise DataError(f"`split` must be one of {tuple(self.sizes)}. Received: {split!r}")
        return self.source(split).apply(tf.data.experimental.assert_cardinality(self.sizes[split]))

    def _read(self, records: tf.data.Dataset) -> tf.data.Dataset:
        if not self.in_files:
            return records
        return records.map(
            lambda record: {**record, "image": tf.io.read_file(record["image"])},
            num_parallel_calls=tf.data.AUTOTUNE,
        )

    def decoded(self, split: str) -> tf.data.Dataset:
        """As `encoded`, with `image` a uint8 tensor of shape `(height, width, 3)`."""
        return self.encoded(split).map(
            lambda example: {**example, "image": decode_image(example["image"])},
            num_parallel_calls=tf.data.AUTOTUNE,
        )


def decode_image(encoded: tf.Tensor) -> tf.Tensor:
    """Decodes a JPEG, PNG, BMP or GIF file (its first picture) to RGB.

    Grayscale is repeated over the channels, CMYK is converted, transparency is laid on white.
    BMP and GIF are left to Pillow: TensorFlow shows their palettes' indices and their transparent
    pixels as colours.

    Args:
        encoded: scalar string, the bytes of the file.

    Returns:
        uint8 of shape `(height, width, 3)`.

    Raises:
        tf.errors.InvalidArgumentError: if the bytes are not such a file, or are cut off.

    Example:

    >>> import tensorflow as tf
    >>> decode_image(tf.io.encode_png(tf.zeros((40, 30, 1), tf.uint8))).shape
    TensorShape([40, 30, 3])
    """
    start = tf.strings.substr(encoded, 0, 2)
    rgb = tf.cond(
        (start == b"BM") | (start == b"GI"),
        lambda: tf.py_function(_decode_by_pillow, [encoded], tf.uint8),
        lambda: _decode_by_tensorflow(encoded),
    )
    return tf.ensure_shape(rgb, (None, None, 3))


class _UndecodableError(tf.errors.InvalidArgumentError, ValueError):
    """What TensorFlow's decoders raise; in a graph, TensorFlow makes that of a ValueError."""


def _decode_by_pillow(encoded: tf.Tensor) -> np.ndarray:
    try:
        image = Image.open(io.BytesIO(encoded.numpy()), formats=("BMP", "GIF")).convert("RGBA")
    except Exception as error:  # of many kinds
        message = f"not a BMP or GIF file that can be decoded ({error})"
        raise _UndecodableError(None, None, message) from None
    white = Image.new("RGBA", image.size, "white")
    return np.asarray(Image.alpha_composite(white, image).convert("RGB"))


def _decode_by_tensorflow(encoded: tf.Tensor) -> tf.Tensor:
    image = tf.io.decode_image(encoded, channels=0, expand_animations=False)
    image.set_shape((None, None, None))
    channels = tf.shape(image)[2]

    def on_white():  # gray and alpha, or RGB and alpha
        color = tf.cast(image[:, :, :-1], tf.float32)
        alpha = tf.cast(image[:, :, -1:], tf.float32) / 255
        flat = tf.cast(tf.round(color * alpha + 255 * (1 - alpha)), tf.uint8)
        return tf.broadcast_to(flat, (*tf.unstack(tf.shape(image)[:2]), 3))

    def as_rgb():
        return tf.broadcast_to(image, (*tf.unstack(tf.shape(image)[:2]), 3))

    return tf.cond((channels == 2) | (channels == 4), on_white, as_rgb)


def open_dataset(
    name: str | Path = EMBEDDED,
    data_dir: str | Path | None = None,
    *,
    validation_fraction: float = 0.2,
    skip_bad: bool = False,
) -> ImageDataset:
    """Opens labelled pictures. This is the only door to data in the package.

    Args:
        name: one of
            - `"openclipart"`, the embedded set;
            - a folder that holds one folder of pictures a class, or `train/` and `val/` (or
              `valid/`, `validation/`, `test/`) folders of them; JPEG, PNG, BMP and GIF;
            - a folder that `prepare` has written;
            - the name of a data set of TensorFlow Datasets, such as `"imagenette/160px-v2"`,
              `"cifar10"`, `"tf_flowers"` or `"imagenet2012"`, downloaded if it is not there yet.
        data_dir: where TensorFlow Datasets keeps its data; `None` for its default.
        validation_fraction: share of each class (of the whole, for TensorFlow Datasets) that is
            held out where the data has no split of its own; of the same data always the same
            pictures.
        skip_bad: folders only: leave out the files that cannot be decoded, and list them in
            `skipped`. Every file is decoded once to find them.

    Returns:
        An `ImageDataset`.

    Raises:
        DataError: if there is no such data set or folder, a class folder is empty, there are fewer
            than two classes, or the validation split has a class that the training split lacks.

    Example:

    >>> from alexnet_keras import open_dataset
    >>> data = open_dataset()
    >>> len(data.class_names), sorted(data.sizes)
    (10, ['train', 'validation'])
    """
    if not 0 < validation_fraction < 1:
        raise DataError(
            f"`validation_fraction` must lie between 0 and 1. Received: {validation_fraction!r}"
        )
    name = str(name)
    if not name:
        raise DataError("The data must be named. Received: an empty name")
    if name == EMBEDDED:
        import tensorflow_datasets as tfds

        return _from_builder(name, tfds.builder_from_directory(shipped(f"data/{name}/1.0.0")), 0)
    if (Path(name) / MANIFEST).is_file():
        return _from_prepared(Path(name))
    if Path(name).is_dir():
        return _from_folder(Path(name), validation_fraction, skip_bad)
    if Path(name).exists() or Path(name).is_absolute() or name.startswith("."):
        raise DataError(f"The data folder must be a folder that exists. Received: {name}")
    return _from_builder(name, _find_builder(name, data_dir), validation_fraction)


def is_folder(name: str) -> bool:
    """Whether `open_dataset` would take the name for that of a folder.

    Example:

    >>> is_folder("openclipart"), is_folder("runs/openclipart-paper")
    (False, True)
    """
    return name != EMBEDDED and Path(name).is_dir()


def _from_prepared(folder: Path) -> "ImageDataset":
    import tensorflow_datasets as tfds

    if not (folder / CHECKSUMS).is_file():
        raise DataError(
            "The prepared pictures must be complete. Received: "
            f"{folder}, where `alexnet-keras prepare` was cut off; the same command goes on"
        )
    dataset = _from_builder(str(folder), tfds.builder_from_directory(folder), 0)
    fingerprint = hashlib.sha256((folder / CHECKSUMS).read_bytes()).hexdigest()
    return dataclasses.replace(dataset, fingerprint=fingerprint)


def _find_builder(name: str, data_dir: str | Path | None) -> Any:
    import tensorflow_datasets as tfds

    if data_dir is not None and not Path(data_dir).is_dir():
        raise DataError(f"`data_dir` must be a folder that exists. Received: {data_dir}")
    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except (tfds.core.DatasetNotFoundError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise DataError(
            f"The data must be {EMBEDDED!r}, a folder of class folders, or a name that TensorFlow "
            f"Datasets knows. Received: {name!r} ({reason})"
        ) from None
    try:
        builder.download_and_prepare()
    except Exception as error:  # no network, no manual download, a full disk, a changed checksum
        reason = str(error).strip().splitlines()[0]
        raise DataError(
            f"TensorFlow Datasets could not download or prepare {name!r} in {builder.data_dir}: "
            f"{reason}"
        ) from error
    return builder


def _from_builder(name: str, builder: Any, validation_fraction: float) -> ImageDataset:
    import tensorflow_datasets as tfds

    features = builder.info.features
    keys = builder.info.supervised_keys or ("image", "label")
    kinds = [type(features[key]) if key in features else None for key in keys]
    if kinds != [tfds.features.Image, tfds.features.ClassLabel]:
        raise DataError(
            f"The data set must hold images with one class label each. Received: {name!r} with "
            f"features {sorted(features)}"
        )
    held_out = next((s for s in ("validation", "test") if s in builder.info.splits), None)
    if held_out:
        splits = {"train": "train", "validation": held_out}
        # ImageNet can be prepared from the archive of its validation pictures alone.
        splits = {name: split for name, split in splits.items() if split in builder.info.splits}
    else:
        percent = round(100 * (1 - validation_fraction))
        if not 0 < percent < 100:
            raise DataError(
                "`validation_fraction` must be at least 0.01 and at most 0.99 for a data set of "
                f"TensorFlow Datasets. Received: {validation_fraction!r}"
            )
        splits = {"train": f"train[:{percent}%]", "validation": f"train[{percent}%:]"}

    def source(split: str) -> tf.data.Dataset:
        data = builder.as_dataset(
            split=splits[split],
            decoders={keys[0]: tfds.decode.SkipDecoding()},
            read_config=tfds.ReadConfig(add_tfds_id=True, try_autocache=False),
        )
        return data.map(
            lambda example: {
                "image": example[keys[0]],
                "label": example[keys[1]],
                "id": example["tfds_id"],
            }
        )

    sizes = {s: builder.info.splits[spec].num_examples for s, spec in splits.items()}
    class_names = tuple(features[keys[1]].names)
    fingerprint = f"{builder.info.full_name} {splits}"
    return ImageDataset(name, class_names, sizes, source, fingerprint=fingerprint)


def _class_folders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def picture_files(folder: Path) -> list[str]:
    """Paths of the pictures in a folder and the folders in it, sorted; hidden ones are left out.

    Raises:
        DataError: if there is none.
    """
    files = sorted(
        str(p)
        for p in folder.rglob("*")
        if p.suffix.lower() in EXTENSIONS
        and not any(part.startswith(".") for part in p.relative_to(folder).parts)
        and p.is_file()
    )
    if not files:
        raise DataError(
            f"A folder of pictures must hold at least one ({', '.join(EXTENSIONS)}). "
            f"Received: {folder}"
        )
    return files


def _digest(file: str, folder: Path) -> str:
    return hashlib.sha256(os.fsencode(Path(file).relative_to(folder).as_posix())).hexdigest()


def _from_folder(folder: Path, validation_fraction: float, skip_bad: bool) -> ImageDataset:
    held_out = next((folder / n for n in HELD_OUT if (folder / n).is_dir()), None)
    if (folder / "train").is_dir() and _class_folders(folder / "train"):
        if held_out is None:
            raise DataError(
                f"A folder with train/ must hold one of {', '.join(f'{n}/' for n in HELD_OUT)} "
                f"too. Received: {folder}"
            )
        train = {p.name: picture_files(p) for p in _class_folders(folder / "train")}
        validation = {p.name: picture_files(p) for p in _class_folders(held_out)}
        unknown = sorted(validation.keys() - train.keys())
        if unknown:
            raise DataError(
                f"Every class of {held_out} must be in {folder / 'train'} too. "
                f"Received: {', '.join(unknown)} only in {held_out.name}"
            )
        parts = {"train": train, "validation": validation}
    else:
        parts = {"train": {}, "validation": {}}
        for path in _class_folders(folder):
            files = picture_files(path)
            held = max(1, round(len(files) * validation_fraction))
            if held == len(files):
                raise DataError(
                    "A class folder must hold at least two pictures, one to train on and one to "
                    f"validate with. Received: {path} with {len(files)}"
                )
            # The order of the names often means something; that of their digests does not.
            shuffled = sorted(files, key=lambda file: _digest(file, folder))
            parts["validation"][path.name] = sorted(shuffled[:held])
            parts["train"][path.name] = sorted(shuffled[held:])
    names = tuple(sorted(parts["train"]))
    if len(names) < 2:
        raise DataError(
            "A data folder must hold at least two class folders, or train and val folders of them. "
            f"Received: {folder} with {len(names)}"
        )
    rows = {
        split: [(file, names.index(name)) for name, files in sorted(part.items()) for file in files]
        for split, part in parts.items()
    }

    if not rows["validation"]:
        raise DataError(f"{held_out} must hold a folder of pictures a class. Received: none")

    def opened(skipped=()):
        def source(split):
            files = [os.fsencode(file) for file, _ in rows[split]]  # names need not be UTF-8
            labels = np.array([label for _, label in rows[split]], "int64")
            return tf.data.Dataset.from_tensor_slices(
                {"image": files, "label": labels, "id": files}
            )

        sizes = {split: len(part) for split, part in rows.items()}
        digests = [f"{s} {_digest(file, folder)}" for s in sorted(rows) for file, _ in rows[s]]
        fingerprint = hashlib.sha256("\n".join(digests).encode()).hexdigest()
        return ImageDataset(str(folder), names, sizes, source, tuple(skipped), True, fingerprint)

    dataset = opened()
    if not skip_bad:
        return dataset
    bad = {split: undecodable(dataset.encoded(split)) for split in rows}
    for split in rows:
        rows[split] = [row for row in rows[split] if row[0] not in set(bad[split])]
        left = {label for _, label in rows[split]}
        for label in {"train": range(len(names)), "validation": [min(left, default=0)]}[split]:
            if label not in left:
                raise DataError(
                    f"The {split} split must hold at least one picture of {names[label]!r} that "
                    f"can be decoded. Received: none in {folder}"
                )
    return opened([*bad["train"], *bad["validation"]])


def undecodable(examples: tf.data.Dataset) -> list[str]:
    """Decodes every picture of a data set of encoded examples and names those that fail.

    Args:
        examples: as `ImageDataset.encoded` gives them.

    Returns:
        The `id` of each example that cannot be decoded, in order.
    """

    def decode(example):
        # The test keeps the decoding from being pruned; no picture is smaller than a pixel.
        size = tf.size(decode_image(example["image"]))
        return tf.strings.substr(example["id"], 0, tf.where(size > 0, 1 << 30, 0))

    good = examples.map(decode, num_parallel_calls=tf.data.AUTOTUNE).ignore_errors()
    decoded = set(good.as_numpy_iterator())
    ids = examples.map(lambda example: example["id"]).as_numpy_iterator()
    return [os.fsdecode(i) for i in ids if i not in decoded]


def checked(batches: tf.data.Dataset, dataset: ImageDataset, split: str) -> Iterator[Any]:
    """The batches as numpy arrays, or a sentence that names the files that cannot be decoded.

    Args:
        batches: made from the pictures of the split.
        dataset, split: where the pictures are from.

    Raises:
        DataError: when a picture cannot be decoded.
    """
    try:
        yield from batches.as_numpy_iterator()
    except tf.errors.OpError:
        dataset.require_decodable(split)
        raise
