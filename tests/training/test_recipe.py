import dataclasses
import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from alexnet_keras.common import DataError, DivergedError, RunError
from alexnet_keras.configuration import TrainingConfig
from alexnet_keras.evaluation import evaluate
from alexnet_keras.pictures import open_dataset
from alexnet_keras.training import jit_compile, load_run, read_config, resume, train
from alexnet_keras.training.callbacks import StopDiverged
from tests.conftest import without_times

pytestmark = pytest.mark.slow


def test_run_learns_and_is_kept(run):
    names = {path.name for path in run.folder.iterdir()}
    assert names == {
        "best.keras",
        "checkpoint.npz",
        "config.json",
        "last.keras",
        "log.csv",
        "statistics.npz",
        "tensorboard",
        "time.json",
    }
    log = run.log()
    assert len(log["loss"]) == 2
    assert set(log) >= {"loss", "top1", "top5", "val_loss", "val_top1", "val_top5", "learning_rate"}
    saved = json.loads((run.folder / "config.json").read_text())
    assert TrainingConfig(**saved["config"]) == run.config
    assert saved["class_names"] == ["blue", "green", "red"]
    assert saved["versions"]["keras"] == keras.__version__
    result = evaluate(run.model, run.open_dataset(), run.statistics)
    assert 1 - result.top1_error == pytest.approx(log["val_top1"].max())
    assert result.top1_error < 0.2  # colours are easy


def test_same_seed_same_log_and_another_not(run, tmp_path):
    other = train(dataclasses.replace(run.config, seed=1), tmp_path / "other", verbose=0)
    assert (other.log()["loss"] != run.log()["loss"]).all()
    again = train(run.config, tmp_path / "again", verbose=0)
    for name, column in without_times(run.log()).items():
        np.testing.assert_array_equal(again.log()[name], column)
    assert json.dumps(again.statistics.mean.tolist()) == json.dumps(run.statistics.mean.tolist())


def test_folder_that_holds_something_is_left_alone(run):
    before = sorted((p.name, p.stat().st_mtime_ns) for p in run.folder.iterdir())
    with pytest.raises(FileExistsError, match=f"new or empty. Received: {run.folder}"):
        train(run.config, run.folder, verbose=0)
    assert sorted((p.name, p.stat().st_mtime_ns) for p in run.folder.iterdir()) == before


def test_diverging_training_stops_and_keeps_good_weights(run, tmp_path):
    wild = dataclasses.replace(run.config, learning_rate=1e9)
    with pytest.raises(DivergedError, match="must stay finite. Received: .* try a smaller"):
        train(wild, tmp_path / "wild", verbose=0)
    assert not (tmp_path / "wild" / "best.keras").exists()


def test_run_inside_its_data_is_refused(run):
    inside = Path(run.config.data) / "runs" / "x"
    with pytest.raises(RunError, match="outside of the data"):
        train(run.config, inside, verbose=0)
    assert not inside.parent.exists()


def test_channels_first_is_refused_in_a_sentence(run, tmp_path):
    keras.config.set_image_data_format("channels_first")
    try:
        with pytest.raises(ValueError, match="must be 'channels_last'"):
            train(run.config, tmp_path / "x", verbose=0)
    finally:
        keras.config.set_image_data_format("channels_last")


def test_stuck_network_is_told_what_to_try(run, tmp_path, capsys):
    """The original start in a tiny network: the biases of 1 drown the pictures."""
    config = dataclasses.replace(
        run.config, initialization="variant", epochs=3, learning_rate=1e-4, width=0.05
    )
    train(config, tmp_path / "stuck", verbose=0)
    assert "Try `initialization='he'`" in capsys.readouterr().err


def test_data_without_training_pictures_is_refused(run, tmp_path, monkeypatch):
    from alexnet_keras.training import preparing

    data = open_dataset(run.config.data)
    data = dataclasses.replace(data, sizes={"validation": data.sizes["validation"]})
    monkeypatch.setattr(preparing, "open_dataset", lambda *args, **kwargs: data)
    with pytest.raises(DataError, match="to train on.*Received: .* without train"):
        train(run.config, tmp_path / "new", verbose=0)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "changes, on_cpu, on_gpu",
    [
        ({}, False, True),
        ({"precision": "bfloat16"}, False, True),
        ({"precision": "float16"}, True, True),
        ({"deterministic": True}, False, False),  # Keras would warn, and go on without XLA
        ({"jit_compile": True}, True, True),
        ({"precision": "float16", "jit_compile": False}, False, False),
    ],
)
def test_xla_compiles_on_a_gpu_and_float16_on_a_cpu(changes, on_cpu, on_gpu, monkeypatch):
    config = TrainingConfig(**changes)
    assert jit_compile(config) is on_cpu
    one = tf.distribute.MirroredStrategy(["CPU:0"])
    assert jit_compile(config, one) is on_cpu
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind])
    assert jit_compile(config) is jit_compile(config, one) is on_gpu


def test_xla_is_left_out_on_several_replicas(monkeypatch):
    from alexnet_keras.training import network

    monkeypatch.setattr(network, "replica_count", lambda strategy: 2)
    assert jit_compile(TrainingConfig(precision="float16"), object()) is False
    with pytest.raises(ValueError, match="`jit_compile` must not be True on.*with 2 replicas"):
        jit_compile(TrainingConfig(jit_compile=True), object())


def test_compiled_run_says_how_long_that_took(run, tmp_path, capsys):
    config = dataclasses.replace(run.config, jit_compile=True, epochs=1, batch_size=24)
    compiled = train(config, tmp_path / "compiled", verbose=0)
    assert capsys.readouterr().err.count("which XLA compiled, took") == 1
    assert read_config(compiled.folder)[0] == config


def test_config_of_before_xla_could_be_chosen(run, tmp_path):
    folder = shutil.copytree(run.folder, tmp_path / "old")
    saved = json.loads((folder / "config.json").read_text())
    del saved["config"]["jit_compile"]
    (folder / "config.json").write_text(json.dumps(saved))
    assert load_run(folder).config == run.config


def poison(model):
    """Makes one weight NaN."""
    kernel = model.get_layer("conv1").kernel
    kernel.assign(np.where(np.arange(kernel.shape[-1]) == 0, np.nan, kernel))


def test_weights_that_are_not_finite_do_not_replace_good_ones(run, tmp_path, monkeypatch):
    """The losses of the epoch are finite all the same."""

    def on_test_end(self, logs=None):
        if self.epoch == 1:
            poison(self.model)

    monkeypatch.setattr(StopDiverged, "on_test_end", on_test_end)
    config, out = dataclasses.replace(run.config, epochs=3), tmp_path / "poisoned"
    with pytest.raises(DivergedError, match="weights must stay finite.*conv1/kernel after epoch 2"):
        train(config, out, checkpoint_steps=100, verbose=0)
    for which in ("best", "last"):
        assert all(np.isfinite(x).all() for x in load_run(out, which).model.get_weights())
    monkeypatch.undo()
    assert len(resume(out, verbose=0).log()["loss"]) == 3


def test_run_with_weights_that_are_not_finite_is_refused(run, tmp_path):
    folder = shutil.copytree(run.folder, tmp_path / "nan")
    model = load_run(folder).model
    poison(model)
    model.save(folder / "best.keras")
    with pytest.raises(RunError, match="best.keras must hold finite weights.*conv1/kernel"):
        load_run(folder)
    load_run(folder, "last")
