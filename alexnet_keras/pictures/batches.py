"""Batches to train on and to evaluate with, the same for the same seed, whatever the machine."""

import dataclasses
import os
from typing import Any

import numpy as np
import tensorflow as tf

from alexnet_keras.common import check_choice
from alexnet_keras.configuration import Augmentation
from alexnet_keras.layers import color_directions
from alexnet_keras.pictures.augmentation import (
    ColorStatistics,
    central_square,
    square_side,
    ten_views,
)
from alexnet_keras.pictures.dataset import ImageDataset
from alexnet_keras.pictures.decoding import decode_image
from alexnet_keras.pictures.squares import Squares


@dataclasses.dataclass(frozen=True)
class Share:
    """What one process takes of every batch, before a picture is decoded.

    `MirroredStrategy` and JAX cut a batch into equal parts, one a replica. The last batch of an
    epoch need not have such, or one for every replica (TensorFlow issue 61231: its loss is then
    NaN). So every batch is filled up to a multiple of the replicas with its last picture, of weight
    zero, and the others weigh filled / real: the mean over all parts is that over the real ones.

    Attributes:
        replicas: of all processes together.
        processes: on as many machines; the shares are consecutive rows, in their order.
        rank: of this process, from 0.

    Example:

    >>> import tensorflow as tf
    >>> from alexnet_keras.pictures import Share
    >>> examples = tf.data.Dataset.from_tensor_slices([10, 11, 12, 13, 14])
    >>> for rank in range(2):
    ...     share = Share(replicas=2, processes=2, rank=rank)
    ...     print([(int(x), round(float(weight), 2)) for x, weight in share.of(examples, 5)])
    [(10, 1.2), (11, 1.2), (12, 1.2)]
    [(13, 1.2), (14, 1.2), (14, 0.0)]
    """

    replicas: int
    processes: int = 1
    rank: int = 0

    def rows(self, batch_size: Any) -> Any:
        """How many pictures of a batch are in the share, those that fill it up included."""
        return (batch_size + -batch_size % self.replicas) // self.processes

    def of(self, examples: tf.data.Dataset, batch_size: int) -> tf.data.Dataset:
        """The examples of the share, one by one, each with its weight, float32, behind it."""

        def taken(*batch):
            real = tf.shape(tf.nest.flatten(batch)[0])[0]
            rows = self.rows(real)
            places = self.rank * rows + tf.range(rows)
            weight = tf.cast(rows * self.processes, tf.float32) / tf.cast(real, tf.float32)
            nearest = tf.minimum(places, real - 1)
            batch = tf.nest.map_structure(lambda values: tf.gather(values, nearest), batch)
            return *batch, tf.where(places < real, weight, 0.0)

        return examples.batch(batch_size).map(taken).unbatch()


def training_batches(
    dataset: ImageDataset,
    statistics: ColorStatistics,
    *,
    image_size: int,
    batch_size: int,
    seed: int,
    augmentation: Augmentation = Augmentation(),
    first_epoch: int = 0,
    first_step: int = 0,
    share: Share | None = None,
) -> tf.data.Dataset:
    """Shuffled, augmented batches of the training split, epoch after epoch without end.

    All random choices follow from `seed`, the epoch and the picture's place in it, whatever the
    number of threads; `first_epoch` and `first_step` start as if so many epochs, and batches of the
    next one, had been drawn.

    They are `byte_batches`, of which `colored` makes pictures as the network takes them.

    Args:
        dataset: its training split is read.
        statistics: of the same data, from `color_statistics`.
        image_size: side in pixels of the network's input.
        batch_size: pictures; the last batch of an epoch holds what is left.
        seed: integer.
        augmentation: what is done to the pictures.
        first_epoch: number of the first epoch, from 0.
        first_step: number of its first batch, from 0.
        share: what is taken of every batch; `None` for all.

    Returns:
        A `tf.data.Dataset` of `(images, labels)`: float32 `(batch, image_size, image_size, 3)`
        with the mean subtracted, and int64 `(batch,)`; of a share with weights, float32 `(batch,)`.

    Example:

    >>> from alexnet_keras import load_run
    >>> run = load_run()
    >>> batches = training_batches(
    ...     run.open_dataset(), run.statistics, image_size=128, batch_size=32, seed=0
    ... )
    >>> images, labels = next(batches.as_numpy_iterator())
    >>> images.shape, labels.shape
    ((32, 128, 128, 3), (32,))
    """
    subtracted = statistics.subtracted(image_size)
    batches = byte_batches(
        Squares(dataset, "train", square_side(image_size)),
        statistics,
        image_size=image_size,
        batch_size=batch_size,
        seed=seed,
        augmentation=augmentation,
        first_epoch=first_epoch,
        first_step=first_step,
        share=share,
    )

    def as_floats(pictures, *others):
        images, offsets = pictures
        return colored(tf.cast(images, tf.float32), offsets, subtracted), *others

    return batches.map(as_floats, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def byte_batches(
    squares: Squares,
    statistics: ColorStatistics,
    *,
    image_size: int,
    batch_size: int,
    seed: int,
    augmentation: Augmentation = Augmentation(),
    first_epoch: int = 0,
    first_step: int = 0,
    share: Share | None = None,
) -> tf.data.Dataset:
    """As `training_batches`, but the pictures are bytes, a quarter of what has to cross to a
    device, and each comes with the colour that is to be added to it there.

    Crops are cut from the central squares as `byte_square` rounds them.

    Args:
        squares: of the training split, as from `training_squares`.
        others: as for `training_batches`.

    Returns:
        A `tf.data.Dataset` of `((images, offsets), labels)`: uint8 `(batch, image_size, image_size,
        3)`, float32 `(batch, 3)` and int64 `(batch,)`; of a share with weights, float32 `(batch,)`.

    Example:

    >>> from alexnet_keras import load_run
    >>> from alexnet_keras.pictures import training_squares
    >>> run = load_run()
    >>> squares = training_squares(run.open_dataset(), image_size=128)
    >>> batches = byte_batches(squares, run.statistics, image_size=128, batch_size=32, seed=0)
    >>> (images, offsets), labels = next(batches.as_numpy_iterator())
    >>> images.shape, images.dtype, offsets.shape
    ((32, 128, 128, 3), dtype('uint8'), (32, 3))
    """
    directions = color_directions(
        statistics.components, statistics.deviations, augmentation.color_noise
    )
    count = squares.dataset.sizes["train"]
    margin = squares.side - image_size

    def one_picture(place, example, *weight):
        key = tf.stack([tf.cast(seed, tf.int64), place])
        top, left, flip = tf.unstack(tf.random.stateless_uniform((3,), key))
        # Just above the middle, as in evaluation, where the margin is odd.
        position = tf.stack([top, left]) if augmentation.crop else tf.constant([0.4999, 0.4999])
        start = tf.cast(position * (margin + 1), tf.int32)
        image = squares.crop(example["image"], start, image_size)
        if augmentation.mirror:
            image = tf.cond(flip < 0.5, lambda: tf.reverse(image, [1]), lambda: image)
        normals = tf.random.stateless_normal((3,), key + tf.constant([1 << 32, 0], tf.int64))
        return (image, color_offsets(directions, normals)), example["label"], *weight

    @tf.autograph.experimental.do_not_convert  # it warns of TensorFlow Datasets' decorators
    def one_epoch(epoch):
        shuffled = squares.shuffled(tf.stack([tf.cast(seed, tf.int64), epoch]))
        places = tf.data.Dataset.range(epoch * count, (epoch + 1) * count)
        drawn = tf.where(epoch == first_epoch, first_step * batch_size, 0)
        examples = tf.data.Dataset.zip((places, shuffled))
        examples = examples.skip(tf.cast(drawn, tf.int64))  # before anything is decoded
        if share:
            examples = share.of(examples, batch_size)
        # AUTOTUNE would begin every epoch with one thread.
        pictures = examples.map(one_picture, num_parallel_calls=os.cpu_count())
        return pictures.batch(share.rows(batch_size) if share else batch_size)

    epochs = tf.data.Dataset.range(first_epoch, np.iinfo("int32").max)
    return epochs.flat_map(one_epoch).prefetch(tf.data.AUTOTUNE)


def color_offsets(directions: np.ndarray, normals: tf.Tensor) -> tf.Tensor:
    """The colour that the paper's noise adds to every pixel of a picture.

    Args:
        directions: float32 `(3, 3)`, the principal components, one a row, each as long as the
            standard deviation of the noise along it.
        normals: float32 `(3,)`, normal at random, of standard deviation 1.

    Returns:
        float32 `(3,)`, RGB.

    Example:

    >>> import numpy as np
    >>> color_offsets(2 * np.eye(3, dtype="float32"), np.array([1, -1, 0], "float32")).numpy()
    array([ 2., -2.,  0.], dtype=float32)
    """
    return tf.linalg.matvec(directions, normals, transpose_a=True)


def colored(images: Any, offsets: Any, subtracted: Any) -> Any:
    """Pictures of any backend, with their colours added and the mean subtracted.

    Args:
        images: float32 `(batch, height, width, 3)`, 0 to 255.
        offsets: float32 `(batch, 3)`.
        subtracted: float32 `(3,)`, or `(height, width, 3)`.

    Returns:
        float32 of the shape of `images`.

    Example:

    >>> import numpy as np
    >>> colored(np.full((1, 1, 1, 3), 9.0), np.ones((1, 3)), np.array([1.0, 2.0, 3.0]))
    array([[[[9., 8., 7.]]]])
    """
    return images + (offsets[:, None, None] - subtracted)


def evaluation_batches(
    dataset: ImageDataset,
    split: str,
    statistics: ColorStatistics,
    *,
    image_size: int,
    batch_size: int,
    views: int = 1,
    share: Share | None = None,
) -> tf.data.Dataset:
    """Batches of a split in a fixed order: the central crop, or the paper's ten views.

    Args:
        dataset, split: what is read.
        statistics: of the training data.
        image_size: side in pixels of the network's input.
        batch_size: pictures; the last batch holds what is left.
        views: 1 or 10.
        share: what is taken of every batch; `None` for all.

    Returns:
        A `tf.data.Dataset` of `(images, labels)`: float32 `(batch, image_size, image_size, 3)`, or
        `(batch, 10, image_size, image_size, 3)` for ten views, and int64 `(batch,)`; of a share
        with weights, float32 `(batch,)`.

    Raises:
        ValueError: if `views` is neither 1 nor 10.

    Example:

    >>> from alexnet_keras import load_run
    >>> run = load_run()
    >>> batches = evaluation_batches(
    ...     run.open_dataset(), "validation", run.statistics, image_size=128, batch_size=8, views=10
    ... )
    >>> next(batches.as_numpy_iterator())[0].shape
    (8, 10, 128, 128, 3)
    """
    prepare = evaluation_transform(statistics, image_size=image_size, views=views)

    def one_picture(example, *weight):
        return prepare(decode_image(example["image"])), example["label"], *weight

    examples = dataset.encoded(split)
    if share:
        examples = share.of(examples, batch_size)
    pictures = examples.map(one_picture, num_parallel_calls=tf.data.AUTOTUNE)
    batches = pictures.batch(share.rows(batch_size) if share else batch_size)
    return batches.prefetch(tf.data.AUTOTUNE)


def evaluation_transform(statistics: ColorStatistics, *, image_size: int, views: int = 1):
    """The function that makes one decoded picture into the network's input, for testing.

    It takes uint8 `(height, width, 3)` and returns float32 `(image_size, image_size, 3)`, or `(10,
    image_size, image_size, 3)` for ten views.

    Example:

    >>> import tensorflow as tf
    >>> from alexnet_keras.pictures import IMAGENET_STATISTICS
    >>> prepare = evaluation_transform(IMAGENET_STATISTICS, image_size=227, views=10)
    >>> prepare(tf.zeros((500, 375, 3), tf.uint8)).shape
    TensorShape([10, 227, 227, 3])
    """
    views = check_choice("views", views, (1, 10))
    side = square_side(image_size)
    subtracted = statistics.subtracted(image_size)

    def prepare(image):
        square = central_square(image, side)
        if views == 10:
            return ten_views(square, image_size) - subtracted
        margin = (side - image_size) // 2
        return square[margin : margin + image_size, margin : margin + image_size] - subtracted

    return prepare
