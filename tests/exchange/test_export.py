import dataclasses
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from alexnet_keras import AlexNet, TrainingConfig, evaluate, predict, train
from alexnet_keras.common import DataError
from alexnet_keras.exchange import FORMATS, accuracies, export_model, open_exported
from alexnet_keras.exchange import export as exports
from alexnet_keras.pictures import evaluation_batches
from alexnet_keras.training import build_model

PACKAGES = {
    "onnx": ("tf2onnx", "onnx", "onnxruntime"),
    "litert": ("ai_edge_litert",),
    "litert_int8": ("ai_edge_litert",),
}


pytestmark = pytest.mark.slow


def need(format):
    for package in PACKAGES.get(format, ()):
        pytest.importorskip(package)


def network(variant="2012", size=80, **arguments):
    keras.utils.set_random_seed(0)
    options = {"classes": 5, "width": 0.1, "initialization": "he", **arguments}
    return AlexNet(variant=variant, input_shape=(size, size, 3), **options)


def pictures(count, size=80):
    """Noise, strong enough for the normalization to matter."""
    return np.random.default_rng(1).normal(0, 250, (count, size, size, 3)).astype("float32")


def export(model, folder, format):
    return export_model(model, folder / f"m-{format}{FORMATS[format]}", format)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Three classes that differ in colour, learned by a network with every layer of ours."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for label, name in enumerate(("blue", "green", "red")):
        (folder / name).mkdir()
        for i in range(20):
            image = rng.integers(0, 60, (100, 95, 3))
            image[:, :, 2 - label] += 180
            encoded = tf.io.encode_jpeg(image.astype("uint8")).numpy()
            (folder / name / f"{i}.jpg").write_bytes(encoded)
    config = TrainingConfig(
        data=str(folder),
        variant="2012",
        image_size=80,
        width=0.1,
        epochs=1,
        batch_size=8,
        dropout=0.1,
        schedule="constant",
        mean="image",
    )
    return train(config, tmp_path_factory.mktemp("runs") / "run", verbose=0)


@pytest.mark.parametrize(
    "variant, format",
    [
        ("2012", "keras"),
        ("2012", "saved_model"),
        ("2012", "onnx"),
        ("2012", "litert"),
        ("caffenet", "litert"),
        ("batchnorm", "onnx"),
        ("batchnorm", "litert"),
        ("torchvision", "onnx"),
    ],
)
def test_formats_agree(variant, format, tmp_path):
    need(format)
    model = network(variant)
    exported = open_exported(export(model, tmp_path, format))
    assert exported.input_shape == (None, 80, 80, 3)
    assert exported.output_shape == (None, 5)
    for count in (1, 7, 2):
        x = pictures(count)
        received = exported.predict_on_batch(x)
        assert received.shape == (count, 5)
        np.testing.assert_allclose(received, model(x), atol=1e-4)
    norms = [layer for layer in model.layers if hasattr(layer, "alpha")]
    if norms:  # and they matter
        for layer in norms:
            layer.alpha = 0.0
        assert np.abs(exported.predict_on_batch(pictures(7)) - model(pictures(7))).max() > 0.01


@pytest.mark.parametrize("size", [224, 131, 80])
def test_torchvision_in_litert(size, tmp_path):
    need("litert")
    model = network("torchvision", size, width=0.05)
    exported = open_exported(export(model, tmp_path, "litert"))
    np.testing.assert_allclose(
        exported.predict_on_batch(pictures(2, size)), model(pictures(2, size)), atol=1e-4
    )


@pytest.mark.parametrize(
    "options, format",
    [({"classifier_activation": None}, "litert"), ({"include_top": False}, "saved_model")],
)
def test_logits_and_maps(options, format, tmp_path):
    need(format)
    model = network("paper", **options)
    exported = open_exported(export(model, tmp_path, format))
    np.testing.assert_allclose(
        exported.predict_on_batch(pictures(3)), model(pictures(3)), rtol=1e-4, atol=1e-3
    )


@pytest.mark.parametrize(
    "precision, format", [("bfloat16", "keras"), ("bfloat16", "onnx"), ("float16", "keras")]
)
def test_mixed_precision_is_exported_in_float32(precision, format, tmp_path):
    need(format)
    config = TrainingConfig(variant="2012", image_size=80, width=0.1, precision=precision)
    model = build_model(config, 5)
    full = build_model(dataclasses.replace(config, precision="float32"), 5)
    full.set_weights(model.get_weights())
    x = pictures(4)
    assert np.abs(full(x) - model(x)).max() > (1e-3 if precision == "bfloat16" else 1e-4)
    exported = open_exported(export(model, tmp_path, format))
    np.testing.assert_allclose(exported.predict_on_batch(x), full(x), atol=1e-4)
    if format == "keras":
        assert {layer.compute_dtype for layer in exported.layers} == {"float32"}
    assert model.get_layer("conv1").compute_dtype == precision


def picture_files(folder):
    """JPEG and PNG files of several sizes: colour, gray, transparent."""
    rng = np.random.default_rng(0)

    def image(height, width, channels):
        return rng.integers(0, 256, (height // 5, width // 5, channels)).repeat(5, 0).repeat(5, 1)

    encoded = {
        "a.jpg": tf.io.encode_jpeg(image(200, 150, 3).astype("uint8")),
        "b.jpg": tf.io.encode_jpeg(image(90, 90, 1).astype("uint8")),
        "c.png": tf.io.encode_png(image(70, 120, 3).astype("uint8")),
        "d.png": tf.io.encode_png(image(300, 100, 4).astype("uint8")),
        "e.png": tf.io.encode_png(image(100, 300, 2).astype("uint8")),
    }
    for name, content in encoded.items():
        (folder / name).write_bytes(content.numpy())
    return [folder / name for name in encoded]


def test_saved_model_takes_files_in_a_process_without_the_package(run, tmp_path):
    paths = picture_files(tmp_path)
    expected = np.stack([p for _, p in predict(run.model, paths, run.statistics)])
    path = export(run, tmp_path, "saved_model")
    script = (
        "import sys, numpy as np, tensorflow as tf\n"
        "out, model, *paths = sys.argv[1:]\n"
        "serve = tf.saved_model.load(model).signatures['serving_default']\n"
        "files = tf.constant([open(path, 'rb').read() for path in paths])\n"
        "np.save(out, serve(encoded=files)['probabilities'])\n"
        "assert 'alexnet_keras' not in sys.modules\n"
    )
    arguments = [sys.executable, "-c", script, tmp_path / "y.npy", path, *paths]
    subprocess.run(arguments, check=True, capture_output=True, cwd=tmp_path)
    received = np.load(tmp_path / "y.npy")
    assert np.ptp(expected, axis=0).max() > 0.02  # the pictures differ
    np.testing.assert_allclose(received, expected, atol=1e-4)

    loaded = tf.saved_model.load(str(path))
    serve = loaded.signatures["serving_default"]
    bmp = b"BM" + bytes(100)
    gif = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff,\x00\x00\x00\x00\x01\x00"
    gif += b"\x01\x00\x00\x02\x02D\x01\x00;"
    for content, message in (
        (gif, "must be a JPEG or PNG file"),
        (bmp, None),
        (paths[0].read_bytes()[:500], None),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            serve(encoded=tf.constant([content]))


def test_runs_in_every_format(run, tmp_path):
    """Accuracy as in Keras; the names of input and output."""
    right = 1 - evaluate(run.model, run.open_dataset(), run.statistics).top1_error
    assert right > 0.8
    assert right == pytest.approx(run.log()["val_top1"].max())  # less the mean image
    for format in ("keras", "saved_model", "onnx", "litert"):
        need(format)
        assert accuracies(run, export(run, tmp_path, format)) == (right, right)
    import onnxruntime

    session = onnxruntime.InferenceSession(tmp_path / "m-onnx.onnx")
    names = session.get_inputs()[0].name, session.get_outputs()[0].name
    assert names == ("images", "probabilities")
    assert not isinstance(session.get_inputs()[0].shape[0], int)


def test_int8(run, tmp_path):
    need("litert_int8")
    from ai_edge_litert.interpreter import Interpreter

    path, whole = (export(run, tmp_path, format) for format in ("litert_int8", "litert"))
    validation = evaluation_batches(
        run.open_dataset(),
        "validation",
        run.statistics,
        image_size=80,
        batch_size=12,
    )
    ((images, _),) = validation.as_numpy_iterator()
    difference = np.abs(open_exported(path).predict_on_batch(images) - run.model(images)).max()
    assert 0 < difference < 0.03  # it is 0.6 with the normalizations in 8 bits
    assert path.stat().st_size < 0.45 * whole.stat().st_size
    interpreter = Interpreter(str(path))
    dtypes = {t["name"]: t["dtype"] for t in interpreter.get_tensor_details()}
    results = [
        (op["op_name"], dtypes[interpreter._get_tensor_details(i, 0)["name"]])
        for op in interpreter._get_ops_details()
        for i in op["outputs"]
    ]
    kinds = {name: {dtype for n, dtype in results if n == name} for name, _ in results}
    assert kinds["CONV_2D"] == kinds["MAX_POOL_2D"] == {np.int8}
    assert np.int8 in kinds["FULLY_CONNECTED"]
    assert kinds["SQUARE"] == kinds["RSQRT"] == {np.float32}  # the response normalizations


def test_accuracies_tell_a_worse_file(run, tmp_path):
    other = keras.models.clone_model(run.model)
    other.get_layer("fc8").bias.assign([100.0, 0.0, 0.0])
    path = export(other, tmp_path, "keras")
    before, after = accuracies(run, path)
    assert before > 0.8 and after == pytest.approx(1 / 3)


def test_int8_needs_the_data_of_the_run(run, tmp_path):
    need("litert_int8")
    moved = dataclasses.replace(run.config, data=str(tmp_path / "gone"))
    run = dataclasses.replace(run, config=moved, dataset=None)
    with pytest.raises(DataError, match="must be a folder that exists"):
        export(run, tmp_path, "litert_int8")
    assert not list(tmp_path.iterdir())


def contents(folder):
    return {
        file.relative_to(folder): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def half_written(*arguments):
    path = next(a for a in arguments if isinstance(a, os.PathLike))
    if "." in path.name:
        path.write_bytes(b"half")
    else:
        path.mkdir()
        (path / "saved_model.pb").write_bytes(b"half")
    raise OSError("No space left on device")


@pytest.mark.parametrize("format", ["keras", "saved_model", "onnx"])
def test_failed_export_keeps_the_older_one(format, tmp_path, monkeypatch):
    need(format)
    model = network("paper")
    for name in ("_write_saved_model", "_write_onnx"):
        monkeypatch.setattr(exports, name, half_written)
    monkeypatch.setattr(keras.Model, "save", half_written)
    with pytest.raises(OSError, match="No space left"):
        export(model, tmp_path, format)
    assert not list(tmp_path.iterdir())
    monkeypatch.undo()

    path = export(model, tmp_path, format)
    before = contents(tmp_path)
    for name in ("_write_saved_model", "_write_onnx"):
        monkeypatch.setattr(exports, name, half_written)
    monkeypatch.setattr(keras.Model, "save", half_written)
    with pytest.raises(OSError, match="No space left"):
        export(model, tmp_path, format)
    assert contents(tmp_path) == before
    monkeypatch.undo()

    other = network("paper", classes=6)
    assert export(other, tmp_path, format) == path
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert open_exported(path).output_shape == (None, 6)


def test_saved_model_that_cannot_take_its_place(tmp_path, monkeypatch):
    model = network("paper")
    export(model, tmp_path, "saved_model")
    before, replace = contents(tmp_path), os.replace

    def failing(source, target):
        if source.name.startswith("partial-"):
            raise PermissionError("no")
        replace(source, target)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(PermissionError):
        export(model, tmp_path, "saved_model")
    assert contents(tmp_path) == before


def test_export_that_gives_something_else(tmp_path, monkeypatch):
    """The file is compared with the model before it takes its place."""
    model, other = network("paper"), network("caffenet")
    write = exports._write_saved_model
    monkeypatch.setattr(
        exports, "_write_saved_model", lambda model, *arguments: write(other, *arguments)
    )
    with pytest.raises(ValueError, match="give what the model gives, to 0.0001. Received: outputs"):
        export(model, tmp_path, "saved_model")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "format, missing, purpose",
    [
        ("onnx", "tf2onnx", "ONNX needs packages: pip install tf2onnx onnx onnxruntime"),
        ("onnx", "onnxruntime", "ONNX needs packages: pip install tf2onnx onnx onnxruntime"),
        ("litert", "ai_edge_litert.interpreter", "LiteRT needs packages: pip install ai-edge-lit"),
    ],
)
def test_missing_packages(format, missing, purpose, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=purpose):
        export(network("paper"), tmp_path, format)
    assert not list(tmp_path.iterdir())
    path = tmp_path / f"m{FORMATS[format]}"
    path.write_bytes(b"")
    if missing != "tf2onnx":
        with pytest.raises(ImportError, match="needs packages: pip install"):
            open_exported(path)


def test_bad_arguments(tmp_path):
    model = keras.Sequential([keras.Input((64, 64, 3)), keras.layers.Flatten()])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    for arguments, message in (
        ((model, tmp_path / "m.pb", "tensorrt"), "`format` must be one of .* format='tensorrt'"),
        ((3, tmp_path / "m.keras", "keras"), "A Keras model or a Run .*Received: 3"),
        ((model, tmp_path / "m.tflite", "onnx"), "'onnx' must end in .onnx. Received: .*m.tflite"),
        ((model, tmp_path / "m.onnx", "saved_model"), "be that of a folder. Received: .*m.onnx"),
        ((model, tmp_path / "no" / "m.onnx", "onnx"), "a folder that exists. Received: .*no"),
        ((model, tmp_path / "mine", "saved_model"), "new, or a SavedModel to replace. Rec.*mine"),
        ((model, tmp_path / "m.tflite", "litert_int8"), "needs a Run.*Received: a model"),
    ):
        with pytest.raises(ValueError, match=message):
            export_model(*arguments)
    assert [p.name for p in tmp_path.rglob("*")] == ["mine", "thesis.txt"]
    with pytest.raises(ValueError, match="must be that of a .keras, .*Received: .*nothing"):
        open_exported(tmp_path / "nothing")


def test_other_backends(tmp_path, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match="needs Keras's TensorFlow backend .*Received: 'jax'"):
        export_model(keras.Sequential(), tmp_path / "m.onnx", "onnx")
