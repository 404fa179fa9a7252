"""Pictures scaled once, as the paper did, and kept as records that are quick to read."""

import functools
import hashlib
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf
from rich.console import Console
from rich.progress import track

from alexnet_keras.common import check_integer, write_file, write_json
from alexnet_keras.pictures.augmentation import central_square
from alexnet_keras.pictures.dataset import ImageDataset, numpy_batches
from alexnet_keras.pictures.decoding import decode_image
from alexnet_keras.pictures.opening import CHECKSUMS, MANIFEST

_NAME, _VERSION = "prepared", "1.0.0"


def write_records(
    dataset: ImageDataset,
    out: str | Path,
    *,
    side: int = 256,
    quality: int = 95,
    pictures_per_shard: int = 1024,
) -> int:
    """Writes the central squares of all pictures as a data set that `open_dataset` opens.

    Section 2 of the paper: "we first rescaled the image such that the shorter side was of length
    256, and then cropped out the central 256 x 256 patch". The squares are kept as JPEG in TFRecord
    files, with the metadata of TensorFlow Datasets; a JPEG file that is such a square already is
    taken as it is. `manifest.json` tells what was prepared from what, `SHA256SUMS` is read by
    `sha256sum --check`.

    A call that was cut off goes on where it stopped when it is made again: whole records are kept
    if their checksums hold. The pictures of a folder are written in a mixed order, the same each
    time, since training mixes no more than `SHUFFLE_CHUNK` of them at once.

    Args:
        dataset: what to prepare.
        out: folder; made if it is not there.
        side: of the squares in pixels: 256 for crops of 227 (`square_side`).
        quality: of the JPEG files, 1 to 100.
        pictures_per_shard: most pictures in one file.

    Returns:
        How many pictures were written by this call.

    Raises:
        FileExistsError: if the folder holds something else, or was prepared from other data or with
            other settings; nothing is written.
        DataError: if a picture cannot be decoded.
        ValueError: if a number is out of its range.

    Example:

    >>> from alexnet_keras import open_dataset, write_records
    >>> written = write_records(open_dataset(), "squares", side=72)
    >>> open_dataset("squares").sizes == open_dataset().sizes
    True
    """
    side = check_integer("side", side, minimum=1, maximum=65500)
    quality = check_integer("quality", quality, minimum=1, maximum=100)
    pictures_per_shard = check_integer(
        "pictures_per_shard", pictures_per_shard, minimum=1, maximum=2**31
    )
    out = Path(out)
    manifest = {
        "source": dataset.name,
        "fingerprint": dataset.fingerprint,
        "class_names": list(dataset.class_names),
        "sizes": dataset.sizes,
        "side": side,
        "quality": quality,
        "pictures_per_shard": pictures_per_shard,
    }
    shards = _shards_so_far(out, manifest)

    def keep(shards):
        write_json(out / MANIFEST, {**manifest, "shards": dict(sorted(shards.items()))})

    out.mkdir(parents=True, exist_ok=True)
    keep(shards)
    features, written = _features(dataset.class_names), 0
    for split, size in dataset.sizes.items():
        count = -(-size // pictures_per_shard)
        names = [f"{_NAME}-{split}.tfrecord-{i:05}-of-{count:05}" for i in range(count)]
        missing = [i for i, name in enumerate(names) if name not in shards]
        pictures = _squares(dataset, split, side, quality, pictures_per_shard, missing)
        about = f"{split}, {len(missing)} of {count} files"
        for i in track(missing, about, console=Console(stderr=True)):
            (out / CHECKSUMS).unlink(missing_ok=True)  # the sign that all is done
            held = min(pictures_per_shard, size - i * pictures_per_shard)
            records = (_record(features, next(pictures)) for _ in range(held))
            write_file(out / names[i], functools.partial(_write_records, records=records))
            shards[names[i]] = {
                "split": split,
                "pictures": held,
                "bytes": (out / names[i]).stat().st_size,
                "sha256": _sha256(out / names[i]),
            }
            keep(shards)
            written += held
    _write_metadata(out, features, shards, dataset.sizes)
    return written


def _shards_so_far(out: Path, manifest: dict) -> dict[str, dict]:
    """The whole records of an earlier call, by file name."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return {}
    try:
        before = json.loads((out / MANIFEST).read_text(encoding="utf-8"))
        shards = before.pop("shards")
    except (OSError, ValueError, KeyError, AttributeError):
        raise FileExistsError(
            "The folder for prepared pictures must be new, empty, or one that an earlier call has "
            f"begun. Received: {out}, which holds something else"
        ) from None
    other = [key for key in manifest if before.get(key) != manifest[key]]
    if other:
        raise FileExistsError(
            "The folder for prepared pictures must be of the same data and settings. Received: "
            f"{out} with another {', '.join(other)}"
        )
    return {
        name: shard
        for name, shard in shards.items()
        if (out / name).is_file() and _sha256(out / name) == shard["sha256"]
    }


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _features(class_names):
    import tensorflow_datasets as tfds

    return tfds.features.FeaturesDict(
        {
            "filename": tfds.features.Text(),
            "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
            "label": tfds.features.ClassLabel(names=list(class_names)),
        }
    )


def _squares(dataset, split, side, quality, pictures_per_shard, shards) -> Iterator[dict]:
    """The pictures of some shards, scaled and encoded."""

    def wanted(place, _):
        return tf.reduce_any(tf.equal(place // pictures_per_shard, shards))

    def square(_, example):
        encoded = example["image"]

        def scaled():
            image = tf.round(central_square(decode_image(encoded), side))
            return tf.io.encode_jpeg(tf.cast(image, tf.uint8), quality=quality)

        def is_square():
            return tf.reduce_all(tf.image.extract_jpeg_shape(encoded) == [side, side, 3])

        kept = tf.cond(tf.io.is_jpeg(encoded), is_square, lambda: False)
        return {**example, "image": tf.cond(kept, lambda: encoded, scaled)}

    if not shards:
        return iter(())
    # Folders are in the order of their classes; data of TensorFlow Datasets is mixed already.
    examples = (
        dataset.shuffled(split, tf.constant([0, 0])) if dataset.in_files else dataset.encoded(split)
    )
    examples = examples.enumerate().filter(wanted)
    squares = examples.map(square, num_parallel_calls=os.cpu_count())
    return numpy_batches(squares.prefetch(tf.data.AUTOTUNE), dataset, split)


def _record(features, example) -> bytes:
    name = os.fsdecode(example["id"]).encode("utf-8", "backslashreplace").decode()
    picture = {
        "filename": name,
        "image": io.BytesIO(example["image"]),
        "label": example["label"],
    }
    record = tf.train.Example.FromString(features.serialize_example(picture))
    # Protocol buffers promise no order of map entries unless asked to.
    return record.SerializeToString(deterministic=True)


def _write_records(path, records):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)


def _write_metadata(out, features, shards, sizes):
    import tensorflow_datasets as tfds

    template = tfds.core.ShardedFileTemplate(
        data_dir=out, dataset_name=_NAME, split="train", filetype_suffix="tfrecord"
    )
    infos = []
    for split in sizes:
        of_split = [shards[name] for name in sorted(shards) if shards[name]["split"] == split]
        infos.append(
            tfds.core.SplitInfo(
                name=split,
                shard_lengths=[shard["pictures"] for shard in of_split],
                num_bytes=sum(shard["bytes"] for shard in of_split),
                filename_template=template.replace(split=split),
            )
        )
    tfds.folder_dataset.write_metadata(
        data_dir=out,
        features=features,
        split_infos=infos,
        version=_VERSION,
        supervised_keys=("image", "label"),
    )
    sums = {name: shard["sha256"] for name, shard in shards.items()}
    text = "".join(f"{sums[name]}  {name}\n" for name in sorted(sums))
    write_file(out / CHECKSUMS, lambda partial: partial.write_text(text, encoding="ascii"))
