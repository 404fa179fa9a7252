"""Weights in: torchvision's, Caffe's, and those that Keras saved.

A published file goes into the variant that it was trained as, and the network then computes the
published function of this package's pixels: RGB, 0 to 255, less the mean colour of
`PUBLISHED_MEANS`. Three things differ, and are settled in the kernels when they are read:

- torchvision divides its pixels by 255 and by a standard deviation: conv1's kernels are divided in
  their place. (The mean cannot go into conv1's biases: it is subtracted before the padding.)
- Caffe's pixels are BGR: conv1's kernels are turned round.
- Both flatten pool5 channels first, Keras flattens it channels last: fc6's inputs are reordered.
"""

import dataclasses
import functools
import math
import pickle
from collections.abc import Callable, Collection
from pathlib import Path

import keras
import numpy as np
import safetensors.numpy
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_CAFFE_MEAN = (122.679, 116.669, 104.007)
PUBLISHED_MEANS = {
    "torchvision": (255 * 0.485, 255 * 0.456, 255 * 0.406),
    "caffe": _CAFFE_MEAN,
    "caffenet": _CAFFE_MEAN,
}
"""Mean colour to subtract for the published weights, RGB, 0 to 255, by variant.

torchvision's is exact. Caffe's is the mean over the positions of its `ilsvrc_2012_mean.npy`; its
models were trained with that mean image.
"""

_TORCHVISION_STD = np.array([0.229, 0.224, 0.225])

_TORCHVISION_NAMES = {
    "conv1": "features.0",
    "conv2": "features.3",
    "conv3": "features.6",
    "conv4": "features.8",
    "conv5": "features.10",
    "fc6": "classifier.1",
    "fc7": "classifier.4",
    "fc8": "classifier.6",
}

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


@dataclasses.dataclass(frozen=True)
class _Published:
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
            found[layer] = [_as_in_keras(kernel), biases]
        if "fc6" in found:
            found["fc6"][0] = _channels_last(found["fc6"][0], channels=len(found["conv5"][1]))
    found["conv1"][0] = published.adapt_conv1(found["conv1"][0])
    return found


def _as_in_keras(kernel: np.ndarray) -> np.ndarray:
    """(maps, channels, height, width) to (height, width, channels, maps), or the transpose."""
    return kernel.transpose(2, 3, 1, 0) if kernel.ndim == 4 else kernel.T


def _channels_last(kernel: np.ndarray, channels: int) -> np.ndarray:
    """Reorders the inputs of fc6, (inputs, outputs): positions, then channels within each."""
    by_channel = kernel.reshape(channels, -1, kernel.shape[1])
    return by_channel.swapaxes(0, 1).reshape(kernel.shape)


def _read(path: Path) -> _Published:
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


def _torchvision(tensors: dict[str, np.ndarray]) -> _Published:
    return _Published(
        variants=("torchvision",),
        tensors=tensors,
        names={n: (f"{k}.weight", f"{k}.bias") for n, k in _TORCHVISION_NAMES.items()},
        # The pixels' 1 / (255 std), by input channel.
        adapt_conv1=lambda kernel: kernel / (255 * _TORCHVISION_STD[:, None]),
    )


def _read_pth(path: Path) -> _Published:
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


def _read_safetensors(path: Path) -> _Published:
    return _torchvision(safetensors.numpy.load_file(path))


def _caffe(variants, tensors, outputs_first) -> _Published:
    return _Published(
        variants=variants,
        tensors=tensors,
        names={name: (f"{name}[0]", f"{name}[1]") for name in _TORCHVISION_NAMES},
        adapt_conv1=lambda kernel: kernel[:, :, ::-1],  # BGR to RGB
        outputs_first=outputs_first,
    )


def _read_caffemodel(path: Path) -> _Published:
    """A NetParameter; `layer[0]` and `layer[1]` are the kernels and biases of a layer."""
    net = _net_parameter()()
    net.ParseFromString(path.read_bytes())
    tensors, order = {}, []
    for layer in [*net.layers, *net.layer]:
        order.append(layer.name)
        for i, blob in enumerate(layer.blobs):
            shape = tuple(blob.shape.dim) or (blob.num, blob.channels, blob.height, blob.width)
            numbers = np.frombuffer(b"".join(blob.data), "<f4")
            if numbers.size != math.prod(shape):
                raise ValueError(f"{layer.name}[{i}] of shape {shape} has {numbers.size} numbers")
            tensors[f"{layer.name}[{i}]"] = numbers.reshape(shape)
    # The two networks have layers of the same shapes; what tells them apart is their order.
    variants = ("caffe", "caffenet")
    if "norm1" in order and "pool1" in order:
        variants = variants[:1] if order.index("norm1") < order.index("pool1") else variants[1:]
    return _caffe(variants, tensors, outputs_first=True)


@functools.cache
def _net_parameter() -> type:
    """The message NetParameter of Caffe's `caffe.proto`: of its fields, those that weights need.

    `layers` of the older files and `layer` of the newer ones differ in their fields' numbers.
    `BlobProto.data` is declared there as packed floats. On the wire these are bytes; declared as
    bytes they are not made Python floats one by one, which takes ten seconds before protobuf 7.
    """
    field = descriptor_pb2.FieldDescriptorProto
    messages = {
        "BlobShape": [("dim", 1, field.TYPE_INT64)],
        "BlobProto": [
            ("num", 1, field.TYPE_INT64),
            ("channels", 2, field.TYPE_INT64),
            ("height", 3, field.TYPE_INT64),
            ("width", 4, field.TYPE_INT64),
            ("data", 5, field.TYPE_BYTES),
            ("shape", 7, "BlobShape"),
        ],
        "V1LayerParameter": [("name", 4, field.TYPE_STRING), ("blobs", 6, "BlobProto")],
        "LayerParameter": [("name", 1, field.TYPE_STRING), ("blobs", 7, "BlobProto")],
        "NetParameter": [("layers", 2, "V1LayerParameter"), ("layer", 100, "LayerParameter")],
    }
    file = descriptor_pb2.FileDescriptorProto(name="caffe.proto", package="caffe", syntax="proto2")
    for message, fields in messages.items():
        descriptor = file.message_type.add(name=message)
        for name, number, kind in fields:
            several = name in ("dim", "data", "blobs", "layers", "layer")
            label = field.LABEL_REPEATED if several else field.LABEL_OPTIONAL
            added = descriptor.field.add(name=name, number=number, label=label)
            if isinstance(kind, str):
                added.type, added.type_name = field.TYPE_MESSAGE, f".caffe.{kind}"
            else:
                added.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("caffe.NetParameter"))


def _read_npy(path: Path) -> _Published:
    """A dictionary from layers to kernels and biases, that the converter caffe-tensorflow made.

    It turned Caffe's kernels into (height, width, channels, maps), fc6's inputs channels last, and
    left conv1 to see BGR. That the file is of AlexNet, not of CaffeNet, is known by its name only.
    """
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        old, new = np.lib.format.read_array_header_1_0, np.lib.format.read_array_header_2_0
        shape, _, dtype = (old if version == (1, 0) else new)(file)
        if shape != () or not dtype.hasobject:
            raise ValueError(f"it holds an array of {dtype} and shape {shape}")
        # Python 2's strings, the arrays' content among them, stay bytes.
        [layers] = _ArraysOnly(file, encoding="bytes").load().content
    tensors = {}
    for layer, pair in layers.items():
        if isinstance(pair, dict):
            pair = {_text(key): array for key, array in pair.items()}
            pair = [pair["weights"], pair["biases"]]
        for i, array in enumerate(pair):
            tensors[f"{_text(layer)}[{i}]"] = array.as_numpy()
    return _caffe(("caffe",), tensors, outputs_first=False)


def _text(value: str | bytes) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else value


class _PickledDtype:
    """In place of a `numpy.dtype`: what was pickled of it."""

    def __init__(self, code):
        self.code, self.byte_order = _text(code), "|"

    def __setstate__(self, state):
        self.byte_order = _text(state[1])


class _PickledArray:
    """In place of a `numpy.ndarray`: what was pickled of it."""

    def __setstate__(self, state):
        _, self.shape, self.dtype, self.fortran, self.content = state

    def as_numpy(self) -> np.ndarray:
        if self.dtype.code not in ("f2", "f4", "f8"):
            raise ValueError(f"an array must be of floating-point numbers, not {self.dtype.code}")
        array = np.frombuffer(self.content, self.dtype.byte_order + self.dtype.code)
        return array.reshape(self.shape, order="F" if self.fortran else "C")


class _ArraysOnly(pickle.Unpickler):
    """Reads lists, dictionaries, strings, numbers and numpy arrays.

    A pickle may name any function of any module, to be called with what it likes. Here the four
    names that pickled arrays need stand for the classes above, and every other is refused. numpy's
    own are not called: with a made-up dtype they take bytes for pointers.
    """

    def find_class(self, module, name):
        # Functions made anew each time, for a pickle may also set attributes of what it gets.
        stand_ins = {
            "numpy.core.multiarray._reconstruct": lambda *_: _PickledArray(),
            "numpy._core.multiarray._reconstruct": lambda *_: _PickledArray(),
            "numpy.ndarray": None,  # an argument of the one above, never called
            "numpy.dtype": lambda code, *_: _PickledDtype(code),
            "_codecs.encode": lambda text, _: text.encode("latin1"),  # bytes, by protocol 2
        }
        if f"{module}.{name}" not in stand_ins:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is no array")
        return stand_ins[f"{module}.{name}"]


_READERS = {
    ".pth": ("a state dict that PyTorch saved", _read_pth),
    ".safetensors": ("a file of safetensors", _read_safetensors),
    ".caffemodel": ("a network that Caffe saved", _read_caffemodel),
    ".npy": ("a dictionary of arrays that numpy saved", _read_npy),
}
