import contextlib
import io
import pickle
import struct

import numpy as np
import pytest

from alexnet_keras import PUBLISHED_MEANS, AlexNet
from alexnet_keras.variants import LAYERS
from tests.weights.conftest import (
    LOGITS,
    SMALL,
    assert_refused,
    caffe_blobs,
    caffe_file,
    converted,
    logits,
    npy_file,
    pictures,
)

pytestmark = [pytest.mark.portable, pytest.mark.usefixtures("no_gradients")]


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
