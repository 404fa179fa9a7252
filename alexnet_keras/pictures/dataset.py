"""Labelled pictures in splits, read as they are needed."""

import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from alexnet_keras.common import DataError
from alexnet_keras.pictures.decoding import decode_image

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
        return self._read(self.in_shuffled_order(split, self._records(split), seed))

    def in_shuffled_order(
        self, split: str, records: tf.data.Dataset, seed: tf.Tensor
    ) -> tf.data.Dataset:
        """Dictionaries with a `label`, one for each example of the split, as `shuffled` has them.

        Args:
            split: name of the split.
            records: in its fixed order.
            seed: two integers.
        """

        def shuffled_chunk(chunk):
            order = tf.range(tf.shape(chunk["label"])[0])
            order = tf.random.experimental.stateless_shuffle(order, seed)
            chunk = {key: tf.gather(values, order) for key, values in chunk.items()}
            return tf.data.Dataset.from_tensor_slices(chunk)

        size = max(1, self.sizes[split]) if self.in_files else SHUFFLE_CHUNK
        return records.batch(size).flat_map(shuffled_chunk)

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
                f"(`skip_bad=True` leaves them out): {', '.join(bad[:5])}{' ...' * (len(bad) > 5)}"
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


def numpy_batches(batches: tf.data.Dataset, dataset: ImageDataset, split: str) -> Iterator[Any]:
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
