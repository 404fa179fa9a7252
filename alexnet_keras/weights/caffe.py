"""Caffe's weights without Caffe: a `.caffemodel`, and a pickle that cannot run anything."""

import functools
import math
import pickle
from pathlib import Path

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from alexnet_keras.weights.published import TORCHVISION_NAMES, PublishedNetwork

CAFFE_MEAN = (122.679, 116.669, 104.007)


def _caffe(variants, tensors, outputs_first) -> PublishedNetwork:
    return PublishedNetwork(
        variants=variants,
        tensors=tensors,
        names={name: (f"{name}[0]", f"{name}[1]") for name in TORCHVISION_NAMES},
        adapt_conv1=lambda kernel: kernel[:, :, ::-1],  # BGR to RGB
        outputs_first=outputs_first,
    )


def read_caffemodel(path: Path) -> PublishedNetwork:
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


def read_npy(path: Path) -> PublishedNetwork:
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
