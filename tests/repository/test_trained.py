"""The trained networks that come with the package, and how a run becomes one."""

import zipfile

import numpy as np
import pytest

from alexnet_keras import load_run
from alexnet_keras.common import packaged_path, packaged_runs
from alexnet_keras.training import is_packaged
from data.make_trained import errors, halve_kernels, keep


@pytest.mark.parametrize("name", packaged_runs())
def test_it_is_loaded_by_its_name(name):
    assert is_packaged(name)
    run = load_run(name)
    assert run.model.output_shape == (None, len(run.class_names))
    assert all(weight.dtype == "float32" for weight in run.model.weights)
    assert run.config.data_dir is None and len(run.log()["loss"]) > 0
    size = sum(path.stat().st_size for path in packaged_path(f"data/trained/{name}").iterdir())
    assert size < 8e6


def test_other_names_are_folders():
    assert "openclipart" in packaged_runs()
    for name in ("", ".", "..", "trained", "openclipart/", "data/trained/openclipart"):
        assert not is_packaged(name)


def test_kernels_in_half_precision(run, tmp_path):
    folder = keep(run.folder, tmp_path / "half", half=True)
    kept = load_run(folder)
    assert (kept.class_names, kept.config) == (run.class_names, run.config)
    with zipfile.ZipFile(folder / "best.keras") as archive:
        assert archive.testzip() is None
    whole = (run.folder / "best.keras").stat().st_size
    assert (folder / "best.keras").stat().st_size < 0.6 * whole
    for found, expected in zip(kept.model.weights, run.model.weights):
        found, expected = np.asarray(found), np.asarray(expected)
        rounded = expected.astype("float16").astype("float32") if expected.ndim > 1 else expected
        assert found.dtype == "float32"
        np.testing.assert_array_equal(found, rounded)
    assert errors(folder, None) == errors(run.folder, None)


def test_a_variance_beyond_float16_is_kept(tmp_path):
    import keras

    model = keras.Sequential([keras.Input((4,)), keras.layers.BatchNormalization()])
    model.layers[0].moving_variance.assign(np.full(4, 1e6, "float32"))
    model.save(tmp_path / "model.keras")
    halve_kernels(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    np.testing.assert_array_equal(again.layers[0].moving_variance, np.full(4, 1e6, "float32"))
