"""Folders of class folders: which pictures are in which split."""

import hashlib
import os
from pathlib import Path

import numpy as np
import tensorflow as tf

from alexnet_keras.common import DataError
from alexnet_keras.pictures.dataset import ImageDataset, undecodable

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".gif")
"""What a folder is searched for, in lower or upper case."""

HELD_OUT = ("val", "valid", "validation", "test")
"""Names of the folder beside `train/` that is validated on; the first that is there."""


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


def dataset_of_folder(folder: Path, validation_fraction: float, skip_bad: bool) -> ImageDataset:
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
