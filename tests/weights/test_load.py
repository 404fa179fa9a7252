import importlib.util
import io

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from alexnet_keras import AlexNet, load_weights
from tests.weights.conftest import (
    SMALL,
    WIDTH,
    assert_refused,
    caffe_blobs,
    caffe_file,
    converted,
    field,
    npy_file,
    state_dict,
)

pytestmark = [pytest.mark.portable, pytest.mark.usefixtures("no_gradients")]

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
