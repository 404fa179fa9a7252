"""The paper's colour noise, as a layer for any model and any pipeline."""

import sys
from typing import Any

import keras
import numpy as np
from keras import ops

from alexnet_keras.common import check_number


@keras.saving.register_keras_serializable("alexnet_keras")
class PCAColorNoise(keras.layers.Layer):
    """Adds one random colour to all pixels of an image, in training only.

    The colour follows the directions in which the colours of a data set vary, its principal
    components: ``sum over i of stddev * z[i] * deviations[i] * components[:, i]`` with ``z[i]``
    drawn anew from N(0, 1) for each image. Nothing is clipped.

    Source: Krizhevsky, Sutskever and Hinton 2012, section 4.1. As in the 2012 code
    (`convdata_jpeg.py`), the components are scaled by their standard deviations; the paper's text
    says eigenvalues, which are variances.

    The layer can stand in a model and in `tf.data.Dataset.map`, on every backend. As with Keras's
    own random layers, only a sequential `map` gives the same images for the same seed.

    Args:
        stddev: number of at least 0, the standard deviation of the noise along each component, as a
            share of the data set's own.
        components: principal components, one a column, `(channels, channels)`; `adapt` finds them.
        deviations: standard deviations of the data along them, `(channels,)`, in the units of the
            pixels; `adapt` finds them.
        seed: integer, or `None` for another sequence in each process.

    Input and output shape: `(height, width, channels)` or `(batch, height, width, channels)`,
    integers or floats; floats of the layer's compute dtype come out.

    Raises:
        ValueError: for an argument outside the ranges above, components without deviations or the
            reverse, and at the first call if neither was given and `adapt` was not called.

    Example:

    >>> import numpy as np
    >>> from alexnet_keras import PCAColorNoise
    >>> images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), "uint8")
    >>> noise = PCAColorNoise(stddev=0.1, seed=0)
    >>> noise.adapt(images)
    >>> tinted = np.asarray(noise(images)) - images
    >>> bool(np.ptp(tinted, axis=(1, 2)).max() < 1e-3)  # one colour for each image
    True
    >>> bool((np.asarray(noise(images, training=False)) == images).all())
    True
    """

    def __init__(
        self,
        stddev: float = 0.1,
        components: np.ndarray | None = None,
        deviations: np.ndarray | None = None,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.stddev = check_number("stddev", stddev, minimum=0)
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)
        self._tf_generator = None
        if (components is None) != (deviations is None):
            raise ValueError(
                "`components` and `deviations` must be given together. Received: only "
                + ("`deviations`" if components is None else "`components`")
            )
        self.components = self.deviations = None
        if components is not None:
            self._set(np.asarray(components, "float32"), np.asarray(deviations, "float32"))

    def _set(self, components, deviations):
        if deviations.ndim != 1 or components.shape != 2 * deviations.shape:
            raise ValueError(
                "`components` must be of shape (channels, channels), `deviations` of (channels,). "
                f"Received: {components.shape} and {deviations.shape}"
            )
        self.components, self.deviations = components, deviations

    def adapt(self, data: Any) -> None:
        """Finds the principal components of the colours of all pixels.

        Call it before the layer is used, as `keras.layers.Normalization.adapt`.

        Args:
            data: a `tf.data.Dataset` of images or of batches of them (labels behind them are passed
                over), or one array, `(..., channels)`; of a data set that repeats, `take` a part.

        Raises:
            ValueError: if there is no pixel in it.
        """
        batches = [data] if hasattr(data, "shape") else data
        count, total, products = 0, 0.0, 0.0
        for batch in batches:
            batch = batch[0] if isinstance(batch, (tuple, list)) else batch
            pixels = ops.convert_to_numpy(batch).reshape(-1, batch.shape[-1]).astype("float64")
            count += len(pixels)
            total, products = total + pixels.sum(axis=0), products + pixels.T @ pixels
        if not count:
            raise ValueError("`data` must hold images. Received: none")
        mean = total / count
        variances, components = np.linalg.eigh(products / count - np.outer(mean, mean))
        deviations = np.sqrt(np.maximum(variances[::-1], 0))
        self._set(components[:, ::-1].astype("float32"), deviations.astype("float32"))

    def directions(self) -> np.ndarray:
        """The colour that one standard deviation of each component adds, a row each."""
        if self.components is None:
            raise ValueError(
                "`PCAColorNoise` must know the data's principal components. Received: none; call "
                "`adapt`, or give `components` and `deviations`"
            )
        return color_directions(self.components, self.deviations, self.stddev)

    def __call__(self, images, *args, **kwargs):
        # Keras would turn what tf.data hands over into tensors of its own backend.
        if keras.backend.backend() != "tensorflow" and _is_of_tf_graph(images):
            return self._within_tf_data(images, *args, **kwargs)
        return super().__call__(images, *args, **kwargs)

    def call(self, images, training=True):
        directions = self.directions()
        images = ops.cast(images, self.compute_dtype)
        if not training:
            return images
        shape = (*ops.shape(images)[:-3], len(directions))
        normals = keras.random.normal(shape, seed=self.generator)
        colors = ops.matmul(normals, ops.convert_to_tensor(directions))
        return images + ops.cast(colors, images.dtype)[..., None, None, :]

    def _within_tf_data(self, images, training=True):
        import tensorflow as tf

        directions = self.directions()
        images = tf.cast(images, self.compute_dtype)
        if not training:
            return images
        if self._tf_generator is None:
            with tf.init_scope():
                self._tf_generator = (
                    tf.random.Generator.from_non_deterministic_state()
                    if self.seed is None
                    else tf.random.Generator.from_seed(self.seed)
                )
        shape = tf.concat([tf.shape(images)[:-3], [len(directions)]], 0)
        colors = tf.linalg.matvec(directions, self._tf_generator.normal(shape), transpose_a=True)
        return images + tf.cast(colors, images.dtype)[..., None, None, :]

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        # What `adapt` found is kept here too, so that a saved model needs no data.
        known = {
            name: None if values is None else values.tolist()
            for name, values in (("components", self.components), ("deviations", self.deviations))
        }
        return {**super().get_config(), "stddev": self.stddev, **known, "seed": self.seed}


def color_directions(
    components: np.ndarray, deviations: np.ndarray, stddev: float = 0.1
) -> np.ndarray:
    """What noise of N(0, 1) along each principal component is multiplied by: a colour for each row.

    Args:
        components: principal components, one a column, `(channels, channels)`.
        deviations: standard deviations along them, `(channels,)`.
        stddev: of the noise, as a share of these.

    Returns:
        float32 of shape `(channels, channels)`; the noise `z` adds `z @ directions`.
    """
    return np.asarray((components * deviations).T * stddev, "float32")


def _is_of_tf_graph(x) -> bool:
    tf = sys.modules.get("tensorflow")
    return tf is not None and isinstance(x, tf.Tensor) and not hasattr(x, "numpy")
