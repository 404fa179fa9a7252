"""The 2012 code's second normalization, within each map."""

import keras
from keras import ops

from alexnet_keras.layers.normalization import Normalization


@keras.saving.register_keras_serializable("alexnet_keras")
class WithinMapNormalization(Normalization):
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
