import io
import pickle
import struct

import keras
import numpy as np
import pytest

from alexnet_keras import AlexNet, load_weights, preprocess_input
from alexnet_keras.variants import LAYERS

WIDTH, CLASSES = 0.1, 7
SMALL = {"width": WIDTH, "classes": CLASSES, "input_shape": (99, 99, 3)}  # 2 x 2 maps after pool5
LOGITS = {**SMALL, "classifier_activation": None}
TORCHVISION = [f"features.{i}" for i in (0, 3, 6, 8, 10)] + [f"classifier.{i}" for i in (1, 4, 6)]


def pictures(count, side, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype="uint8")


def logits(model, images, mean):
    pixels = keras.ops.convert_to_numpy(preprocess_input(images, mean))
    return model.predict_on_batch(pixels)


def assert_refused(path, message, variant, **arguments):
    """The file is refused with one sentence, and the network is left as it was."""
    model = AlexNet(variant=variant, **{**SMALL, **arguments})
    before = model.get_weights()
    with pytest.raises(ValueError, match=message) as error:
        load_weights(model, path, variant)
    assert "\n" not in str(error.value) and str(path) in str(error.value)
    for ours, theirs in zip(model.get_weights(), before):
        np.testing.assert_array_equal(ours, theirs)


# A network as Caffe has it: (maps, channels, height, width) of BGR, pool5 flattened in this order.


def caffe_blobs(side, width=WIDTH, classes=CLASSES, seed=0):
    """Kernels and biases whose activations are of the size that matters to the normalization."""
    rng = np.random.default_rng(seed)

    def even(n):
        return 2 * round(n * width / 2)

    maps = [3, *(even(n) for n in (96, 256, 384, 384, 256))]
    pooled = (((side - 11) // 4 + 1 - 1) // 2 - 1) // 2 // 2
    units = [maps[-1] * pooled**2, even(4096), even(4096), classes]
    shapes = [
        (after, before // groups, size, size)
        for before, after, size, groups in zip(maps, maps[1:], (11, 5, 3, 3, 3), (1, 2, 1, 2, 2))
    ] + [(after, before) for before, after in zip(units, units[1:])]
    return {
        name: [
            rng.normal(0, (2 / np.prod(shape[1:])) ** 0.5, shape).astype("float32"),
            rng.normal(0, 5, shape[0]).astype("float32"),
        ]
        for name, shape in zip(LAYERS, shapes)
    }


# Its file, byte by byte, by the field numbers of BVLC/caffe's src/caffe/proto/caffe.proto.


def varint(n):
    return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + varint(n >> 7)


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def caffe_file(blobs, pool_first=False, old=True, diff=False):
    order = ["conv1", "relu1", "norm1", "pool1", "conv2", "relu2", "norm2", "pool2", "conv3"]
    order += ["relu3", "conv4", "relu4", "conv5", "relu5", "pool5", "fc6", "relu6", "drop6"]
    order += ["fc7", "relu7", "drop7", "fc8"]
    if pool_first:
        for n in "12":
            i = order.index(f"norm{n}")
            order[i : i + 2] = order[i + 1], order[i]

    def blob(array):
        if old:  # num, channels, height, width
            sides = (1,) * (4 - array.ndim) + array.shape
            shape = b"".join(field(i, side) for i, side in enumerate(sides, start=1))
        else:
            shape = field(7, field(1, b"".join(map(varint, array.shape))))
        data = array.astype("<f4").tobytes()
        half = len(data) // 8 * 4  # packed numbers may come in several parts
        parts = [data] if old else [data[:half], data[half:]]
        return b"".join(field(5, part) for part in parts) + field(6, data) * diff + shape

    file = field(1, "CaffeNet" if pool_first else "AlexNet")
    for name in ["data", *order, *blobs.keys() - set(order)]:
        contents = [blob(array) for array in blobs.get(name, [])]
        if old:  # V1LayerParameter: bottom, top, name, type, blobs, blobs_lr
            layer = field(2, "below") + field(3, name) + field(4, name) + field(5, 4)
            layer += b"".join(field(6, content) for content in contents)
            layer += varint(7 << 3 | 5) + struct.pack("<f", 1)
        else:  # LayerParameter: name, type, bottom, top, blobs, phase, convolution_param
            layer = field(1, name) + field(2, "Convolution") + field(3, "below") + field(4, name)
            layer += b"".join(field(7, content) for content in contents)
            layer += field(10, 1) + field(106, field(1, 96))
        file += field(2 if old else 100, layer)
    return file


# Python 2's numpy wrote `bvlc_alexnet.npy`.


class Python2Pickler(pickle._Pickler):
    """Writes strings of bytes, and the names of numpy's modules, as Python 2 did."""

    dispatch = dict(pickle._Pickler.dispatch)

    def save_string(self, value):
        value = value.encode() if isinstance(value, str) else value
        self.write(b"T" + struct.pack("<i", len(value)) + value)

    def save_global(self, value, name=None):
        module = value.__module__.replace("numpy._core", "numpy.core")
        self.write(b"c" + f"{module}\n{name or value.__qualname__}\n".encode())

    dispatch[bytes] = dispatch[str] = save_string

    def save(self, value, save_persistent_id=True):
        if value is np.ndarray or value is np.dtype:
            return self.save_global(value)
        if isinstance(value, np.dtype):  # numpy 2 would pickle a class of its own for each type
            descr, state = value.str[1:], (3, value.str[0], None, None, None, -1, -1, 0)
            if value.hasobject:
                descr, state = "O8", (3, "|", None, None, None, -1, -1, 63)
            return self.save_reduce(np.dtype, (descr, 0, 1), state, obj=value)
        return super().save(value, save_persistent_id)


def npy_file(content, python2=True):
    """What `np.save` writes of a dictionary."""
    file = io.BytesIO()
    if python2:
        header = {"descr": "|O", "fortran_order": False, "shape": ()}
        np.lib.format.write_array_header_1_0(file, header)
        Python2Pickler(file, protocol=2).dump(np.array(content, dtype=object))
    else:
        np.save(file, content, allow_pickle=True)
    return file.getvalue()


def converted(blobs):
    """Caffe's blobs as caffe-tensorflow laid them out for `bvlc_alexnet.npy`."""
    new = {}
    for name, (kernel, bias) in blobs.items():
        if kernel.ndim == 4:
            kernel = kernel.transpose(2, 3, 1, 0)
        elif name == "fc6":
            spatial = kernel.reshape(len(kernel), len(blobs["conv5"][1]), 2, 2)
            kernel = spatial.transpose(2, 3, 1, 0).reshape(-1, len(kernel))
        else:
            kernel = kernel.T  # in Fortran's order
        new[name] = [kernel, bias]
    return new


# torchvision's network, in PyTorch as the paper "One weird trick" and torchvision have it.


def state_dict(side=99, seed=0):
    """Its weights, as numpy arrays."""
    rng = np.random.default_rng(seed)

    def even(n):
        return 2 * round(n * WIDTH / 2)

    maps = [3, *(even(n) for n in (64, 192, 384, 256, 256))]
    units = [36 * maps[-1], even(4096), even(4096), CLASSES]
    shapes = [(after, before, k, k) for before, after, k in zip(maps, maps[1:], (11, 5, 3, 3, 3))]
    shapes += [(after, before) for before, after in zip(units, units[1:])]
    tensors = {}
    for name, shape in zip(TORCHVISION, shapes):
        scale = (2 / np.prod(shape[1:])) ** 0.5
        tensors[f"{name}.weight"] = rng.normal(0, scale, shape).astype("float32")
        tensors[f"{name}.bias"] = rng.normal(0, 0.1, shape[0]).astype("float32")
    return tensors
