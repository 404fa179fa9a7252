import contextlib
import dataclasses
import importlib.util
import io
import os
import pickle
import struct
import sys

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from alexnet_keras import PUBLISHED_MEANS, AlexNet, load_weights, open_dataset, preprocess_input
from alexnet_keras.pictures import IMAGENET_STATISTICS, evaluation_batches
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


def caffe_forward(blobs, x, pool_first):
    """Caffe's AlexNet (CaffeNet, if it pools first) in float64: BGR less its mean to logits."""

    def conv(x, name, stride=1, pad=0, groups=1):
        kernel, bias = (array.astype("float64") for array in blobs[name])
        x = np.pad(x, [(0, 0), (0, 0), (pad, pad), (pad, pad)])
        windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[2:], axis=(2, 3))
        windows = windows[:, :, ::stride, ::stride]
        parts = [
            np.einsum("nchwij,ocij->nohw", part, some, optimize=True)
            for part, some in zip(np.split(windows, groups, axis=1), np.split(kernel, groups))
        ]
        return np.concatenate(parts, axis=1) + bias[:, None, None]

    def norm(x):
        n, alpha, beta, k = 5, 1e-4, 0.75, 1
        total = np.zeros_like(x)
        for i in range(x.shape[1]):
            total[:, i] = (x[:, max(0, i - n // 2) : i + n // 2 + 1] ** 2).sum(axis=1)
        return x / (k + alpha / n * total) ** beta

    def pool(x):
        size = -(-(x.shape[2] - 3) // 2) + 1  # rounded up
        rows = [slice(2 * i, 2 * i + 3) for i in range(size)]
        return np.stack([[x[:, :, r, c].max(axis=(2, 3)) for c in rows] for r in rows]).transpose(
            2, 3, 0, 1
        )

    def fc(x, name):
        kernel, bias = (array.astype("float64") for array in blobs[name])
        return x @ kernel.T + bias

    def relu(x):
        return np.maximum(x, 0)

    block = (lambda x: norm(pool(x))) if pool_first else (lambda x: pool(norm(x)))
    x = block(relu(conv(x, "conv1", stride=4)))
    x = block(relu(conv(x, "conv2", pad=2, groups=2)))
    x = relu(conv(x, "conv3", pad=1))
    x = relu(conv(x, "conv4", pad=1, groups=2))
    x = pool(relu(conv(x, "conv5", pad=1, groups=2)))
    x = relu(fc(x.reshape(len(x), -1), "fc6"))
    return fc(relu(fc(x, "fc7")), "fc8")


def caffe_logits(blobs, images, pool_first=False):
    bgr = images[..., ::-1] - np.array([104.007, 116.669, 122.679])  # of ilsvrc_2012_mean.npy
    return caffe_forward(blobs, bgr.transpose(0, 3, 1, 2), pool_first)


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


@pytest.mark.parametrize("old", [True, False])
@pytest.mark.parametrize("variant", ["caffe", "caffenet"])
def test_caffe_computes_the_same(variant, old, tmp_path):
    pool_first = variant == "caffenet"
    blobs, images = caffe_blobs(99), pictures(4, 99)
    path = tmp_path / "bvlc.caffemodel"
    path.write_bytes(caffe_file(blobs, pool_first, old, diff=old))
    model = AlexNet(variant=variant, weights=path, **LOGITS)
    ours = logits(model, images, PUBLISHED_MEANS[variant])
    theirs = caffe_logits(blobs, images, pool_first)
    assert theirs.std() > 1
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * theirs.std(), rtol=1e-4)
    # The order of pooling and normalization matters to these numbers, and so do the pixels'.
    assert np.abs(caffe_logits(blobs, images, not pool_first) - theirs).max() > 0.1
    assert np.abs(caffe_logits(blobs, images[..., ::-1], pool_first) - theirs).max() > 0.1


def test_caffe_at_its_own_size(tmp_path):
    blobs, images = caffe_blobs(227, width=0.03), pictures(2, 227)
    assert blobs["fc6"][0].shape[1] == 8 * 6 * 6
    path = tmp_path / "bvlc_alexnet.caffemodel"
    path.write_bytes(caffe_file(blobs))
    arguments = {**LOGITS, "width": 0.03, "input_shape": None}
    model = AlexNet(variant="caffe", weights=path, **arguments)
    ours = logits(model, images, PUBLISHED_MEANS["caffe"])
    theirs = caffe_logits(blobs, images)
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * theirs.std(), rtol=1e-4)


def test_caffe_networks_are_told_apart(tmp_path):
    blobs = caffe_blobs(99)
    path = tmp_path / "bvlc.caffemodel"
    for pool_first, its_own, other in ((False, "caffe", "caffenet"), (True, "caffenet", "caffe")):
        path.write_bytes(caffe_file(blobs, pool_first))
        AlexNet(variant=its_own, weights=path, **SMALL)
        for variant in (other, "paper", "2012"):  # whose layers have the same shapes
            message = f"must be for variant '{variant}'.* for variant '{its_own}'"
            assert_refused(path, message, variant)


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


def as_bytes(content):
    return {name.encode(): pair for name, pair in content.items()}


def as_dictionaries(content):
    return {n: {"weights": kernel, "biases": bias} for n, (kernel, bias) in content.items()}


@pytest.mark.parametrize("python2", [True, False])
@pytest.mark.parametrize("form", [dict, as_bytes, as_dictionaries])
def test_npy_computes_the_same(form, python2, tmp_path):
    blobs, images = caffe_blobs(99), pictures(4, 99)
    path = tmp_path / "bvlc_alexnet.npy"
    path.write_bytes(npy_file(form(converted(blobs)), python2))
    numpys_own = np.load(path, allow_pickle=True, encoding="latin1").item()  # it is such a file
    assert {n if isinstance(n, str) else n.decode() for n in numpys_own} == set(LAYERS)
    model = AlexNet(variant="caffe", weights=path, **LOGITS)
    ours = logits(model, images, PUBLISHED_MEANS["caffe"])
    theirs = caffe_logits(blobs, images)
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * theirs.std(), rtol=1e-4)
    assert_refused(path, "must be for variant 'caffenet'.* for variant 'caffe'$", "caffenet")


# Hostile pickles, by their opcodes.


def text(value):
    return b"X" + struct.pack("<I", len(str(value))) + str(value).encode()


def named(module, name):
    return f"c{module}\n{name}\n".encode()


def named_on_stack(module, name):  # protocol 4 follows the dots in a name
    return text(module) + text(name) + b"\x93"


def run(function, *arguments):
    return function + b"(" + b"".join(arguments) + b"tR"


GETATTR, IMPORT = named("builtins", "getattr"), named("builtins", "__import__")
HOSTILE = {
    "system": lambda mark: run(named("os", "system"), text(f"touch {mark}")),
    "posix": lambda mark: run(named("posix", "system"), text(f"touch {mark}")),
    "eval": lambda mark: run(named("builtins", "eval"), text(f"open({str(mark)!r}, 'w')")),
    "exec": lambda mark: run(named("builtins", "exec"), text(f"open({str(mark)!r}, 'w')")),
    "open": lambda mark: run(named("io", "open"), text(mark), text("w")),
    "getattr": lambda mark: run(
        run(GETATTR, run(IMPORT, text("os")), text("system")), text(f"touch {mark}")
    ),
    "dots": lambda mark: run(named_on_stack("os", "path.os.system"), text(f"touch {mark}")),
    "method of an array": lambda mark: run(
        named_on_stack("numpy", "ndarray.tofile"),
        run(named("numpy", "array"), b"K\x01"),
        text(mark),
    ),
    "instance": lambda mark: b"(" + text(f"touch {mark}") + b"ios\nsystem\n",
    "object": lambda mark: b"(" + named("os", "system") + text(f"touch {mark}") + b"o",
    "process": lambda mark: run(
        named("subprocess", "check_call"), b"(" + text("touch") + text(mark) + b"l"
    ),
    "numpy.save": lambda mark: run(named("numpy", "save"), text(f"{mark}"), b"K\x01"),
    "numpy.memmap": lambda mark: run(
        named("numpy", "memmap"), text(mark), text("u1"), text("w+"), b"K\x00", b"K\x04"
    ),
    "codecs": lambda mark: run(named("codecs", "open"), text(mark), text("w")),
}


def npy_of(pickled):
    file = io.BytesIO()
    header = {"descr": "|O", "fortran_order": False, "shape": ()}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + pickled


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_pickles_run_nothing(kind, tmp_path):
    mark = tmp_path / "mark"
    pickled = b"\x80\x04" + HOSTILE[kind](mark) + b"."
    with contextlib.suppress(Exception):
        pickle.loads(pickled)
    made = [path for path in tmp_path.iterdir() if path.name.startswith("mark")]
    assert made  # so it is hostile to who loads it
    for path in made:
        path.unlink()
    path = tmp_path / "bvlc_alexnet.npy"
    path.write_bytes(npy_of(pickled))
    message = r"dictionary of arrays that numpy saved\. Received: .* \(it asks for \S+, which is no"
    assert_refused(path, message, "caffe")
    assert list(tmp_path.iterdir()) == [path]


def test_pickled_arrays_cannot_forge_pointers(tmp_path):
    """An array of objects whose dtype claims that its bytes are what it holds."""
    integer = struct.Struct("<i")
    dtype = run(named("numpy", "dtype"), text("O8"), b"K\x00", b"K\x01")
    state = b"(K\x03" + text("|") + b"NNNJ" + integer.pack(-1) + b"J" + integer.pack(-1) + b"K\x00t"
    array = run(
        named("numpy.core.multiarray", "_reconstruct"),
        named("numpy", "ndarray"),
        b"K\x00\x85C\x01b",
    )
    array += b"(K\x01K\x01\x85" + dtype + state + b"b" + b"\x89C\x08AAAAAAAAtb"
    content = b"(" + text("conv1") + b"(" + array + array + b"ld"
    outer = run(
        named("numpy.core.multiarray", "_reconstruct"),
        named("numpy", "ndarray"),
        b"K\x00\x85C\x01b",
    )
    outer += b"(K\x01)" + dtype + state + b"b" + b"\x89(" + content + b"ltb"
    path = tmp_path / "bvlc_alexnet.npy"
    path.write_bytes(npy_of(b"\x80\x04" + outer + b"."))
    assert_refused(path, r"must be of floating-point numbers, not O8\)", "caffe")


def test_pickles_change_nothing_that_stays(tmp_path):
    path = tmp_path / "bvlc_alexnet.npy"
    for name in (("numpy", "dtype"), ("_codecs", "encode"), ("numpy", "ndarray")):
        pickled = named(*name) + b"(N(" + text("__defaults__") + b")d\x86b."  # sets an attribute
        path.write_bytes(npy_of(b"\x80\x04" + pickled))
        assert_refused(path, "must be a dictionary of arrays that numpy saved", "caffe")
    path.write_bytes(npy_file(converted(caffe_blobs(99))))
    AlexNet(variant="caffe", weights=path, **SMALL)


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


def torch_network(tensors):
    nn = pytest.importorskip("torch").nn

    def conv(name, *arguments, **options):
        outputs, inputs, *_ = tensors[f"{name}.weight"].shape
        return nn.Conv2d(inputs, outputs, *arguments, **options)

    def linear(name):
        return nn.Linear(*tensors[f"{name}.weight"].shape[::-1])

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Sequential(
                conv("features.0", 11, stride=4, padding=2),
                nn.ReLU(inplace=True),
                nn.MaxPool2d(3, stride=2),
                conv("features.3", 5, padding=2),
                nn.ReLU(inplace=True),
                nn.MaxPool2d(3, stride=2),
                conv("features.6", 3, padding=1),
                nn.ReLU(inplace=True),
                conv("features.8", 3, padding=1),
                nn.ReLU(inplace=True),
                conv("features.10", 3, padding=1),
                nn.ReLU(inplace=True),
                nn.MaxPool2d(3, stride=2),
            )
            self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
            self.classifier = nn.Sequential(
                nn.Dropout(),
                linear("classifier.1"),
                nn.ReLU(inplace=True),
                nn.Dropout(),
                linear("classifier.4"),
                nn.ReLU(inplace=True),
                linear("classifier.6"),
            )

        def forward(self, x):
            return self.classifier(self.avgpool(self.features(x)).flatten(1))

    import torch

    network = Network().eval()
    network.load_state_dict({name: torch.from_numpy(array) for name, array in tensors.items()})
    return network


@pytest.mark.parametrize("side", [224, 131])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_torchvision_computes_the_same(suffix, side, tmp_path):
    torch = pytest.importorskip("torch")
    tensors, images = state_dict(), pictures(32, side)
    network = torch_network(tensors)
    path = tmp_path / f"alexnet-owt-7be5be79{suffix}"
    if suffix == ".pth":
        torch.save(network.state_dict(), path)
    else:
        save_file(tensors, path)
    x = torch.from_numpy(images).permute(0, 3, 1, 2) / 255  # as torchvision's ToTensor, Normalize
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        theirs = network((x - mean[:, None, None]) / std[:, None, None]).numpy()
    arguments = {**LOGITS, "input_shape": (side, side, 3)}
    model = AlexNet(variant="torchvision", weights=path, **arguments)

    assert theirs.std() > 0.5
    ours = logits(model, images, PUBLISHED_MEANS["torchvision"])
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)
    others = logits(model, images, IMAGENET_STATISTICS.mean)  # half a grey level off
    assert np.abs(others - theirs).max() > 1e-3


def test_torchvision_through_the_evaluation_pipeline(make_folder, tmp_path):
    torch = pytest.importorskip("torch")
    tensors, path = state_dict(), tmp_path / "alexnet.safetensors"
    save_file(tensors, path)
    model = AlexNet(variant="torchvision", weights=path, **LOGITS)
    dataset = open_dataset(make_folder())

    def batch(mean):
        statistics = dataclasses.replace(IMAGENET_STATISTICS, mean=np.float32(mean))
        batches = evaluation_batches(dataset, "validation", statistics, image_size=99, batch_size=8)
        return next(iter(batches))[0].numpy()

    x = torch.from_numpy(batch([0, 0, 0])).permute(0, 3, 1, 2) / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        theirs = torch_network(tensors)((x - mean[:, None, None]) / std[:, None, None]).numpy()
    ours = model.predict_on_batch(batch(PUBLISHED_MEANS["torchvision"]))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)


def test_pth_needs_torch_and_safetensors_does_not(tmp_path, monkeypatch):
    tensors = state_dict()
    save_file(tensors, tmp_path / "alexnet.safetensors")
    (tmp_path / "alexnet.pth").touch()
    model = AlexNet(variant="torchvision", **SMALL)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"needed to read a .pth file: `pip install torch`, or"):
        load_weights(model, tmp_path / "alexnet.pth", "torchvision")
    load_weights(model, tmp_path / "alexnet.safetensors", "torchvision")
    for name, key in zip(LAYERS, TORCHVISION):
        np.testing.assert_array_equal(
            model.get_layer(name).get_weights()[1], tensors[f"{key}.bias"]
        )


def test_hostile_pth_runs_nothing(tmp_path):
    torch = pytest.importorskip("torch")

    class Hostile:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'mark'}",)

    path = tmp_path / "alexnet.pth"
    torch.save({"features.0.weight": Hostile()}, path)
    assert_refused(path, "it is cut off, or asks for more than tensors", "torchvision")
    assert list(tmp_path.iterdir()) == [path]
    torch.save({"epoch": 3}, path)
    assert_refused(path, "something else than tensors by their names", "torchvision")


# What does not fit.


def files(folder):
    """A file of each kind."""
    blobs = caffe_blobs(99)
    (folder / "a.caffemodel").write_bytes(caffe_file(blobs))
    (folder / "new.caffemodel").write_bytes(caffe_file(blobs, old=False))
    (folder / "a.npy").write_bytes(npy_file(converted(blobs)))
    save_file(state_dict(), folder / "a.safetensors")
    model = AlexNet(variant="caffe", **SMALL)
    model.save(folder / "a.keras")
    model.save_weights(folder / "a.weights.h5")
    if importlib.util.find_spec("torch"):
        import torch

        tensors = {name: torch.from_numpy(array) for name, array in state_dict().items()}
        torch.save(tensors, folder / "a.pth")
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    return {path.name: path.read_bytes() for path in files(folder)}


@pytest.fixture(scope="module")
def networks():
    return {variant: AlexNet(variant=variant, **SMALL) for variant in ("caffe", "torchvision")}


def variant_of(name):
    return "torchvision" if name.endswith((".pth", ".safetensors")) else "caffe"


def test_cut_off_files(published, networks, tmp_path):
    @settings(max_examples=8, deadline=None, derandomize=True)
    @given(share=st.floats(0, 1, exclude_max=True))
    def check(name, share):
        content = published[name]
        path = tmp_path / name
        path.write_bytes(content[: int(share * len(content))])
        model = networks[variant_of(name)]
        before = model.get_weights()
        with pytest.raises(ValueError, match="`weights` ") as error:
            load_weights(model, path, variant_of(name))
        assert str(path) in str(error.value)
        for ours, theirs in zip(model.get_weights(), before):
            np.testing.assert_array_equal(ours, theirs)

    for name in published:
        check(name)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".caffemodel", ".npy", ".keras", ".h5"])
def test_files_of_another_kind(suffix, published, networks, tmp_path):
    if suffix == ".pth":
        pytest.importorskip("torch")
    suffix = ".weights.h5" if suffix == ".h5" else suffix
    others = {n: content for n, content in published.items() if not n.endswith(suffix)}
    others |= {"empty": b"", "text": b"These are no weights.\n", "noise": bytes(range(256)) * 64}
    others["array"] = io.BytesIO()
    np.save(others["array"], np.zeros(3))
    others["array"] = others["array"].getvalue()
    others["list"] = npy_file([1, 2])
    for name, content in others.items():
        path = tmp_path / f"{name}{suffix}"
        path.write_bytes(content)
        variant = variant_of(path.name)
        before = networks[variant].get_weights()
        with pytest.raises(ValueError, match="`weights` "):
            load_weights(networks[variant], path, variant)
        for ours, theirs in zip(networks[variant].get_weights(), before):
            np.testing.assert_array_equal(ours, theirs)


def test_unknown_endings(tmp_path):
    (tmp_path / "alexnet.bin").touch()
    message = r"must end in .pth, .safetensors, .caffemodel, .npy, .keras or .weights.h5. Received"
    assert_refused(tmp_path / "alexnet.bin", message, "caffe")
    assert_refused(tmp_path / "none.npy", "must be the path of a file that exists", "caffe")


def test_wrong_variants_and_shapes(published, tmp_path):
    def path_of(name):
        (tmp_path / name).write_bytes(published[name])
        return tmp_path / name

    caffe, torchvision = path_of("a.caffemodel"), path_of("a.safetensors")
    assert_refused(
        torchvision,
        r"layer conv1: expected features.0.weight of shape \(10, 3, 11, 11\)\. "
        r"Received: \(6, 3, 11, 11\) from .*, for variant 'torchvision'$",
        "caffe",
    )
    assert_refused(
        caffe,
        r"layer conv1: expected conv1\[0\] of shape \(6, 3, 11, 11\)\. "
        r"Received: \(10, 3, 11, 11\) from .*, for variant 'caffe'$",
        "torchvision",
    )
    assert_refused(
        caffe,
        r"layer conv2: expected conv2\[0\] of shape \(26, 10, 5, 5\)\. Received: \(26, 5, 5, 5\)",
        "single",
    )
    for path, variant, kernel in (
        (caffe, "caffe", r"fc8\[0\] of shape \(9, 410\)\. Received: \(7, 410\)"),
        (path_of("a.npy"), "caffe", r"fc8\[0\] of shape \(410, 9\)\. Received: \(410, 7\)"),
        (torchvision, "torchvision", r"classifier.6.weight of shape \(9, 410\)\. Received: \(7, 4"),
    ):
        assert_refused(path, rf"layer fc8 \(see `classes`\): expected {kernel}", variant, classes=9)
    assert_refused(
        caffe,
        r"layer fc6 \(its inputs follow from `input_shape`\): expected fc6\[0\] of shape "
        r"\(410, 234\)\. Received: \(410, 104\)",
        "caffe",
        input_shape=(131, 131, 3),
    )
    assert_refused(
        caffe,
        r"layer norm1: expected shapes \[\(10,\), .*\. Received: none from",
        "caffe",
        normalization="batch",
    )


def test_missing_and_extra_tensors(tmp_path):
    blobs, path = caffe_blobs(99), tmp_path / "a.caffemodel"
    path.write_bytes(caffe_file({n: arrays for n, arrays in blobs.items() if n != "fc7"}))
    assert_refused(path, r"expected fc7\[0\] of shape \(410, 410\)\. Received: none from", "caffe")
    path.write_bytes(caffe_file({**blobs, "conv4": blobs["conv4"][:1]}))
    assert_refused(path, r"expected conv4\[1\] of shape \(38,\)\. Received: none from", "caffe")
    path.write_bytes(caffe_file({**blobs, "conv6": blobs["conv5"]}))
    assert_refused(path, r"nothing else\. Received: conv6\[0\] of shape \(26, 19, 3, 3\)", "caffe")
    short = caffe_file(blobs).replace(field(1, 38) + field(2, 26), field(1, 39) + field(2, 26), 1)
    path.write_bytes(short)
    message = r"conv3\[0\] of shape \(39, 26, 3, 3\) has 8892 numbers"
    assert_refused(path, message, "caffe")

    tensors, path = state_dict(), tmp_path / "a.safetensors"
    save_file({n: array for n, array in tensors.items() if n != "features.6.bias"}, path)
    assert_refused(path, r"features.6.bias of shape \(38,\)\. Received: none from", "torchvision")
    save_file({**tensors, "fc.weight": np.zeros((2, 3), "float32")}, path)
    assert_refused(path, r"nothing else\. Received: fc.weight of shape \(2, 3\)", "torchvision")
    save_file({**tensors, "features.3.bias": tensors["features.3.bias"].astype("int32")}, path)
    assert_refused(
        path, "floating-point numbers. Received: features.3.bias of int32", "torchvision"
    )
    save_file({**tensors, "features.3.bias": tensors["features.3.bias"][:5]}, path)
    assert_refused(path, r"of shape \(20,\)\. Received: \(5,\)", "torchvision")

    content, path = converted(caffe_blobs(99)), tmp_path / "a.npy"
    path.write_bytes(npy_file({**content, "conv5": content["conv5"][::-1]}))
    assert_refused(path, r"conv5\[0\] of shape \(3, 3, 19, 26\)\. Received: \(26,\)", "caffe")


@pytest.mark.parametrize("name", ["a.caffemodel", "new.caffemodel", "a.npy", "a.safetensors"])
def test_convolutions_alone(name, published, tmp_path):
    path, variant = tmp_path / name, variant_of(name)
    path.write_bytes(published[name])
    whole = AlexNet(variant=variant, weights=path, **SMALL)
    arguments = {"width": WIDTH, "input_shape": (163, 100, 3), "include_top": False}
    base = AlexNet(variant=variant, weights=path, pooling="avg", **arguments)
    assert len(base.weights) == 10
    for ours, theirs in zip(base.get_weights(), whole.get_weights()):
        np.testing.assert_array_equal(ours, theirs)


def test_channels_first_takes_the_same(published, tmp_path):
    path = tmp_path / "a.caffemodel"
    path.write_bytes(published["a.caffemodel"])
    last = AlexNet(variant="caffe", weights=path, **SMALL)
    keras.config.set_image_data_format("channels_first")
    try:
        first = AlexNet(variant="caffe", weights=path, **{**SMALL, "input_shape": (3, 99, 99)})
        assert first.get_layer("flatten").data_format == "channels_first"  # flattens channels last
    finally:
        keras.config.set_image_data_format("channels_last")
    for ours, theirs in zip(first.get_weights(), last.get_weights()):
        np.testing.assert_array_equal(ours, theirs)
