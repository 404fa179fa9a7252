"""Weights in: torchvision's, Caffe's, and those that Keras saved.

A published file goes into the variant that it was trained as, and the network then computes the
published function of this package's pixels: RGB, 0 to 255, less the mean colour of
`PUBLISHED_MEANS`. Three things differ, and are settled in the kernels when they are read:

- torchvision divides its pixels by 255 and by a standard deviation: conv1's kernels are divided in
  their place. (The mean cannot go into conv1's biases: it is subtracted before the padding.)
- Caffe's pixels are BGR: conv1's kernels are turned round.
- Both flatten pool5 channels first, Keras flattens it channels last: fc6's inputs are reordered.
"""

import pickle
from collections.abc import Collection
from pathlib import Path

import keras
import numpy as np
import safetensors.numpy

from alexnet_keras.weights.caffe import CAFFE_MEAN, read_caffemodel, read_npy
from alexnet_keras.weights.published import (
    TORCHVISION_NAMES,
    PublishedNetwork,
    inputs_channels_last,
    kernel_as_in_keras,
)

PUBLISHED_MEANS = {
    "torchvision": (255 * 0.485, 255 * 0.456, 255 * 0.406),
    "caffe": CAFFE_MEAN,
    "caffenet": CAFFE_MEAN,
}
"""Mean colour to subtract for the published weights, RGB, 0 to 255, by variant.

torchvision's is exact. Caffe's is the mean over the positions of its `ilsvrc_2012_mean.npy`; its
models were trained with that mean image.
"""

_TORCHVISION_STD = np.array([0.229, 0.224, 0.225])

# What a misfit of these layers comes from, most of the time.
_SEE = {"fc6": " (its inputs follow from `input_shape`)", "fc8": " (see `classes`)"}


def load_weights(
    model: keras.Model, path: str | Path, variant: str, *, skip: Collection[str] = ()
) -> None:
    """Copies the weights of a file into a network, all of them or none.

    By the ending of the file's name, it is

    - `.pth`: torchvision's state dict, `alexnet-owt-7be5be79.pth`, read by PyTorch;
    - `.safetensors`: a copy of the same;
    - `.caffemodel`: Caffe's `bvlc_alexnet` or `bvlc_reference_caffenet`;
    - `.npy`: `bvlc_alexnet.npy`, Caffe's as converted for TensorFlow. This is a pickle; it is read
      by a reader that makes arrays and runs nothing;
    - `.keras` or `.weights.h5`: what Keras saved of a network of this package.

    Without fc6 to fc8 in the network, those of the file are left out. The published files have
    1,000 classes; they fit every input size that leaves 6 x 6 maps after pool5, and torchvision's
    any (it was trained with 224 pixels, Caffe's with 227).

    Args:
        model: an `AlexNet`.
        path: the file.
        variant: the model's variant; only the one that a published file was trained as computes
            what it was trained to, though others have layers of the same shapes.
        skip: names of layers that keep the weights they have, such as fc8 for other classes; the
            file's may be of any shape. (A `.weights.h5` file must fit all the same.)

    Raises:
        ValueError: if there is no such file, it cannot be read, a tensor is missing, unknown or of
            another shape, or it is of another variant. The model is then unchanged.
        ImportError: for a `.pth` file, if PyTorch is not installed.

    Example:

    >>> import tempfile
    >>> from alexnet_keras import AlexNet, load_weights
    >>> model, other = (AlexNet(input_shape=(67, 67, 3), width=0.05) for _ in range(2))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model.save_weights(f"{folder}/small.weights.h5")
    ...     load_weights(other, f"{folder}/small.weights.h5", variant="paper")
    >>> (other.get_weights()[0] == model.get_weights()[0]).all().item()
    True
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"`weights` must be the path of a file that exists. Received: {path}")
    layers = {la.name: la for la in model.layers if la.weights and la.name not in skip}
    if path.name.endswith((".keras", ".weights.h5")):
        new = _of_keras(model, layers, path)
    else:
        new = _of_published(_read(path), layers, variant, path)
    for name, layer in layers.items():
        layer.set_weights(new[name])


def _of_keras(model, layers, path) -> dict[str, list[np.ndarray]]:
    """The weights of each layer, from a file of Keras's, once they are known to fit."""
    try:
        if path.suffix == ".keras":
            source = keras.saving.load_model(path, compile=False)
        else:
            source = keras.models.clone_model(model)
            source.load_weights(path)
    except Exception as error:  # of many kinds
        raise ValueError(
            f"`weights` do not fit this model or cannot be read. Received: {path} ({error})"
        ) from None
    new = {layer.name: layer for layer in source.layers if layer.weights}
    for name, layer in layers.items():
        expected, received = (
            [tuple(w.shape) for w in found.weights] if found else None
            for found in (layer, new.get(name))
        )
        if expected != received:
            raise ValueError(
                f"`weights` do not fit layer {name}: expected shapes {expected}. "
                f"Received: {received} from {path}"
            )
    return {name: new[name].get_weights() for name in layers}


def _of_published(published, layers, variant, path) -> dict[str, list[np.ndarray]]:
    """The weights of each layer, from a published file, once they are known to fit."""
    for_variant = f"for variant {' or '.join(map(repr, published.variants))}"
    received_from = str(path) + ("" if variant in published.variants else f", {for_variant}")

    def tensor(layer, name, shape):
        """The tensor that is to become a weight of this shape, checked."""
        if published.outputs_first:
            shape = (*shape[:1:-1], *shape[:2]) if len(shape) == 4 else shape[::-1]
        found = published.tensors.get(name)
        while found is not None and found.ndim > len(shape) and len(found) == 1:
            found = found[0]  # Caffe's old blobs all have four axes
        received = "none" if found is None else found.shape
        if received != shape:
            raise ValueError(
                f"`weights` do not fit layer {layer}{_SEE.get(layer, '')}: "
                f"expected {name} of shape {shape}. Received: {received} from {received_from}"
            )
        if found.dtype.kind != "f":
            raise ValueError(
                f"`weights` must be floating-point numbers. Received: {name} of {found.dtype} from "
                f"{path}"
            )
        return found

    found = {}
    for layer in layers.values():
        names, shapes = published.names.get(layer.name, ()), [tuple(w.shape) for w in layer.weights]
        if len(names) != len(shapes):
            raise ValueError(
                f"`weights` do not fit layer {layer.name}: expected shapes {shapes}. "
                f"Received: none from {received_from}"
            )
        found[layer.name] = [tensor(layer.name, n, s) for n, s in zip(names, shapes)]
    known = {name for names in published.names.values() for name in names}
    extra = sorted(published.tensors.keys() - known)
    if extra:
        raise ValueError(
            f"`weights` must hold {', '.join(published.names)} and nothing else. "
            f"Received: {extra[0]} of shape {published.tensors[extra[0]].shape} in {received_from}"
        )
    if variant not in published.variants:
        raise ValueError(
            f"`weights` must be for variant {variant!r}, for another computes something else with "
            f"them. Received: {path}, {for_variant}"
        )
    if published.outputs_first:
        for layer, (kernel, biases) in found.items():
            found[layer] = [kernel_as_in_keras(kernel), biases]
        if "fc6" in found:
            found["fc6"][0] = inputs_channels_last(found["fc6"][0], channels=len(found["conv5"][1]))
    found["conv1"][0] = published.adapt_conv1(found["conv1"][0])
    return found


def _read(path: Path) -> PublishedNetwork:
    if path.suffix not in _READERS:
        raise ValueError(
            f"`weights` must end in {', '.join(_READERS)}, .keras or .weights.h5. Received: {path}"
        )
    kind, reader = _READERS[path.suffix]
    try:
        return reader(path)
    except ImportError:
        raise
    except Exception as error:  # of many kinds: it is cut off, or something else altogether
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"`weights` must be {kind}. Received: {path} ({reason})") from None


def _torchvision(tensors: dict[str, np.ndarray]) -> PublishedNetwork:
    return PublishedNetwork(
        variants=("torchvision",),
        tensors=tensors,
        names={n: (f"{k}.weight", f"{k}.bias") for n, k in TORCHVISION_NAMES.items()},
        # The pixels' 1 / (255 std), by input channel.
        adapt_conv1=lambda kernel: kernel / (255 * _TORCHVISION_STD[:, None]),
    )


def _read_pth(path: Path) -> PublishedNetwork:
    try:
        import torch
    except ImportError:
        raise ImportError(
            "PyTorch is needed to read a .pth file: `pip install torch`, or have it saved as "
            f".safetensors. Received: {path}"
        ) from None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:  # it would advise to trust the file
        raise ValueError("it is cut off, or asks for more than tensors") from None
    if not isinstance(state, dict) or not all(map(torch.is_tensor, state.values())):
        raise ValueError("it holds something else than tensors by their names")
    return _torchvision({name: tensor.detach().numpy() for name, tensor in state.items()})


def _read_safetensors(path: Path) -> PublishedNetwork:
    return _torchvision(safetensors.numpy.load_file(path))


_READERS = {
    ".pth": ("a state dict that PyTorch saved", _read_pth),
    ".safetensors": ("a file of safetensors", _read_safetensors),
    ".caffemodel": ("a network that Caffe saved", read_caffemodel),
    ".npy": ("a dictionary of arrays that numpy saved", read_npy),
}
