"""The paper's response normalization, across channels."""

import contextlib
import contextvars

import keras
import numpy as np
from keras import ops

from alexnet_keras.common import check_integer
from alexnet_keras.layers.normalization import Normalization, check_channels, inverse_power

_USUAL = 1e30
"""Sum of all divisors up to which squares and the factors of the gradient are far from overflow."""

_WITHOUT_BRANCHES = contextvars.ContextVar("without_branches", default=False)


@contextlib.contextmanager
def without_branches():
    """Where a graph is traced that another runtime is to run.

    Not all runtimes, and not the quantizer of LiteRT, do well with conditions. In such a graph
    TensorFlow's response normalization is that of usual activations alone: finite ones below 1e16.

    Example:

    >>> import keras
    >>> from alexnet_keras.layers import LocalResponseNormalization, without_branches
    >>> with without_branches():
    ...     y = LocalResponseNormalization()(keras.ops.ones((1, 4)))
    """
    token = _WITHOUT_BRANCHES.set(True)
    try:
        yield
    finally:
        _WITHOUT_BRANCHES.reset(token)


def _product_is_faster(x) -> bool:
    """Than a sum of slices, which XLA and kernels of a GPU make cheap.

    A GPU may also round products to TensorFloat-32, of 3 digits.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return not tf.config.list_logical_devices("GPU")
    return keras.backend.backend() == "torch" and x.device.type == "cpu"


@keras.saving.register_keras_serializable("alexnet_keras")
class LocalResponseNormalization(Normalization):
    """Divides each activation by the activity of its neighbours in the channels.

    With ``a[i]`` the activation of channel ``i`` at one position,

    ```
    b[i] = a[i] / (k + alpha' * sum(a[j] ** 2)) ** beta,   j = i - size // 2 ... i + (size - 1) // 2
    ```

    where the window is cut off at the ends of the channel axis: what lies outside counts as zero.
    Sources differ in what they call alpha: in the paper ``alpha' = alpha``; in Caffe, cuDNN,
    `torch.nn.LocalResponseNorm` and the 2012 source code ``alpha' = alpha / size``.
    `tf.nn.local_response_normalization` means the paper's alpha, but its `depth_radius` is half a
    window: 2 is `size=5`.

    Source: Krizhevsky, Sutskever and Hinton 2012, section 3.3; for an even window and for `groups`,
    the 2012 code (`layers/layers-145.cfg`), where each of the two columns is normalized by itself.

    The arithmetic is float32 under `mixed_float16` and `mixed_bfloat16`, exact to its last digits
    on a GPU too, and up to activations of 1e30, whose squares float32 does not hold. A NaN or
    infinity reaches its window alone. On a CPU, TensorFlow and PyTorch sum the windows by a product
    with a banded matrix; elsewhere slices are summed. The gradient is written by hand: second
    derivatives through the layer are not to be relied on.

    Args:
        size: integer of at least 1, the window `n` in channels, odd or even.
        k: positive number, added to the sum.
        alpha: number of at least 0, the factor of the sum.
        beta: number of at least 0, the exponent.
        divide_alpha_by_size: whether `alpha` is divided by `size`. `False` is the paper's meaning.
        groups: integer; the channels are cut into this many equal groups, and no window reaches
            into another group.
        data_format: `"channels_last"`, `"channels_first"` or `None` (Keras's setting).

    Input and output shape: any of rank 2 or more, the channel axis defined; the same shape.

    Raises:
        ValueError: for an argument outside the ranges above, an undefined channel axis, or channels
            that `groups` does not divide.

    Example:

    >>> import numpy as np
    >>> from alexnet_keras import LocalResponseNormalization
    >>> x = np.ones((1, 1, 1, 4), "float32")
    >>> y = LocalResponseNormalization(size=3, k=1.0, alpha=1.0, beta=1.0)(x)
    >>> np.asarray(y).ravel().round(4).tolist()  # 1 / (1 + 2), 1 / (1 + 3), ...
    [0.3333, 0.25, 0.25, 0.3333]
    """

    def __init__(
        self,
        size: int = 5,
        k: float = 2.0,
        alpha: float = 1e-4,
        beta: float = 0.75,
        divide_alpha_by_size: bool = False,
        groups: int = 1,
        data_format: str | None = None,
        **kwargs,
    ):
        super().__init__(size, k, alpha, beta, divide_alpha_by_size, data_format, **kwargs)
        self.groups = check_integer("groups", groups, minimum=1)

    def build(self, input_shape):
        channels = check_channels(self, input_shape)
        if channels % self.groups:
            raise ValueError(
                "`groups` must divide the number of channels. "
                f"Received: groups={self.groups} and {channels} channels"
            )

    def call(self, inputs):
        channels = check_channels(self, inputs.shape)
        first = self.data_format == "channels_first" and len(inputs.shape) > 2
        x = ops.moveaxis(inputs, 1, -1) if first else inputs
        shape = ops.shape(x)
        x = ops.reshape(self._full_precision(x), (-1, channels // self.groups))
        y = ops.reshape(self._normalized(x), shape)
        return ops.cast(ops.moveaxis(y, -1, 1) if first else y, self.compute_dtype)

    def _normalized(self, x):
        alpha = self._alpha(self.size)
        if not (alpha and self.beta):
            return x * self.k**-self.beta
        if not _product_is_faster(x):
            return self._differentiable(x, alpha, self._sum_of_slices)

        if _WITHOUT_BRANCHES.get():
            divisor = self.k + self._product_with_band(ops.square(x), alpha)
            return x * inverse_power(divisor, self.beta, finite=True)

        # A product carries a NaN or an infinity, times zero, out of its window too: what is unusual
        # is done again by slices.
        @ops.custom_gradient
        def normalized(x):
            divisor = self.k + self._product_with_band(ops.square(x), alpha)
            scale = inverse_power(divisor, self.beta, finite=True)
            usual = ops.sum(divisor) < _USUAL
            y = ops.cond(
                usual,
                lambda: x * scale,
                lambda: self._normalize(x, alpha, self._sum_of_slices)[0],
            )

            def gradient(*args, upstream=None):
                g = args[0] if upstream is None else upstream
                # Channel i is in the window of channel j where j is in the mirrored window of i.
                sums = self._product_with_band(g * y / divisor, -2 * alpha * self.beta, True)
                return ops.cond(
                    ops.logical_and(usual, ops.isfinite(ops.sum(sums))),
                    lambda: g * scale + x * sums,
                    lambda: self._normalize(x, alpha, self._sum_of_slices)[1](g),
                )

            return y, gradient

        return normalized(x)

    def _sum_of_slices(self, x, mirrored):
        padded = ops.pad(x, ((0, 0), self._reach(mirrored)))
        return sum(padded[:, i : i + x.shape[-1]] for i in range(self.size))

    def _product_with_band(self, x, factor, mirrored=False):
        """`factor` times the sum over each channel's window, of finite `(positions, channels)`."""
        channels = x.shape[-1]
        before, after = self._reach(mirrored)
        # Of a wide band nearly all is zero: oneDNN is then faster by blocks of 32 channels.
        in_blocks = keras.backend.backend() == "tensorflow" and channels > 128 and not channels % 32
        block, margin = (32, self.size // 2) if in_blocks else (channels, 0)
        j, i = np.mgrid[-margin : block + margin, :block]
        band = factor * ((j >= i - before) & (j <= i + after))
        band = ops.convert_to_tensor(band, dtype=x.dtype)
        if not in_blocks:
            return ops.matmul(x, band)
        # Each block and `margin` channels to both sides of it, times the band, as a convolution.
        y = ops.conv(x[:, :, None], band[:, None], 32, "same", data_format="channels_last")
        return ops.reshape(y, (-1, channels))

    def get_config(self):
        return {**super().get_config(), "groups": self.groups}
