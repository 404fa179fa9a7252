"""What each layer of a network costs: parameters, multiply-adds, activations."""

import dataclasses
import math

import keras


@dataclasses.dataclass(frozen=True)
class LayerCost:
    """One layer's output shape (without batch), parameters, multiply-adds and activations."""

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int

    @property
    def activation_bytes(self) -> int:
        """Bytes of one image's output in float32."""
        return 4 * math.prod(self.output_shape)


def layer_costs(model: keras.Model) -> list[LayerCost]:
    """Shape, parameters and multiply-adds of every layer, for one image.

    Multiply-adds are counted for convolutions and dense layers, one for each weight and position,
    as in the literature; biases, normalization and pooling are left out.

    Args:
        model: a built functional model whose layers are each used once.

    Returns:
        A `LayerCost` for every layer but the input, in the order of the graph.

    Example:

    >>> from alexnet_keras import AlexNet, layer_costs
    >>> sum(cost.multiply_adds for cost in layer_costs(AlexNet()))
    724406816
    """
    costs = []
    for layer in model.layers:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        shape = tuple(layer.output.shape[1:])
        multiply_adds = 0
        if isinstance(layer, keras.layers.Dense):
            multiply_adds = math.prod(layer.kernel.shape)
        elif isinstance(layer, keras.layers.Conv2D):
            positions = shape[:2] if layer.data_format == "channels_last" else shape[1:]
            multiply_adds = math.prod(layer.kernel.shape) * math.prod(positions)
        costs.append(
            LayerCost(layer.name, type(layer).__name__, shape, layer.count_params(), multiply_adds)
        )
    return costs
