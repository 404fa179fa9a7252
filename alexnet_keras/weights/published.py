"""How a published network stands in its file, and what its tensors are in Keras."""

import dataclasses
from collections.abc import Callable

import numpy as np

TORCHVISION_NAMES = {
    "conv1": "features.0",
    "conv2": "features.3",
    "conv3": "features.6",
    "conv4": "features.8",
    "conv5": "features.10",
    "fc6": "classifier.1",
    "fc7": "classifier.4",
    "fc8": "classifier.6",
}


@dataclasses.dataclass(frozen=True, eq=False)
class PublishedNetwork:
    """A published network, as it stands in its file.

    Attributes:
        variants: those that it may be.
        tensors: by their names in the file.
        names: of the kernel and the biases of each layer, conv1 to fc8.
        adapt_conv1: makes conv1's kernel, as in Keras, one for this package's pixels.
        outputs_first: whether kernels are (maps, channels, height, width) and (outputs, inputs),
            and fc6 sees pool5 channels first. Otherwise all is as in Keras.
    """

    variants: tuple[str, ...]
    tensors: dict[str, np.ndarray]
    names: dict[str, tuple[str, str]]
    adapt_conv1: Callable[[np.ndarray], np.ndarray]
    outputs_first: bool = True


def kernel_as_in_keras(kernel: np.ndarray) -> np.ndarray:
    """(maps, channels, height, width) to (height, width, channels, maps), or the transpose."""
    return kernel.transpose(2, 3, 1, 0) if kernel.ndim == 4 else kernel.T


def inputs_channels_last(kernel: np.ndarray, channels: int) -> np.ndarray:
    """Reorders the inputs of fc6, (inputs, outputs): positions, then channels within each."""
    by_channel = kernel.reshape(channels, -1, kernel.shape[1])
    return by_channel.swapaxes(0, 1).reshape(kernel.shape)
