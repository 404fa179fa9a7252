"""The paper's picture pipeline: crops, mirror images, PCA colour noise, ten views.

Pictures are scaled so that the shorter side is 256 pixels and cut to the central 256 x 256; 227 x
227 crops of that are trained on (section 4.1). Other input sizes keep the proportion.
"""

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from alexnet_keras.configuration import Augmentation
from alexnet_keras.datasets import ImageDataset, checked, decode_image


def square_side(image_size: int) -> int:
    """Side in pixels of the square that crops are taken from: 256 for 227 (and 224).

    Example:

    >>> square_side(227), square_side(128)
    (256, 144)
    """
    return 256 if image_size in (224, 227) else round(image_size * 256 / 227)


@dataclasses.dataclass(frozen=True)
class ColorStatistics:
    """What the pipeline has to know of the training set's colours; RGB, 0 to 255.

    Attributes:
        mean: mean colour, float32 of shape `(3,)`.
        deviations: standard deviations along the principal components, largest first, `(3,)`.
        components: principal components, one a column, `(3, 3)`.
        mean_image: mean of the central squares, `(side, side, 3)`; `None` if unknown.

    Example:

    >>> from alexnet_keras import load_run
    >>> statistics = load_run("runs/openclipart-paper").statistics
    >>> statistics.save("statistics.npz")
    >>> bool((ColorStatistics.load("statistics.npz").mean == statistics.mean).all())
    True
    """

    mean: np.ndarray
    deviations: np.ndarray
    components: np.ndarray
    mean_image: np.ndarray | None = None

    def save(self, path: str | Path) -> None:
        """Writes an `.npz` file."""
        arrays = {k: v for k, v in dataclasses.asdict(self).items() if v is not None}
        with open(path, "wb") as file:
            np.savez(file, **arrays)

    @classmethod
    def load(cls, path: str | Path) -> "ColorStatistics":
        """Reads what `save` wrote."""
        with np.load(path) as arrays:
            return cls(**arrays)


IMAGENET_STATISTICS = ColorStatistics(
    # Mean: Caffe's `imagenet_mean`. Components: `datasets/imagenet.lua` in the repository
    # facebook/fb.resnet.torch, whose eigenvalues are variances for pixels from 0 to 1.
    mean=np.array([123.68, 116.779, 103.939], "float32"),
    deviations=255 * np.sqrt(np.array([0.2175, 0.0188, 0.0045], "float32")),
    components=np.array(
        [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]],
        "float32",
    ),
)
"""Of ImageNet's training set, used where the data set is `imagenet2012`."""


def color_statistics(
    dataset: ImageDataset, image_size: int, mean: str = "color"
) -> ColorStatistics:
    """Mean image and principal components of colour of the training split, in one pass over it.

    Section 4.1 of the paper: "PCA on the set of RGB pixel values throughout the training set". For
    `imagenet2012` the published constant is returned instead, unless its mean image is wanted.

    Args:
        dataset: its training split is read.
        image_size: side in pixels of the network's input.
        mean: `"color"` or `"image"`, what will be subtracted.

    Returns:
        The `ColorStatistics` of the squares that crops are taken from.

    Raises:
        DataError: if a picture cannot be decoded; the message names the first ones.

    Example:

    >>> from alexnet_keras import color_statistics, open_dataset
    >>> statistics = color_statistics(open_dataset(), image_size=64)
    >>> statistics.mean.shape, statistics.deviations.shape, statistics.components.shape
    ((3,), (3,), (3, 3))
    """
    name = dataset.name.partition("/")[0].partition(":")[0]
    if name == "imagenet2012" and not dataset.in_files and mean == "color":
        return IMAGENET_STATISTICS
    side = square_side(image_size)

    def moments(batch):
        pixels = tf.cast(tf.reshape(batch, (-1, 3)), tf.float64)
        products = tf.matmul(pixels, pixels, transpose_a=True)
        return tf.reduce_sum(tf.cast(batch, tf.float64), axis=0), products

    squares = dataset.encoded("train").map(
        lambda example: central_square(decode_image(example["image"]), side),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    total, products = np.zeros((side, side, 3)), np.zeros((3, 3))
    batches = squares.batch(64).map(moments)
    for image_sum, product_sum in checked(batches, dataset, "train"):
        total += image_sum
        products += product_sum
    mean_image = total / dataset.sizes["train"]
    mean = mean_image.mean(axis=(0, 1))
    covariance = products / (dataset.sizes["train"] * side * side) - np.outer(mean, mean)
    variances, components = np.linalg.eigh(covariance)
    return ColorStatistics(
        mean=mean.astype("float32"),
        deviations=np.sqrt(np.maximum(variances[::-1], 0)).astype("float32"),
        components=components[:, ::-1].astype("float32"),
        mean_image=mean_image.astype("float32"),
    )


def central_square(image: tf.Tensor, side: int) -> tf.Tensor:
    """Scales the shorter side to `side` pixels and cuts the central square out.

    A picture is shrunk by the mean of the area behind each pixel, and enlarged bilinearly.

    Args:
        image: `(height, width, 3)`, 0 to 255.
        side: pixels.

    Returns:
        float32 of shape `(side, side, 3)`, 0 to 255.

    Example:

    >>> import tensorflow as tf
    >>> central_square(tf.zeros((500, 375, 3), tf.uint8), 256).shape
    TensorShape([256, 256, 3])
    """
    size = tf.shape(image)[:2]
    short = tf.reduce_min(size)
    scaled = tf.maximum(side, tf.cast(tf.round(size * side / short), tf.int32))
    image = tf.case(
        [
            (short == side, lambda: tf.cast(image, tf.float32)),
            (short > side, lambda: tf.image.resize(image, scaled, "area")),
        ],
        lambda: tf.image.resize(image, scaled, antialias=True),
    )
    image = tf.clip_by_value(image, 0, 255)  # it may have been rounded to above
    top, left = tf.unstack((scaled - side) // 2)
    return tf.ensure_shape(image[top : top + side, left : left + side], (side, side, 3))


def crop_of_square(encoded: tf.Tensor, image_size: int, position: tf.Tensor) -> tf.Tensor:
    """A crop of the central square of a picture that is still encoded.

    Of a JPEG file, unless it is too small, only the crop is decoded and scaled. It then begins at
    a pixel of the file, not of the scaled square, and is about one pixel of the square at most from
    the same crop of `central_square`, whose own size is rounded, too.

    Args:
        encoded: scalar string, the bytes of the file.
        image_size: side in pixels of the network's input.
        position: float32 of shape `(2,)`, from 0 for the top and the left of the square to just
            below 1 for its bottom and right.

    Returns:
        float32 of shape `(image_size, image_size, 3)`, 0 to 255.

    Example:

    >>> import tensorflow as tf
    >>> encoded = tf.io.encode_jpeg(tf.zeros((500, 375, 3), tf.uint8))
    >>> crop_of_square(encoded, 227, tf.constant([0.0, 0.99])).shape  # the right top corner
    TensorShape([227, 227, 3])
    """
    side = square_side(image_size)

    def offset(margin):
        return tf.cast(position * tf.cast(margin + 1, tf.float32), tf.int32)

    def of_whole():
        start = offset(side - image_size)
        square = central_square(decode_image(encoded), side)
        return tf.slice(square, [*tf.unstack(start), 0], (image_size, image_size, 3))

    def of_jpeg():
        *size, channels = tf.unstack(tf.image.extract_jpeg_shape(encoded))
        short = tf.minimum(*size)
        extent = tf.cast(tf.round(short * image_size / side), tf.int32)

        def of_window():
            start = (size - short) // 2 + offset(short - extent)
            # The colours of the outer columns take in those of the columns beside them.
            left = tf.maximum(start[1] - 2, 0)
            right = tf.minimum(start[1] + extent + 2, size[1])
            window = tf.stack([start[0], left, extent, right - left])
            crop = tf.image.decode_and_crop_jpeg(encoded, window, channels=3)
            crop = crop[:, start[1] - left :][:, :extent]
            return tf.cond(
                extent == image_size,
                lambda: tf.cast(crop, tf.float32),
                lambda: tf.image.resize(crop, (image_size, image_size), "area"),
            )

        # CMYK needs a conversion that this decoder lacks.
        return tf.cond((short >= side) & (channels != 4), of_window, of_whole)

    crop = tf.cond(tf.io.is_jpeg(encoded), of_jpeg, of_whole)
    return tf.ensure_shape(crop, (image_size, image_size, 3))


PAPER = Augmentation()


def _subtracted(statistics: ColorStatistics, image_size: int, mean: str) -> np.ndarray:
    if mean == "color":
        return statistics.mean
    if statistics.mean_image is None:
        raise ValueError("`mean='image'` needs statistics with a mean image, which these lack")
    side, margin = square_side(image_size), (square_side(image_size) - image_size) // 2
    if statistics.mean_image.shape != (side, side, 3):
        raise ValueError(
            f"The mean image must be {side} x {side} for {image_size}-pixel crops. "
            f"Received: {statistics.mean_image.shape}"
        )
    return statistics.mean_image[margin : margin + image_size, margin : margin + image_size]


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
    >>> from alexnet_keras.augmentation import Share
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
    augmentation: Augmentation = PAPER,
    first_epoch: int = 0,
    first_step: int = 0,
    share: Share | None = None,
) -> tf.data.Dataset:
    """Shuffled, augmented batches of the training split, epoch after epoch without end.

    All random choices follow from `seed`, the epoch and the picture's place in it, whatever the
    number of threads; `first_epoch` and `first_step` start as if so many epochs, and batches of the
    next one, had been drawn.

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
    >>> run = load_run("runs/openclipart-paper")
    >>> batches = training_batches(
    ...     run.open_dataset(), run.statistics, image_size=64, batch_size=32, seed=0
    ... )
    >>> images, labels = next(batches.as_numpy_iterator())
    >>> images.shape, labels.shape
    ((32, 64, 64, 3), (32,))
    """
    # By rows: adding along an axis of three numbers is slow.
    row = 3 * image_size
    subtracted = _subtracted(statistics, image_size, augmentation.mean)
    subtracted = np.resize(subtracted, row if subtracted.ndim == 1 else (image_size, row))
    directions = (statistics.components * statistics.deviations).T * augmentation.color_noise
    count = dataset.sizes["train"]

    def one_picture(place, example, *weight):
        key = tf.stack([tf.cast(seed, tf.int64), place])
        top, left, flip = tf.unstack(tf.random.stateless_uniform((3,), key))
        # Just above the middle, as in evaluation, where the margin is odd.
        position = tf.stack([top, left]) if augmentation.crop else tf.constant([0.4999, 0.4999])
        image = crop_of_square(example["image"], image_size, position)
        if augmentation.mirror:
            image = tf.cond(flip < 0.5, lambda: tf.reverse(image, [1]), lambda: image)
        noise = tf.random.stateless_normal((3,), key + tf.constant([1 << 32, 0], tf.int64))
        offset = tf.linalg.matvec(directions, noise, transpose_a=True)
        rows = tf.reshape(image, (image_size, row)) + (tf.tile(offset, [image_size]) - subtracted)
        return tf.reshape(rows, (image_size, image_size, 3)), example["label"], *weight

    @tf.autograph.experimental.do_not_convert  # it warns of TensorFlow Datasets' decorators
    def one_epoch(epoch):
        shuffled = dataset.shuffled("train", tf.stack([tf.cast(seed, tf.int64), epoch]))
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


def evaluation_batches(
    dataset: ImageDataset,
    split: str,
    statistics: ColorStatistics,
    *,
    image_size: int,
    batch_size: int,
    mean: str = "color",
    views: int = 1,
    share: Share | None = None,
) -> tf.data.Dataset:
    """Batches of a split in a fixed order: the central crop, or the paper's ten views.

    Args:
        dataset, split: what is read.
        statistics: of the training data.
        image_size: side in pixels of the network's input.
        batch_size: pictures; the last batch holds what is left.
        mean: `"color"` or `"image"`, as in training.
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
    >>> run = load_run("runs/openclipart-paper")
    >>> batches = evaluation_batches(
    ...     run.open_dataset(), "validation", run.statistics, image_size=64, batch_size=8, views=10
    ... )
    >>> next(batches.as_numpy_iterator())[0].shape
    (8, 10, 64, 64, 3)
    """
    prepare = picture_preparation(statistics, image_size=image_size, mean=mean, views=views)

    def one_picture(example, *weight):
        return prepare(decode_image(example["image"])), example["label"], *weight

    examples = dataset.encoded(split)
    if share:
        examples = share.of(examples, batch_size)
    pictures = examples.map(one_picture, num_parallel_calls=tf.data.AUTOTUNE)
    batches = pictures.batch(share.rows(batch_size) if share else batch_size)
    return batches.prefetch(tf.data.AUTOTUNE)


def picture_preparation(
    statistics: ColorStatistics, *, image_size: int, mean: str = "color", views: int = 1
):
    """The function that makes one decoded picture into the network's input, for testing.

    It takes uint8 `(height, width, 3)` and returns float32 `(image_size, image_size, 3)`, or `(10,
    image_size, image_size, 3)` for ten views.

    Example:

    >>> import tensorflow as tf
    >>> prepare = picture_preparation(IMAGENET_STATISTICS, image_size=227, views=10)
    >>> prepare(tf.zeros((500, 375, 3), tf.uint8)).shape
    TensorShape([10, 227, 227, 3])
    """
    if views not in (1, 10):
        raise ValueError(f"`views` must be 1 or 10. Received: {views!r}")
    side = square_side(image_size)
    subtracted = _subtracted(statistics, image_size, mean)

    def prepare(image):
        square = central_square(image, side)
        if views == 10:
            return ten_views(square, image_size) - subtracted
        margin = (side - image_size) // 2
        return square[margin : margin + image_size, margin : margin + image_size] - subtracted

    return prepare


def ten_views(image: tf.Tensor, image_size: int) -> tf.Tensor:
    """The four corners and the centre of a square picture, and their mirror images.

    Section 4.1 of the paper: its predictions are the mean of the softmax over these ten.

    Args:
        image: `(side, side, channels)`.
        image_size: side in pixels of each view, at most `side`.

    Returns:
        `(10, image_size, image_size, channels)`: top left, top right, bottom left, bottom right,
        centre, then the mirror images of these in the same order.

    Raises:
        ValueError: if the views are larger than the picture.

    Example:

    >>> import numpy as np
    >>> from alexnet_keras import ten_views
    >>> ten_views(np.arange(9.0).reshape(3, 3, 1), 1)[:, 0, 0, 0].numpy().tolist()
    [0.0, 2.0, 6.0, 8.0, 4.0, 0.0, 2.0, 6.0, 8.0, 4.0]
    """
    margin = image.shape[0] - image_size
    if margin < 0 or image.shape[1] != image.shape[0]:
        raise ValueError(
            f"`image` must be a square of at least {image_size} pixels. Received: {image.shape}"
        )
    corners = [(0, 0), (0, margin), (margin, 0), (margin, margin), (margin // 2, margin // 2)]
    views = tf.stack([image[y : y + image_size, x : x + image_size] for y, x in corners])
    return tf.concat([views, views[:, :, ::-1]], axis=0)
