"""One door to pictures: the embedded set, TensorFlow Datasets, and folders of class folders."""

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import tensorflow as tf

from alexnet_keras.common import EMBEDDED, DataError, check_number, packaged_path
from alexnet_keras.pictures.dataset import ImageDataset
from alexnet_keras.pictures.folders import dataset_of_folder

MANIFEST, CHECKSUMS = "manifest.json", "SHA256SUMS"
"""What `write_records` keeps in its folder beside the data set: the first from the beginning, the
second when all is done."""

IMAGENETTE = {
    "n01440764": "tench",
    "n02102040": "English springer",
    "n02979186": "cassette player",
    "n03000684": "chain saw",
    "n03028079": "church",
    "n03394916": "French horn",
    "n03417042": "garbage truck",
    "n03425413": "gas pump",
    "n03445777": "golf ball",
    "n03888257": "parachute",
}
"""Names of the classes of Imagenette, for which TensorFlow Datasets has ImageNet's numbers."""


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
            - a folder that `write_records` has written;
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
        ValueError: if `validation_fraction` does not lie between 0 and 1.

    Example:

    >>> from alexnet_keras import open_dataset
    >>> data = open_dataset()
    >>> len(data.class_names), sorted(data.sizes)
    (10, ['train', 'validation'])
    """
    validation_fraction = check_number("validation_fraction", validation_fraction, above=0, below=1)
    name = str(name)
    if not name:
        raise DataError("The data must be named. Received: an empty name")
    if name == EMBEDDED:
        import tensorflow_datasets as tfds

        return _from_builder(
            name, tfds.builder_from_directory(packaged_path(f"data/{name}/1.0.0")), 0
        )
    if (Path(name) / MANIFEST).is_file():
        return _from_prepared(Path(name))
    if Path(name).is_dir():
        return dataset_of_folder(Path(name), validation_fraction, skip_bad)
    if Path(name).exists() or Path(name).is_absolute() or name.startswith("."):
        raise DataError(f"The data folder must be a folder that exists. Received: {name}")
    return _from_builder(name, _find_builder(name, data_dir), validation_fraction)


def is_folder(name: str) -> bool:
    """Whether `open_dataset` would take the name for that of a folder.

    Example:

    >>> is_folder("openclipart"), is_folder(".")
    (False, True)
    """
    return name != EMBEDDED and Path(name).is_dir()


def _from_prepared(folder: Path) -> "ImageDataset":
    import tensorflow_datasets as tfds

    if not (folder / CHECKSUMS).is_file():
        raise DataError(
            "The prepared pictures must be complete. Received: "
            f"{folder}, where `write_records` was cut off; the same call goes on"
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
            raise ValueError(
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
    class_names = tuple(IMAGENETTE.get(name, name) for name in features[keys[1]].names)
    fingerprint = f"{builder.info.full_name} {splits}"
    return ImageDataset(name, class_names, sizes, source, fingerprint=fingerprint)
