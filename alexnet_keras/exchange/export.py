"""Networks out of Python: `.keras`, SavedModel, ONNX and LiteRT files."""

import functools
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from alexnet_keras.common import check_choice, write_file
from alexnet_keras.exchange.exported import import_optional, open_exported
from alexnet_keras.layers import (
    LocalResponseNormalization,
    WithinMapNormalization,
    without_branches,
)
from alexnet_keras.pictures import (
    decode_by_tensorflow,
    decode_image,
    evaluation_transform,
    numpy_batches,
)
from alexnet_keras.training import Run

FORMATS = {
    "keras": ".keras",
    "saved_model": "",
    "onnx": ".onnx",
    "litert": ".tflite",
    "litert_int8": ".tflite",
}
"""What can be written, and how the names of the files end; a SavedModel is a folder."""

REPRESENTATIVE = 100
"""How many training pictures show the quantizer the range of each layer's activations."""

TOLERANCE = 1e-4
"""How far an exported network's output may be from that of the Keras model, in float32."""


def export_model(model_or_run: keras.Model | Run, path: str | Path, format: str) -> Path:
    """Writes a network for use without this package.

    | format | the file | read by |
    | --- | --- | --- |
    | `"keras"` | `.keras` | Keras with this package's layers |
    | `"saved_model"` | a folder | TensorFlow, TensorFlow Serving |
    | `"onnx"` | `.onnx` | ONNX Runtime and others |
    | `"litert"` | `.tflite` | LiteRT, formerly TensorFlow Lite |
    | `"litert_int8"` | `.tflite` | the same, a quarter of the size |

    All but `.keras` have a signature from `images`, float32 `(batch, height, width, 3)` as the
    network takes them, to `probabilities` `(batch, classes)` (`outputs` of a model that is no run);
    the batch may be of any size. The SavedModel of a run has another, `serving_default`: from
    `encoded`, a string tensor `(batch,)` of JPEG or PNG files, prepared as in evaluation (central
    crop, mean subtracted).

    Networks trained in mixed precision are written in float32. In `"litert_int8"`, weights and
    activations have 8 bits, by the converter's quantization with 100 training pictures; input and
    output remain float32, and so do the response normalizations, whose sums of squares are too
    uneven for 8 bits. (A network that named 46.6 % of the embedded validation pictures rightly
    named 37.1 % with all of it in 8 bits, and 46.6 % as it is written here.)

    Before the file takes its place, it is opened by its own runtime and compared with the Keras
    model on noise. A file or SavedModel that was there before is replaced, or kept if this fails.

    Args:
        model_or_run: a network, or a `Run` for that with its best weights.
        path: of the file, with the ending of its format; its folder must be there.
        format: one of `FORMATS`.

    Returns:
        The path.

    Raises:
        ValueError: for an unknown format, a path with another ending or in a folder that is not
            there, `"litert_int8"` without a run, another backend than TensorFlow (all but
            `"keras"`), and if what was written gives something else than the model.
        ImportError: if a package is missing; the message says which.
        DataError: if the run's data is needed and cannot be opened.

    Example:

    >>> import pathlib, tempfile
    >>> from alexnet_keras import AlexNet, export_model
    >>> model = AlexNet(input_shape=(67, 67, 3), classes=10, width=0.1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = export_model(model, pathlib.Path(folder, "alexnet"), "saved_model")
    ...     sorted(file.name for file in path.iterdir() if file.is_file())
    ['fingerprint.pb', 'saved_model.pb']
    """
    path = Path(path)
    run = model_or_run if isinstance(model_or_run, Run) else None
    _check(model_or_run, run, path, format)
    model = _in_float32(run.model if run else model_or_run)
    name = "probabilities" if run else "outputs"

    def write(partial):
        with without_branches():
            if format == "keras":
                model.save(partial)
            elif format == "saved_model":
                _write_saved_model(model, name, partial, run)
            elif format == "onnx":
                _write_onnx(model, name, partial)
            else:
                partial.write_bytes(_litert(model, name, run if format == "litert_int8" else None))
        _require_agreement(partial, model, np.inf if format == "litert_int8" else TOLERANCE)

    (_write_folder if format == "saved_model" else write_file)(path, write)
    return path


def _check(model_or_run, run, path, format):
    check_choice("format", format, FORMATS)
    if not isinstance(model_or_run, (Run, keras.Model)):
        raise ValueError(f"A Keras model or a Run must be exported. Received: {model_or_run!r}")
    ending = FORMATS[format]
    others = set(FORMATS.values()) - {ending}
    if not path.name.endswith(ending) or path.suffix in others:
        ending = f"end in {ending}" if ending else "be that of a folder"
        raise ValueError(f"The path for format {format!r} must {ending}. Received: {path}")
    if not path.parent.is_dir():
        raise ValueError(f"The file must go into a folder that exists. Received: {path}")
    if format == "saved_model" and path.exists() and not (path / "saved_model.pb").is_file():
        raise ValueError(f"The path must be new, or a SavedModel to replace. Received: {path}")
    if format != "saved_model" and path.is_dir():
        raise ValueError(f"The path must be that of a file. Received: {path}, which is a folder")
    if format != "keras" and keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"Format {format!r} needs Keras's TensorFlow backend (KERAS_BACKEND=tensorflow); a "
            f".keras file carries the network there. Received: {keras.backend.backend()!r}"
        )
    if format == "litert_int8" and run is None:
        raise ValueError(
            "Format 'litert_int8' needs a Run, with whose training pictures it is quantized. "
            "Received: a model"
        )
    if format == "onnx":
        import_optional("ONNX", "tf2onnx", "onnx", "onnxruntime")
    elif format.startswith("litert"):
        import_optional("LiteRT", "ai_edge_litert.interpreter")


def _in_float32(model: keras.Model) -> keras.Model:
    """The model, or where its arithmetic is in 16 bits, a copy of it in 32."""
    layers = [layer for layer in model.layers if layer.compute_dtype in ("float16", "bfloat16")]
    if not layers:
        return model

    def converted(layer):
        return type(layer).from_config({**layer.get_config(), "dtype": "float32"})

    copy = keras.models.clone_model(model, clone_function=converted)
    copy.set_weights([np.asarray(weight, "float32") for weight in model.get_weights()])
    return copy


def _named(model: keras.Model, name: str) -> keras.Model:
    """The model between an input `images` and an output of the given name."""
    images = keras.Input(model.input_shape[1:], name="images", dtype="float32")
    return keras.Model(images, {name: model(images, training=False)})


def _write_saved_model(model, name, path, run=None):
    named = _named(model, name)
    shape = named.input_shape[1:]
    archive = keras.export.ExportArchive()  # `track` would save the weights twice

    def from_images(images):
        return named(images, training=False)

    if run is not None:
        prepare = evaluation_transform(run.statistics, image_size=run.config.image_size)

        def picture(encoded):
            # BMP and GIF are decoded by Python, which cannot be saved.
            png = tf.strings.substr(encoded, 0, 8) == b"\x89PNG\r\n\x1a\n"
            known = tf.io.is_jpeg(encoded) | png
            tf.debugging.Assert(known, ["A picture must be a JPEG or PNG file."])
            return prepare(decode_by_tensorflow(encoded))

        def from_files(encoded):
            output = tf.TensorSpec(shape, tf.float32)
            return from_images(tf.map_fn(picture, encoded, fn_output_signature=output))

        files = tf.TensorSpec((None,), tf.string, name="encoded")
        archive.add_endpoint("serving_default", from_files, input_signature=[files])
    images = tf.TensorSpec((None, *shape), tf.float32, name="images")
    archive.add_endpoint("images", from_images, input_signature=[images])
    archive.write_out(str(path), verbose=False)


def _write_onnx(model, name, path):
    images = keras.InputSpec("float32", (None, *model.input_shape[1:]), name="images")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of numpy, in Keras
        _named(model, name).export(
            str(path), format="onnx", verbose=False, input_signature=[images]
        )


def _litert(model, name, run) -> bytes:
    """The converter's float32 file, or quantized with the training pictures of a run."""
    with tempfile.TemporaryDirectory() as folder:
        _write_saved_model(model, name, folder)

        def converter():
            return tf.lite.TFLiteConverter.from_saved_model(folder, ["serving_default"])

        in_float32 = converter().convert()
        if run is None:
            return in_float32
        pictures = functools.partial(_representative, run)
        quantizer = converter()
        quantizer.optimizations = [tf.lite.Optimize.DEFAULT]
        quantizer.representative_dataset = pictures
        options = tf.lite.experimental.QuantizationDebugOptions(
            denylisted_nodes=_normalizations(model, in_float32)
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # it uses the interpreter's old name
            return tf.lite.experimental.QuantizationDebugger(
                converter=quantizer, debug_dataset=pictures, debug_options=options
            ).get_nondebug_quantized_model()


def _representative(run: Run) -> Iterator[list[np.ndarray]]:
    """Training pictures, one at a time, as the network sees them in evaluation."""
    dataset = run.open_dataset()
    prepare = evaluation_transform(run.statistics, image_size=run.config.image_size)
    some = dataset.shuffled("train", tf.zeros(2, tf.int64)).take(REPRESENTATIVE)
    pictures = some.map(lambda example: prepare(decode_image(example["image"])))
    for picture in numpy_batches(pictures, dataset, "train"):
        yield [picture[None]]


def _normalizations(model, content: bytes) -> list[str]:
    """Names of the LiteRT file's tensors that belong to response normalizations."""
    kinds = (LocalResponseNormalization, WithinMapNormalization)
    layers = [re.escape(layer.name) for layer in model.layers if isinstance(layer, kinds)]
    of_layers = re.compile(rf"/({'|'.join(layers)})(_\d+)?/")  # such as alexnet_1/norm1_1/Square
    runtime = import_optional("LiteRT", "ai_edge_litert.interpreter")
    tensors = runtime.Interpreter(model_content=content).get_tensor_details()
    return [t["name"] for t in tensors if layers and of_layers.search(t["name"])]


def _require_agreement(path, model, tolerance):
    images = np.random.default_rng(0).normal(0, 100, (3, *model.input_shape[1:]))
    images = images.astype("float32")
    expected = keras.ops.convert_to_numpy(model(images, training=False))
    try:
        received = open_exported(path).predict_on_batch(images)
    except Exception as error:  # of many kinds
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"The exported network must run. Received: one that does not ({reason})"
        ) from error
    difference = np.abs(received - expected).max()
    if not difference <= tolerance * max(1, np.abs(expected).max()):
        raise ValueError(
            f"The exported network must give what the model gives, to {tolerance:g}. "
            f"Received: outputs that differ by {difference:g}"
        )


def _write_folder(path: Path, write: Callable[[Path], None]) -> None:
    """As `write_file`: the folder is whole or not there, and the old one stays until then."""
    partial = path.with_name(f"partial-{path.name}")
    old = path.with_name(f"old-{path.name}")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        write(partial)
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)
            os.replace(path, old)
        os.replace(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)
        elif old.exists():
            os.replace(old, path)
