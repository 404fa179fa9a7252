"""The paper's optimizer, whose weight decay Keras does not have."""

from typing import Any

import keras

from alexnet_keras.common import check_number


@keras.saving.register_keras_serializable("alexnet_keras")
class MomentumSGD(keras.optimizers.SGD):
    """Stochastic gradient descent with momentum and the paper's weight decay.

    ```
    v <- momentum * v - decay * learning_rate * w - learning_rate * gradient
    w <- w + v
    ```

    (section 5), with the decay on kernels only. It enters the momentum, as an L2 regularizer of
    half its size does, but stays out of the loss that is reported.
    `keras.optimizers.SGD(weight_decay=...)` is another update: it shrinks the weights beside the
    momentum.

    Args:
        learning_rate: number or schedule.
        momentum: at least 0 and less than 1.
        coupled_weight_decay: at least 0.
        rate_factors: factors of the learning rate by the name of a layer, at least 0; 1 for those
            that are not named. The decay of the formula's `learning_rate * w` is multiplied too.
        **kwargs: as for `keras.optimizers.SGD`.

    Example:

    >>> import keras
    >>> from alexnet_keras import MomentumSGD
    >>> w = keras.Variable([[1.0]], name="kernel")
    >>> MomentumSGD(0.1, 0.9, 0.5).apply([keras.ops.convert_to_tensor([[2.0]])], [w])
    >>> round(float(w.value[0, 0]), 4)  # 1 - 0.1 * (2 + 0.5 * 1)
    0.75
    """

    def __init__(
        self,
        learning_rate: Any = 0.01,
        momentum: float = 0.9,
        coupled_weight_decay: float = 0.0005,
        rate_factors: dict[str, float] | None = None,
        name: str = "MomentumSGD",
        **kwargs,
    ):
        super().__init__(learning_rate, momentum, name=name, **kwargs)
        self.coupled_weight_decay = check_number(
            "coupled_weight_decay", coupled_weight_decay, minimum=0
        )
        self.rate_factors = {
            layer: check_number(f"rate_factors[{layer!r}]", factor, minimum=0)
            for layer, factor in (rate_factors or {}).items()
        }

    def build(self, variables):
        super().build(variables)
        # The path of a variable ends in its layer's name and its own, as in conv1/kernel.
        layers = [f"/{variable.path}".split("/")[-2] for variable in variables]
        self._factors = tuple(self.rate_factors.get(layer, 1.0) for layer in layers)

    def update_step(self, gradient, variable, learning_rate):
        # Kernels have two axes or more; biases and the scales of batch normalization one.
        if len(variable.shape) > 1:
            decay = keras.ops.cast(self.coupled_weight_decay, variable.dtype)
            gradient = keras.ops.cast(gradient, variable.dtype) + decay * variable
        # By index: what replicas update are their own copies, which have no path.
        factor = self._factors[self._get_variable_index(variable)]
        super().update_step(gradient, variable, learning_rate * factor)

    def get_config(self):
        return {
            **super().get_config(),
            "coupled_weight_decay": self.coupled_weight_decay,
            "rate_factors": dict(self.rate_factors),
        }
