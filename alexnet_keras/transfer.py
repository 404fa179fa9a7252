"""Transfer: begin with the weights of a network that was trained on something else.

All layers but the last, fc8, are taken over; fc8 is new, for the new classes. The lower ones can be
frozen, and those that are not can learn at a smaller rate (Yosinski et al. 2014, "How transferable
are features in deep neural networks?").

The pictures lose the mean colour that the network's own pictures lost, not their own: a pixel then
comes in as the number that the features know it by. What colour noise is drawn still follows from
the new pictures.
"""

import keras

from alexnet_keras.configuration import FREEZABLE

NEW = "fc8"
"""The layer that is not taken over."""


def freeze(model: keras.Model, last: str) -> None:
    """Keeps the weights of a network as they are, up to a layer, that one included.

    Batch normalization among them goes by its averages in training too, and leaves them as they
    are. Dropout goes on. To be called before the model is compiled.

    Args:
        model: an `AlexNet`.
        last: one of conv1 to conv5, fc6 and fc7.

    Raises:
        ValueError: for another layer; the model is unchanged.

    Example:

    >>> from alexnet_keras import AlexNet
    >>> from alexnet_keras.transfer import freeze
    >>> model = AlexNet(input_shape=(67, 67, 3), width=0.05)
    >>> freeze(model, "fc6")
    >>> [variable.path for variable in model.trainable_variables]
    ['fc7/kernel', 'fc7/bias', 'fc8/kernel', 'fc8/bias']
    """
    if last not in FREEZABLE:
        raise ValueError(f"`last` must be one of {FREEZABLE}. Received: {last!r}")
    for layer in model.layers:  # in the order of the network
        layer.trainable = False
        if layer.name == last:
            return


def rate_factors(model: keras.Model, factor: float) -> dict[str, float]:
    """`MomentumSGD(rate_factors=...)` for a network whose layers but fc8 were taken over.

    Args:
        model: an `AlexNet`.
        factor: of the learning rate of those layers.

    Returns:
        The factor by the name of each layer that learns, but fc8.

    Example:

    >>> from alexnet_keras import AlexNet
    >>> from alexnet_keras.transfer import freeze, rate_factors
    >>> model = AlexNet(input_shape=(67, 67, 3), width=0.05)
    >>> freeze(model, "conv5")
    >>> rate_factors(model, 0.1)
    {'fc6': 0.1, 'fc7': 0.1}
    """
    return {la.name: factor for la in model.layers if la.trainable_weights and la.name != NEW}
