"""The paper's picture pipeline: crops, mirror images, PCA colour noise, ten views.

Pictures are scaled so that the shorter side is 256 pixels and cut to the central 256 x 256; 227 x
227 crops of that are trained on (section 4.1). Other input sizes keep the proportion.
"""

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from alexnet_keras.pictures.dataset import ImageDataset, numpy_batches
from alexnet_keras.pictures.decoding import decode_image


def square_side(image_size: int) -> int:
    """Side in pixels of the square that crops are taken from: 256 for 227 (and 224).

    Example:

    >>> square_side(227), square_side(128)
    (256, 144)
    """
    return 256 if image_size in (224, 227) else round(image_size * 256 / 227)


@dataclasses.dataclass(frozen=True, eq=False)
class ColorStatistics:
    """What the pipeline has to know of the training set's colours; RGB, 0 to 255.

    Attributes:
        mean: mean colour, float32 of shape `(3,)`.
        deviations: standard deviations along the principal components, largest first, `(3,)`.
        components: principal components, one a column, `(3, 3)`.
        mean_image: mean of the central squares, `(side, side, 3)`; `None` if unknown.
        subtract: `"color"` or `"image"`, which of the two means the pipeline subtracts.

    Raises:
        ValueError: if `subtract` is neither, or the mean image that it names is unknown.

    Example:

    >>> from alexnet_keras import load_run
    >>> statistics = load_run().statistics
    >>> statistics.save("statistics.npz")
    >>> bool((ColorStatistics.load("statistics.npz").mean == statistics.mean).all())
    True
    """

    mean: np.ndarray
    deviations: np.ndarray
    components: np.ndarray
    mean_image: np.ndarray | None = None
    subtract: Literal["color", "image"] = "color"

    def __post_init__(self):
        if self.subtract not in ("color", "image"):
            raise ValueError(f"`subtract` must be 'color' or 'image'. Received: {self.subtract!r}")
        if self.subtract == "image" and self.mean_image is None:
            raise ValueError("`subtract` can be 'image' with a mean image only. Received: none")

    def subtracted(self, image_size: int) -> np.ndarray:
        """What the pipeline subtracts from a crop: `(3,)`, or `(image_size, image_size, 3)`.

        Raises:
            ValueError: if the mean image is not that of the squares for such crops.
        """
        if self.subtract == "color":
            return self.mean
        side = square_side(image_size)
        if self.mean_image.shape != (side, side, 3):
            raise ValueError(
                f"The mean image must be {side} x {side} for {image_size}-pixel crops. "
                f"Received: {self.mean_image.shape}"
            )
        margin = (side - image_size) // 2
        return self.mean_image[margin : margin + image_size, margin : margin + image_size]

    def save(self, path: str | Path) -> None:
        """Writes an `.npz` file."""
        arrays = {k: v for k, v in dataclasses.asdict(self).items() if v is not None}
        with open(path, "wb") as file:
            np.savez(file, **arrays)

    @classmethod
    def load(cls, path: str | Path) -> "ColorStatistics":
        """Reads what `save` wrote."""
        with np.load(path) as arrays:
            values = dict(arrays)
        # Older files lack it, see `read_statistics`.
        return cls(**{**values, "subtract": str(values.get("subtract", "color"))})


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
    dataset: ImageDataset, image_size: int, subtract: Literal["color", "image"] = "color"
) -> ColorStatistics:
    """Mean image and principal components of colour of the training split, in one pass over it.

    Section 4.1 of the paper: "PCA on the set of RGB pixel values throughout the training set". For
    `imagenet2012` the published constant is returned instead, unless its mean image is wanted.

    Args:
        dataset: its training split is read.
        image_size: side in pixels of the network's input.
        subtract: `"color"` or `"image"`, which mean the pipeline is to subtract.

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
    if name == "imagenet2012" and not dataset.in_files and subtract == "color":
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
    for image_sum, product_sum in numpy_batches(batches, dataset, "train"):
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
        subtract=subtract,
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
    the same crop of `central_square`, whose own size is rounded, too. That is the quicker way for
    large pictures that are read once; training's crops are of squares that can be kept (`Squares`).

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


def ten_views(image: Any, image_size: int) -> Any:
    """The four corners and the centre of square pictures, and their mirror images.

    Section 4.1 of the paper: its predictions are the mean of the softmax over these ten. Works in
    `tf.data.Dataset.map` and in a Keras model, on every backend.

    Args:
        image: `(side, side, channels)` or `(batch, side, side, channels)`: a numpy array, a tensor
            of TensorFlow or of Keras's backend, or a `KerasTensor`.
        image_size: side in pixels of each view, at most `side`.

    Returns:
        `(10, image_size, image_size, channels)`, or `(batch, 10, ...)`: top left, top right, bottom
        left, bottom right, centre, then the mirror images of these in the same order.

    Raises:
        ValueError: if the views are larger than the picture.

    Example:

    >>> import numpy as np
    >>> from alexnet_keras import ten_views
    >>> ten_views(np.arange(9.0).reshape(3, 3, 1), 1)[:, 0, 0, 0].tolist()
    [0.0, 2.0, 6.0, 8.0, 4.0, 0.0, 2.0, 6.0, 8.0, 4.0]
    """
    height, width = image.shape[-3:-1]
    if height != width or height is None or height < image_size:
        raise ValueError(
            f"`image` must be a square of at least {image_size} pixels. Received: {image.shape}"
        )
    margin = height - image_size
    corners = [(0, 0), (0, margin), (margin, 0), (margin, margin), (margin // 2, margin // 2)]
    views = [image[..., y : y + image_size, x : x + image_size, :] for y, x in corners]
    # What tf.data hands over is TensorFlow's on the other backends, too.
    for kind, library in ((np.ndarray, np), (tf.Tensor, _TENSORFLOW)):
        if isinstance(image, kind):
            return library.stack([*views, *(library.flip(view, -2) for view in views)], -4)
    return keras.ops.stack([*views, *(keras.ops.flip(view, -2) for view in views)], -4)


_TENSORFLOW = SimpleNamespace(stack=tf.stack, flip=lambda x, axis: tf.reverse(x, [axis]))
