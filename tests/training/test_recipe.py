import dataclasses
import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from alexnet_keras.common import DataError, DivergedError, RunError
from alexnet_keras.configuration import Devices, TrainingConfig
from alexnet_keras.devices import choose_strategy
from alexnet_keras.evaluation import evaluate
from alexnet_keras.pictures import open_dataset
from alexnet_keras.training import (
    jit_compile,
    train,
)
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
    "changes, compiled",
    [
        ({}, True),
        ({"precision": "bfloat16"}, False),
        ({"deterministic": True}, False),  # Keras would warn, and go on without XLA
    ],
)
def test_xla_compiles_float16_on_one_cpu(changes, compiled, monkeypatch):
    config = TrainingConfig(**{"precision": "float16"} | changes)
    assert jit_compile(config) is compiled
    assert jit_compile(config, choose_strategy(Devices("mirrored"))) is False
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind])
    assert jit_compile(config) is False
