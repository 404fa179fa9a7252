"""Exported networks, opened in the runtimes they were written for."""

import dataclasses
import importlib
import os
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from alexnet_keras.evaluation import evaluate
from alexnet_keras.training import Run


@dataclasses.dataclass(frozen=True)
class Exported:
    """A network in its own runtime, as far as `evaluate` and `predict` need one.

    Attributes:
        input_shape: `(None, height, width, 3)`.
        output_shape: `(None, classes)`.
        predict_on_batch: function from float32 images to outputs.
    """

    input_shape: tuple[int | None, ...]
    output_shape: tuple[int | None, ...]
    predict_on_batch: Callable[[np.ndarray], np.ndarray] = dataclasses.field(repr=False)


def open_exported(path: str | Path) -> Exported | keras.Model:
    """Opens what `export_model` wrote with the runtime of its format.

    Args:
        path: of a `.keras`, `.onnx` or `.tflite` file, or a SavedModel.

    Returns:
        Something to give to `evaluate` and `predict` as the model.

    Raises:
        ValueError: if there is no such file.
        ImportError: if the runtime is missing; the message says which.

    Example:

    >>> from alexnet_keras import load_run
    >>> from alexnet_keras.exchange import open_exported
    >>> open_exported(load_run().folder / "best.keras").output_shape
    (None, 10)
    """
    path = Path(path)
    openers = {".keras": _open_keras, ".onnx": _open_onnx, ".tflite": _open_litert}
    opener = _open_saved_model if path.is_dir() else openers.get(path.suffix)
    if opener is None or not path.exists():
        raise ValueError(
            "The path must be that of a .keras, .onnx or .tflite file or a SavedModel. "
            f"Received: {path}"
        )
    return opener(str(path))


def import_optional(purpose: str, *names: str):
    """The last of the modules, or a line on what to install."""
    try:
        return [importlib.import_module(name) for name in names][-1]
    except ImportError as error:
        packages = " ".join(name.partition(".")[0].replace("_", "-") for name in names)
        raise ImportError(f"{purpose} needs packages: pip install {packages} ({error})") from None


def _open_keras(path):
    return keras.saving.load_model(path, compile=False)


def _open_onnx(path):
    session = import_optional("ONNX", "onnxruntime").InferenceSession(path)
    (source,), (target,) = session.get_inputs(), session.get_outputs()
    return Exported(
        (None, *source.shape[1:]),
        (None, *target.shape[1:]),
        lambda images: session.run(None, {source.name: np.asarray(images, "float32")})[0],
    )


def _open_litert(path):
    runtime = import_optional("LiteRT", "ai_edge_litert.interpreter")
    runner = runtime.Interpreter(path, num_threads=os.cpu_count()).get_signature_runner()
    ((_, source),) = runner.get_input_details().items()
    ((name, target),) = runner.get_output_details().items()
    return Exported(
        (None, *map(int, source["shape"][1:])),
        (None, *map(int, target["shape"][1:])),
        lambda images: runner(images=np.asarray(images, "float32"))[name],
    )


def _open_saved_model(path):
    loaded = tf.saved_model.load(path)
    signature = loaded.signatures["images"]
    source = signature.structured_input_signature[1]["images"]
    ((name, target),) = signature.structured_outputs.items()

    def predict_on_batch(images, _loaded=loaded):  # whose variables would go with it
        return signature(images=tf.constant(images, tf.float32))[name].numpy()

    return Exported(tuple(source.shape), tuple(target.shape), predict_on_batch)


def accuracies(run: Run, path: str | Path, split: str = "validation") -> tuple[float, float]:
    """Top-1 accuracy of a run's network in Keras and as exported, on the run's own data.

    Args:
        run: whose network was exported.
        path: of the exported file.
        split: `"train"` or `"validation"`.

    Returns:
        Two shares of the pictures, from 0 to 1: the Keras model's and the exported network's.

    Raises:
        DataError: if the data cannot be opened or its pictures decoded.
        ImportError: if the runtime is missing.

    Example:

    >>> from alexnet_keras import load_run
    >>> run = load_run()
    >>> before, after = accuracies(run, run.folder / "best.keras")
    >>> before == after
    True
    """
    dataset, exported = run.open_dataset(), open_exported(path)
    results = [
        evaluate(model, dataset, run.statistics, split=split) for model in (run.model, exported)
    ]
    return 1 - results[0].top1_error, 1 - results[1].top1_error
