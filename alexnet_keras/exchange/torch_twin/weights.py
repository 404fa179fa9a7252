"""Weights between a Keras model and its twin, in both directions."""

import itertools

import keras
import numpy as np
import torch
from torch import nn

from alexnet_keras.layers import LocalResponseNormalization


def copy_to_torch(model: keras.Model, twin: nn.Module) -> None:
    """Copies a Keras model's weights into its twin.

    Args:
        model: from `AlexNet`, with its top.
        twin: from `torch_alexnet`, with the same arguments.

    Raises:
        ValueError: if the two are not the same network; nothing is changed then.

    Example:

    >>> import keras, torch
    >>> from alexnet_keras import AlexNet
    >>> from alexnet_keras.exchange.torch_twin import copy_to_torch, torch_alexnet
    >>> model = AlexNet(input_shape=(67, 67, 3), classes=10, width=0.1)
    >>> twin = torch_alexnet(image_size=67, classes=10, width=0.1).eval()
    >>> copy_to_torch(model, twin)
    >>> images = torch.rand(2, 67, 67, 3)
    >>> with torch.no_grad():
    ...     ours = twin(images.permute(0, 3, 1, 2)).softmax(1)
    >>> bool(abs(keras.ops.convert_to_numpy(model(images.numpy())) - ours.numpy()).max() < 1e-4)
    True
    """
    with torch.no_grad():
        for variable, tensor, shape in _pairs(model, twin):
            array = keras.ops.convert_to_numpy(variable)
            if shape is not None:
                array = array.reshape(shape).transpose(3, 2, 0, 1).reshape(tensor.shape)
            tensor.copy_(torch.from_numpy(np.array(array, "float32")))


def copy_to_keras(twin: nn.Module, model: keras.Model) -> None:
    """Copies a twin's weights into its Keras model.

    Args:
        twin: from `torch_alexnet`.
        model: from `AlexNet`, with its top and the same arguments.

    Raises:
        ValueError: if the two are not the same network; nothing is changed then.
    """
    for variable, tensor, shape in _pairs(model, twin):
        array = tensor.detach().cpu().float().numpy()
        if shape is not None:
            height, width, inputs, outputs = shape
            array = array.reshape(outputs, inputs, height, width).transpose(2, 3, 1, 0)
            array = array.reshape(variable.shape)
        variable.assign(array)


_TENSORS = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def _pairs(model, twin):
    """Each variable, its tensor, and for a kernel its shape `(height, width, in, out)`.

    A dense layer is a convolution as large as what it sees: fc6's kernel covers the maps of pool5,
    those of fc7 and fc8 a single position.
    """
    # `repeat5` stands before an averaging that PyTorch does without.
    others = (keras.layers.InputLayer, keras.layers.UpSampling2D)
    layers = [layer for layer in model.layers if not isinstance(layer, others)]
    expected = [_description(layer.name, layer) for layer in layers]
    received = [_description(name, module) for name, module in twin.named_children()]
    for ours, theirs in itertools.zip_longest(expected, received, fillvalue="nothing"):
        if ours != theirs:
            raise ValueError(
                f"The twin must have the layers of the Keras model. Received: {theirs} in the twin "
                f"for {ours} in the model"
            )
    tensors, pairs = twin.state_dict(), []
    for layer in layers:
        for variable in layer.weights:
            name = f"{layer.name}.{_TENSORS[variable.name]}"
            tensor, shape, fits = tensors[name], None, tuple(variable.shape)
            if variable.name == "kernel":
                shape = (1,) * (4 - len(fits)) + fits
                if layer.name == "fc6":
                    shape = (*_maps(model.get_layer("flatten")), fits[-1])
                height, width, inputs, outputs = shape
                fits = (outputs, inputs, height, width)
                if len(variable.shape) == 2:
                    fits = (outputs, inputs * height * width)
            if tuple(tensor.shape) != fits:
                raise ValueError(
                    f"{name} of the twin must have shape {fits}, for {layer.name}.{variable.name} "
                    f"of the Keras model with {tuple(variable.shape)}. "
                    f"Received: {tuple(tensor.shape)}"
                )
            pairs.append((variable, tensor, shape))
    return pairs


def _maps(flatten):
    """Height, width and number of the maps that are flattened."""
    first, second, third = flatten.input.shape[1:]
    last = flatten.data_format == "channels_last"
    return (first, second, third) if last else (second, third, first)


def _description(name, layer):
    """The layer's name, and for a response normalization its constants, PyTorch's alpha."""
    if isinstance(layer, LocalResponseNormalization):
        alpha = layer.alpha * (1 if layer.divide_alpha_by_size else layer.size)
    elif isinstance(layer, nn.LocalResponseNorm):
        alpha = layer.alpha
    else:
        return name
    return (
        f"{name} (size={layer.size}, k={layer.k:g}, alpha={alpha:g}, beta={layer.beta:g}, "
        f"groups={getattr(layer, 'groups', 1)})"
    )
