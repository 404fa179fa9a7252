"""Checks of the data set that is committed under ``data/openclipart/1.0.0``.

They read it offline through TensorFlow Datasets and compare the splits by means of their own, not
by those of the script that made the set.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import re
import tomllib
from pathlib import Path

import imagehash
import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image, ImageOps

DATA = Path(__file__).resolve().parents[2] / "data"
BUILD = DATA / "openclipart" / "1.0.0"
SPLITS = ("train", "validation")


@dataclasses.dataclass
class Item:
    """One committed picture."""

    filename: str
    label: int
    encoded: bytes
    image: Image.Image


@pytest.fixture(scope="module")
def builder() -> tfds.core.DatasetBuilder:
    return tfds.builder_from_directory(BUILD)


@pytest.fixture(scope="module")
def names(builder) -> list[str]:
    return builder.info.features["label"].names


@pytest.fixture(scope="module")
def items(builder) -> dict[str, list[Item]]:
    """All pictures of every split, decoded with Pillow."""
    found: dict[str, list[Item]] = {}
    for split in SPLITS:
        dataset = builder.as_dataset(
            split=split, decoders={"image": tfds.decode.SkipDecoding()}, shuffle_files=False
        )
        found[split] = []
        for example in dataset.as_numpy_iterator():
            image = Image.open(io.BytesIO(example["image"]))
            image.load()
            found[split].append(
                Item(example["filename"].decode(), int(example["label"]), example["image"], image)
            )
    return found


def counts(items: list[Item], classes: int) -> np.ndarray:
    return np.bincount([item.label for item in items], minlength=classes)


def vectors(items: list[Item], side: int, mirrored: bool = False) -> np.ndarray:
    """Gray pictures of ``side`` x ``side`` pixels, one a row, of zero mean and unit length."""
    rows = []
    for item in items:
        gray = item.image.convert("L").resize((side, side), Image.Resampling.BOX)
        rows.append(np.asarray(ImageOps.mirror(gray) if mirrored else gray, dtype=float).ravel())
    array = np.stack(rows)
    array -= array.mean(axis=1, keepdims=True)
    return array / np.maximum(np.linalg.norm(array, axis=1, keepdims=True), 1e-9)


def hash_bits(items: list[Item], mirrored: bool = False) -> np.ndarray:
    """Difference hashes, one a row."""
    return np.stack(
        [
            imagehash.dhash(ImageOps.mirror(i.image) if mirrored else i.image).hash.ravel()
            for i in items
        ]
    ).astype(int)


def test_splits_and_features(builder):
    assert set(builder.info.splits) == set(SPLITS)
    assert set(builder.info.features) == {"filename", "image", "label"}
    assert builder.info.features["image"].shape == (None, None, 3)
    for split in SPLITS:
        assert len(list(BUILD.glob(f"*-{split}.tfrecord-*"))) == 1


def test_decodes_through_tensorflow(builder):
    example = next(iter(builder.as_dataset(split="validation").take(1)))
    assert example["image"].dtype == "uint8"
    assert example["image"].shape[-1] == 3


def test_ten_classes_of_sixty_or_more(items, names):
    assert len(names) == 10
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", name) for name in names)
    total = sum(counts(items[split], len(names)) for split in SPLITS)
    assert total.sum() >= 1200
    assert total.min() >= 60
    assert total.max() <= 300


def test_size():
    trained = sum(f.stat().st_size for f in (DATA / "trained").rglob("*") if f.is_file())
    whole = sum(f.stat().st_size for f in DATA.rglob("*") if f.is_file())
    assert 0 < trained < 12_000_000 and whole - trained < 12_000_000
    sheets = list(DATA.glob("contact_sheet.*"))
    assert len(sheets) == 1
    assert sheets[0].stat().st_size < 500_000


def test_pictures_are_rgb_of_even_size(items):
    for split in SPLITS:
        for item in items[split]:
            assert item.image.format == "JPEG", item.filename
            assert item.image.mode == "RGB", item.filename
            assert 90 <= min(item.image.size) <= 110, item.filename
            assert max(item.image.size) <= 2.5 * min(item.image.size), item.filename


def test_no_blank_pictures(items):
    for split in SPLITS:
        for item in items[split]:
            gray = np.asarray(item.image.convert("L"))
            assert (gray < 245).mean() > 0.01, item.filename
            assert gray.std() > 5, item.filename


def test_splits_hold_classes_in_close_proportions(items, names):
    train, validation = (counts(items[split], len(names)) for split in SPLITS)
    share = validation / (train + validation)
    assert 0.17 <= validation.sum() / (train.sum() + validation.sum()) <= 0.23
    assert share.min() >= 0.15
    assert share.max() <= 0.26
    # Guessing the commonest class must not look like learning.
    assert validation.max() / validation.sum() <= 0.17


def test_no_file_and_no_picture_twice(items):
    everything = [item for split in SPLITS for item in items[split]]
    assert len({item.filename for item in everything}) == len(everything)
    assert len({item.encoded for item in everything}) == len(everything)
    assert len({item.image.tobytes() for item in everything}) == len(everything)


@pytest.mark.parametrize("mirrored", [False, True])
def test_no_near_duplicate_across_splits_by_correlation(items, mirrored):
    train, validation = items["train"], items["validation"]
    likeness = vectors(validation, 16) @ vectors(train, 16, mirrored).T
    row, column = np.unravel_index(likeness.argmax(), likeness.shape)
    pair = (validation[row].filename, train[column].filename)
    assert likeness.max() < 0.95, pair


@pytest.mark.parametrize("mirrored", [False, True])
def test_no_near_duplicate_across_splits_by_hash(items, mirrored):
    """A small hash distance alone may be chance; with the same pixels it is the same drawing."""
    train, validation = items["train"], items["validation"]
    left, right = hash_bits(validation), hash_bits(train, mirrored)
    distance = left @ (1 - right).T + (1 - left) @ right.T
    likeness = vectors(validation, 16) @ vectors(train, 16, mirrored).T
    pairs = [
        (validation[i].filename, train[j].filename)
        for i, j in np.argwhere((distance <= 8) & (likeness > 0.9))
    ]
    assert not pairs


def test_card_ranks_are_on_one_side(items, names):
    cards = names.index("playing_cards")
    sides: dict[str, set[str]] = {}
    for split in SPLITS:
        for item in items[split]:
            found = re.search(r"_(jk|10|[2-9ajqk])(?:_[br])?\.png$", item.filename)
            if item.label == cards and found:
                sides.setdefault(found.group(1), set()).add(split)
    assert len(sides) == 14
    assert all(len(split) == 1 for split in sides.values())


def test_counts_equal_those_in_readme(items, names):
    page = (DATA / "README.md").read_text(encoding="utf-8")
    rows = {
        match[1]: tuple(int(match[i]) for i in (2, 3, 4))
        for match in re.finditer(
            r"^\| \**(\w+)\** \| (\d+) \| (\d+) \| (\d+) \|$", page, re.MULTILINE
        )
    }
    train, validation = (counts(items[split], len(names)) for split in SPLITS)
    expected = {
        name: (train[i], validation[i], train[i] + validation[i]) for i, name in enumerate(names)
    }
    expected["all"] = (train.sum(), validation.sum(), train.sum() + validation.sum())
    assert rows == expected


def test_checksums():
    lines = (BUILD / "SHA256SUMS").read_text(encoding="ascii").splitlines()
    listed = dict(reversed(line.split("  ", 1)) for line in lines)
    present = {f.name for f in BUILD.iterdir()} - {"SHA256SUMS"}
    assert set(listed) == present
    for name, digest in listed.items():
        assert hashlib.sha256((BUILD / name).read_bytes()).hexdigest() == digest, name


def test_patterns_of_package_data_hold_what_comes_with_the_package():
    tool = tomllib.loads((DATA.parent / "pyproject.toml").read_text())["tool"]["setuptools"]
    packed = {
        path
        for package, patterns in tool["package-data"].items()
        for pattern in patterns
        for path in (DATA.parent / tool["package-dir"].get(package, package)).glob(
            f"{pattern}/*" if pattern.endswith("**") else pattern
        )
        if package in tool["packages"]
    }
    results = DATA.parent / "benchmarks" / "results"
    shipped = [
        DATA.parent / "alexnet_keras" / "style.mplstyle",
        results / "comparison.json",
        *results.glob("*.jsonl"),
        *BUILD.iterdir(),
        *(DATA / "trained").glob("*/*"),
    ]
    assert len(shipped) > 10 and packed.issuperset(shipped)
