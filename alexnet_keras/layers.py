"""The layers of AlexNet that Keras lacks.

All are written in ``keras.ops`` and run on the TensorFlow, JAX and PyTorch backends.
"""

import contextlib
import contextvars
import math

import keras
import numpy as np
from keras import ops

from alexnet_keras.common import check_choice, check_integer, check_number

_PACKAGE = "alexnet_keras"

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


def _check_data_format(data_format: str | None) -> str:
    data_format = keras.config.image_data_format() if data_format is None else data_format
    return check_choice("data_format", data_format, ("channels_last", "channels_first"))


def _channel_axis(data_format: str) -> int:
    return -1 if data_format == "channels_last" else 1


def _check_channels(layer: keras.layers.Layer, input_shape: tuple) -> int:
    channels = input_shape[_channel_axis(layer.data_format)]
    if channels is None:
        raise ValueError(
            f"The channel axis of the input to `{type(layer).__name__}` must be defined. "
            f"Received: input_shape={tuple(input_shape)} with data_format={layer.data_format!r}"
        )
    return channels


def _inverse_power(x, beta: float, finite: bool = False):
    """``x ** -beta`` for positive ``x``; 0.75 is much cheaper by square roots than by `power`."""
    if beta == 0.75:
        # Not by `sqrt`: PyTorch 2.13's first one in a process may have half the digits in a thread.
        root = ops.rsqrt(x)
        # The first is a little nearer, but NaN for infinity, where the second is 0.
        return ops.rsqrt(root) / x if finite else root / ops.rsqrt(root)
    return ops.power(x, -beta)


def _product_is_faster(x) -> bool:
    """Than a sum of slices, which XLA and kernels of a GPU make cheap.

    A GPU may also round products to TensorFloat-32, of 3 digits.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return not tf.config.list_logical_devices("GPU")
    return keras.backend.backend() == "torch" and x.device.type == "cpu"


class _Normalization(keras.layers.Layer):
    """What the two response normalizations share: ``a / (k + alpha' * sum(a ** 2)) ** beta``."""

    def __init__(self, size, k, alpha, beta, divide_alpha_by_size, data_format, **kwargs):
        super().__init__(**kwargs)
        self.size = check_integer("size", size, minimum=1)
        # A map that is zero throughout the window would be divided by k ** beta.
        self.k = check_number("k", k, above=0)
        self.alpha = check_number("alpha", alpha, minimum=0)
        self.beta = check_number("beta", beta, minimum=0)
        self.divide_alpha_by_size = bool(divide_alpha_by_size)
        self.data_format = _check_data_format(data_format)
        self.supports_masking = True

    def _full_precision(self, inputs):
        # Squares of activations above 255 overflow float16, and bfloat16 keeps 8 bits of them:
        # the arithmetic is done in float32 (or float64 where the input is).
        return inputs if self.compute_dtype == "float64" else ops.cast(inputs, "float32")

    def _alpha(self, window_elements):
        return self.alpha / window_elements if self.divide_alpha_by_size else self.alpha

    def _shrink(self, alpha):
        """A power of two, by which activations may be multiplied before they are squared.

        Squares of 1e30 then stay in float32, and those that get lost below its range are less than
        2 ** -30 of what `k` is.
        """
        if self.compute_dtype == "float64":
            return 1.0
        k = math.log2(self.k)
        lost = 48 + (k - max(0, math.log2(alpha))) / 2
        largest_scale = (50 + k / 2) / self.beta
        return 2.0 ** -max(0, int(min(lost, largest_scale)))

    def _normalize(self, x, alpha, window_sum):
        """The formula for whatever `x` holds, and a function for its gradient.

        `window_sum(x, mirrored)` is the sum over each element's window, or over the elements in
        whose windows it lies; it must not touch any other, lest that be a NaN.
        """
        shrink, factor = self._shrink(alpha), -2 * alpha * self.beta
        sums = window_sum(ops.square(shrink * x), False)
        divisor = shrink**2 * self.k + alpha * sums
        scale = _inverse_power(divisor, self.beta)
        # Powers of `shrink` are spread so that no factor leaves the range of float32.
        restore = shrink ** (2 * self.beta)
        y = x * scale * restore

        def gradient(g):
            share = g * y * shrink**0.5 / divisor
            return g * (scale * restore) + factor * (x * shrink**1.5) * window_sum(share, True)

        return y, gradient

    def _differentiable(self, x, alpha, window_sum):
        # The gradient by hand passes over the activations half as often as the automatic one.
        @ops.custom_gradient
        def normalized(x):
            y, gradient = self._normalize(x, alpha, window_sum)
            return y, lambda *args, upstream=None: gradient(
                args[0] if upstream is None else upstream
            )

        return normalized(x)

    def _reach(self, mirrored):
        reach = self.size // 2, (self.size - 1) // 2
        return reach[::-1] if mirrored else reach

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "size": self.size,
            "k": self.k,
            "alpha": self.alpha,
            "beta": self.beta,
            "divide_alpha_by_size": self.divide_alpha_by_size,
            "data_format": self.data_format,
        }


@keras.saving.register_keras_serializable(_PACKAGE)
class LocalResponseNormalization(_Normalization):
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
        channels = _check_channels(self, input_shape)
        if channels % self.groups:
            raise ValueError(
                "`groups` must divide the number of channels. "
                f"Received: groups={self.groups} and {channels} channels"
            )

    def call(self, inputs):
        channels = _check_channels(self, inputs.shape)
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
            return x * _inverse_power(divisor, self.beta, finite=True)

        # A product carries a NaN or an infinity, times zero, out of its window too: what is unusual
        # is done again by slices.
        @ops.custom_gradient
        def normalized(x):
            divisor = self.k + self._product_with_band(ops.square(x), alpha)
            scale = _inverse_power(divisor, self.beta, finite=True)
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


@keras.saving.register_keras_serializable(_PACKAGE)
class WithinMapNormalization(_Normalization):
    """Divides each activation by the activity around it in its own feature map.

    ```
    b = a / (k + alpha' * sum(a ** 2)) ** beta,   over a size x size window of the same map
    ```

    with ``alpha' = alpha / size ** 2`` if `divide_alpha_by_size`, else `alpha`. Outside of the map
    counts as zero; for an even `size` the window reaches one further up and left.

    Source: `rnorm` layers of type "rnorm" in the 2012 code (`layers/layers-145.cfg`), after the
    response normalization of conv2. The paper does not mention it.

    Args:
        size: integer of at least 1, the side of the window in pixels.
        k: positive number, added to the sum.
        alpha: number of at least 0, the factor of the sum.
        beta: number of at least 0, the exponent.
        divide_alpha_by_size: whether `alpha` is divided by the window's `size ** 2` elements.
        data_format: `"channels_last"`, `"channels_first"` or `None` (Keras's setting).

    Input and output shape: `(batch, height, width, channels)`, or `(batch, channels, height,
    width)` with `"channels_first"`.

    Raises:
        ValueError: for an argument outside the ranges above.

    Example:

    >>> import numpy as np
    >>> from alexnet_keras import WithinMapNormalization
    >>> x = np.ones((1, 3, 3, 1), "float32")
    >>> y = WithinMapNormalization(size=3, k=1.0, alpha=9.0, beta=1.0)(x)
    >>> np.asarray(y)[0, :, :, 0].round(4).tolist()  # 4, 6 or 9 neighbours
    [[0.2, 0.1429, 0.2], [0.1429, 0.1, 0.1429], [0.2, 0.1429, 0.2]]
    """

    def __init__(
        self,
        size: int = 5,
        k: float = 1.0,
        alpha: float = 1e-3,
        beta: float = 0.75,
        divide_alpha_by_size: bool = True,
        data_format: str | None = None,
        **kwargs,
    ):
        super().__init__(size, k, alpha, beta, divide_alpha_by_size, data_format, **kwargs)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def call(self, inputs):
        x, alpha = self._full_precision(inputs), self._alpha(self.size**2)
        if alpha and self.beta:
            y = self._differentiable(x, alpha, self._pooled)
        else:
            y = x * self.k**-self.beta
        return ops.cast(y, self.compute_dtype)

    def _pooled(self, x, mirrored):
        first = self.data_format == "channels_first"
        if first:  # TensorFlow pools channels_last only on a CPU
            x = ops.moveaxis(x, 1, -1)
        # "same" pooling divides by the elements inside the map; padding by hand keeps the sum.
        reach = self._reach(mirrored)
        padded = ops.pad(x, [(0, 0), reach, reach, (0, 0)])
        total = ops.average_pool(padded, self.size, 1, "valid", "channels_last") * self.size**2
        return ops.moveaxis(total, -1, 1) if first else total


@keras.saving.register_keras_serializable(_PACKAGE)
class GroupedConv2D(keras.layers.Conv2D):
    """A `keras.layers.Conv2D` whose groups are computed as separate convolutions.

    The function, the arguments and the weights are those of `keras.layers.Conv2D`; only the way to
    compute `groups > 1` differs. On a CPU, TensorFlow's gradient of a grouped convolution is about
    ten times slower than that of as many separate ones. With `groups=2` it is also the paper's
    picture (section 3.5): each column has its own kernels and sees its own half of the maps.

    Input and output shape: as `keras.layers.Conv2D`.

    Example:

    >>> import numpy as np
    >>> from alexnet_keras import GroupedConv2D
    >>> conv2 = GroupedConv2D(256, 5, padding="same", groups=2)
    >>> conv2(np.zeros((1, 27, 27, 96), "float32")).shape[-1], tuple(conv2.kernel.shape)
    (256, (5, 5, 48, 256))
    """

    def call(self, inputs):
        if self.groups == 1:
            return super().call(inputs)
        axis = _channel_axis(self.data_format)
        outputs = [
            ops.conv(
                maps,
                kernel,
                strides=list(self.strides),
                padding=self.padding,
                data_format=self.data_format,
                dilation_rate=self.dilation_rate,
            )
            for maps, kernel in zip(
                ops.split(inputs, self.groups, axis=axis),
                ops.split(self.kernel, self.groups, axis=-1),
            )
        ]
        x = ops.concatenate(outputs, axis=axis)
        if self.use_bias:
            shape = (-1, 1, 1) if axis == 1 else (-1,)
            x = x + ops.reshape(self.bias, shape)
        return x if self.activation is None else self.activation(x)
