"""Bytes of a picture file to RGB pixels."""

import io

import numpy as np
import tensorflow as tf
from PIL import Image


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
        lambda: decode_by_tensorflow(encoded),
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


def decode_by_tensorflow(encoded: tf.Tensor) -> tf.Tensor:
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
