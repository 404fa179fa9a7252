"""Transfer: begin with the weights of a network that was trained on something else.

All layers but the last, fc8, are taken over; fc8 is new, for the new classes. The lower ones can be
frozen, and those that are not can learn at a smaller rate (Yosinski et al. 2014, "How transferable
are features in deep neural networks?").

The pictures lose the mean colour that the network's own pictures lost, not their own: a pixel then
comes in as the number that the features know it by. What colour noise is drawn still follows from
the new pictures.
"""

import keras
import numpy as np

from alexnet_keras.common import check_choice
from alexnet_keras.configuration import TrainingConfig
from alexnet_keras.training.run import read_config, read_statistics, run_folder
from alexnet_keras.variants import LAYERS, VARIANTS
from alexnet_keras.weights import PUBLISHED_MEANS, load_weights

CLASSIFIER = "fc8"
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
    >>> from alexnet_keras.training.transfer import freeze
    >>> model = AlexNet(input_shape=(67, 67, 3), width=0.05)
    >>> freeze(model, "fc6")
    >>> [variable.path for variable in model.trainable_variables]
    ['fc7/kernel', 'fc7/bias', 'fc8/kernel', 'fc8/bias']
    """
    check_choice("last", last, LAYERS[:-1])
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
    >>> from alexnet_keras.training.transfer import freeze, rate_factors
    >>> model = AlexNet(input_shape=(67, 67, 3), width=0.05)
    >>> freeze(model, "conv5")
    >>> rate_factors(model, 0.1)
    {'fc6': 0.1, 'fc7': 0.1}
    """
    return {
        la.name: factor for la in model.layers if la.trainable_weights and la.name != CLASSIFIER
    }


def take_over(model: keras.Model, config: TrainingConfig) -> dict[str, np.ndarray | None]:
    """Gives a network the weights of `config.from_weights`, all layers' but those of fc8.

    A `.keras` file in a run's folder is taken as that run's.

    Returns:
        What replaces the means of the `ColorStatistics`: those that the network knows. Nothing for
        a `.keras` file of no run, whose means are not known.

    Raises:
        ValueError: if the weights cannot be read, do not fit, or are those of a network that
            computes something else with them; the model is then unchanged.
    """
    path = run_folder(config.from_weights)
    folder = path if path.is_dir() else path.parent
    means = {}
    if path.is_dir() or (path.suffix == ".keras" and (folder / "config.json").is_file()):
        source = read_config(folder)[0]
        _require_same_network(config, source, folder)
        statistics = read_statistics(folder, source)
        means = {"mean": statistics.mean, "mean_image": statistics.mean_image}
    elif path.suffix not in (".keras", ".h5"):  # published
        if config.mean != "color":
            raise ValueError(
                "`mean` must be 'color' with published weights, which have no mean image. "
                f"Received: {config.mean!r} with {path}"
            )
        if config.variant in PUBLISHED_MEANS:  # else they do not fit
            means = {"mean": np.array(PUBLISHED_MEANS[config.variant], "float32")}
    file = path / "best.keras" if path.is_dir() else path
    load_weights(model, file, config.variant, skip=(CLASSIFIER,))
    return means


def _require_same_network(config, source, folder):
    """What the shapes of the weights do not tell."""
    names = ["variant", "activation", "normalization", "overlapping", "mean"]
    if config.mean == "image":
        names.append("image_size")  # that of the mean image
    for name in names:
        expected, received = (
            VARIANTS[c.variant].normalization
            if name == "normalization" and c.normalization is None
            else getattr(c, name)
            for c in (source, config)
        )
        if expected != received:
            raise ValueError(
                f"`{name}` must be that of the run whose weights are taken over, {expected!r}. "
                f"Received: {received!r} with {folder}"
            )
