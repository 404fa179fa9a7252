"""What the two response normalizations share."""

import math

import keras
from keras import ops

from alexnet_keras.common import check_choice, check_integer, check_number


def check_data_format(data_format: str | None) -> str:
    data_format = keras.config.image_data_format() if data_format is None else data_format
    return check_choice("data_format", data_format, ("channels_last", "channels_first"))


def channel_axis(data_format: str) -> int:
    return -1 if data_format == "channels_last" else 1


def check_channels(layer: keras.layers.Layer, input_shape: tuple) -> int:
    channels = input_shape[channel_axis(layer.data_format)]
    if channels is None:
        raise ValueError(
            f"The channel axis of the input to `{type(layer).__name__}` must be defined. "
            f"Received: input_shape={tuple(input_shape)} with data_format={layer.data_format!r}"
        )
    return channels


def inverse_power(x, beta: float, finite: bool = False):
    """``x ** -beta`` for positive ``x``; 0.75 is much cheaper by square roots than by `power`."""
    if beta == 0.75:
        # Not by `sqrt`: PyTorch 2.13's first one in a process may have half the digits in a thread.
        root = ops.rsqrt(x)
        # The first is a little nearer, but NaN for infinity, where the second is 0.
        return ops.rsqrt(root) / x if finite else root / ops.rsqrt(root)
    return ops.power(x, -beta)


class Normalization(keras.layers.Layer):
    """What the two response normalizations share: ``a / (k + alpha' * sum(a ** 2)) ** beta``."""

    def __init__(self, size, k, alpha, beta, divide_alpha_by_size, data_format, **kwargs):
        super().__init__(**kwargs)
        self.size = check_integer("size", size, minimum=1)
        # A map that is zero throughout the window would be divided by k ** beta.
        self.k = check_number("k", k, above=0)
        self.alpha = check_number("alpha", alpha, minimum=0)
        self.beta = check_number("beta", beta, minimum=0)
        self.divide_alpha_by_size = bool(divide_alpha_by_size)
        self.data_format = check_data_format(data_format)
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
        scale = inverse_power(divisor, self.beta)
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
