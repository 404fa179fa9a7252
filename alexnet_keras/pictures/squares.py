"""The central squares that crops are taken from, as bytes, decoded each time or once for all."""

import dataclasses
import os

import numpy as np
import tensorflow as tf

from alexnet_keras.pictures.augmentation import central_square, square_side
from alexnet_keras.pictures.dataset import ImageDataset, numpy_batches
from alexnet_keras.pictures.decoding import decode_image

MOST_BYTES = 4 << 30
"""Memory that the squares of a training split may take; or a quarter of the machine's, if less."""


def byte_square(encoded: tf.Tensor, side: int) -> tf.Tensor:
    """The central square of a picture that is still encoded, rounded to bytes.

    A picture whose shorter side is `side` is not scaled, and its square is exact; that of another
    is at most half a level of 255 from `central_square`.

    Args:
        encoded: scalar string, the bytes of the file.
        side: pixels.

    Returns:
        uint8 of shape `(side, side, 3)`.

    Example:

    >>> import tensorflow as tf
    >>> byte_square(tf.io.encode_jpeg(tf.zeros((500, 375, 3), tf.uint8)), 256).shape
    TensorShape([256, 256, 3])
    """
    return tf.cast(tf.round(central_square(decode_image(encoded), side)), tf.uint8)


@dataclasses.dataclass(frozen=True, eq=False)
class Squares:
    """The squares of a split, from which a pipeline takes its crops.

    Attributes:
        dataset, split: whose.
        side: of the squares, pixels.
        images: uint8 `(pictures, side, side, 3)` in the order of the split; `None` to decode each
            picture when it is its turn. The crops are the same.
        labels: int64 `(pictures,)`, with the images.

    Example:

    >>> from alexnet_keras import open_dataset
    >>> squares = Squares(open_dataset(), "validation", side=72).in_memory()
    >>> squares.images.shape
    TensorShape([337, 72, 72, 3])
    """

    dataset: ImageDataset
    split: str
    side: int
    images: tf.Tensor | None = None
    labels: tf.Tensor | None = None

    @property
    def nbytes(self) -> int:
        """What all squares take."""
        return self.dataset.sizes[self.split] * self.side**2 * 3

    def in_memory(self) -> "Squares":
        """The same, all decoded.

        Raises:
            DataError: if a picture cannot be decoded; the message names the first ones.
        """
        count = self.dataset.sizes[self.split]
        images = np.empty((count, self.side, self.side, 3), "uint8")
        labels = np.empty(count, "int64")
        examples = self.dataset.encoded(self.split).map(
            lambda example: (byte_square(example["image"], self.side), example["label"]),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        start = 0
        for some, their in numpy_batches(examples.batch(64), self.dataset, self.split):
            images[start : start + len(their)] = some
            labels[start : start + len(their)] = their
            start += len(their)
        with tf.device("CPU:0"):  # a GPU's memory is for the network
            images, labels = tf.convert_to_tensor(images), tf.convert_to_tensor(labels)
        return dataclasses.replace(self, images=images, labels=labels)

    def shuffled(self, seed: tf.Tensor) -> tf.data.Dataset:
        """Examples for `crop`, with an `image` and a `label`, in the order of
        `ImageDataset.shuffled`."""
        if self.images is None:
            return self.dataset.shuffled(self.split, seed)
        places = tf.range(tf.size(self.labels))
        records = tf.data.Dataset.from_tensor_slices({"image": places, "label": self.labels})
        return self.dataset.in_shuffled_order(self.split, records, seed)

    def crop(self, image: tf.Tensor, start: tf.Tensor, size: int) -> tf.Tensor:
        """A part of a square.

        Args:
            image: of an example.
            start: int32 `(2,)`, its first row and column.
            size: of its sides, pixels.

        Returns:
            uint8 of shape `(size, size, 3)`.
        """
        if self.images is None:
            square = byte_square(image, self.side)
            return tf.slice(square, [*tf.unstack(start), 0], (size, size, 3))
        return tf.slice(self.images, [image, *tf.unstack(start), 0], (1, size, size, 3))[0]


def training_squares(dataset: ImageDataset, image_size: int) -> Squares:
    """The squares of a training split, in memory if they take no more than `MOST_BYTES` and a
    quarter of the machine's memory, where the system tells it.

    Args:
        dataset: its training split is read.
        image_size: side in pixels of the network's input.

    Raises:
        DataError: if a picture cannot be decoded; the message names the first ones.

    Example:

    >>> from alexnet_keras import open_dataset
    >>> training_squares(open_dataset(), image_size=64).images.shape
    TensorShape([1381, 72, 72, 3])
    """
    squares = Squares(dataset, "train", square_side(image_size))
    return squares.in_memory() if squares.nbytes <= _most_bytes() else squares


def _most_bytes():
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows does not tell
        return MOST_BYTES
    return min(MOST_BYTES, memory // 4)
