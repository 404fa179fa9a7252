import csv
import dataclasses
import json
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from alexnet_keras.common import DataError, RunError
from alexnet_keras.configuration import TrainingConfig
from alexnet_keras.evaluation import evaluate
from alexnet_keras.training import (
    load_run,
    train,
)
from alexnet_keras.training.run import read_statistics


def test_best_is_the_best_epoch_and_last_the_last(run):
    for which, epoch in (("best", run.log()["val_top1"].argmax()), ("last", -1)):
        again = load_run(run.folder, which)
        result = evaluate(again.model, again.open_dataset(), again.statistics)
        assert 1 - result.top1_error == pytest.approx(run.log()["val_top1"][epoch])


def test_folder_without_a_run(tmp_path):
    with pytest.raises(RunError, match="A run must hold config.json. Received: "):
        load_run(tmp_path)


@pytest.mark.parametrize(
    "text", ['{"config": {"epoch": 3}}', '{"config": {"epochs": 0}}', "[", "[]"]
)
def test_run_with_a_broken_configuration(run, tmp_path, text):
    shutil.copytree(run.folder, tmp_path / "run")
    (tmp_path / "run" / "config.json").write_text(text)
    with pytest.raises(RunError, match="config.json must be as `train` wrote it"):
        load_run(tmp_path / "run")


def test_runs_are_equal_to_themselves_alone(run):
    """A comparison of their arrays would be an array."""
    other = load_run(run.folder)
    assert run == run and run != other and run.statistics != other.statistics
    assert len({run, other, run.statistics, other.statistics}) == 4


@pytest.mark.slow
def test_run_is_evaluated_from_another_folder(run, tmp_path, monkeypatch):
    data = Path(run.config.data)
    monkeypatch.chdir(data.parent)
    relative = dataclasses.replace(run.config, data=data.name, epochs=1)
    again = train(relative, tmp_path / "run", verbose=0)
    monkeypatch.chdir(tmp_path)
    assert load_run(again.folder).open_dataset().sizes == run.open_dataset().sizes


@pytest.mark.slow
def test_changed_data_is_refused(run, tmp_path):
    shutil.copytree(run.config.data, tmp_path / "data")
    config = dataclasses.replace(run.config, data=str(tmp_path / "data"), epochs=1)
    again = load_run(train(config, tmp_path / "run", verbose=0).folder)
    before = {split: ids(again.open_dataset(), split) for split in ("train", "validation")}
    shutil.copy(tmp_path / "data" / "red" / "0.jpg", tmp_path / "data" / "red" / "new.jpg")
    with pytest.raises(DataError, match="must be as it was in training"):
        again.open_dataset()
    other = again.open_dataset(tmp_path / "data")  # named explicitly: other data
    assert not ids(other, "validation") & before["train"]
    shutil.move(tmp_path / "data", tmp_path / "moved")
    assert again.open_dataset(tmp_path / "moved").fingerprint == other.fingerprint


def ids(dataset, split):
    return {example["id"] for example in dataset.encoded(split).as_numpy_iterator()}


@pytest.mark.parametrize("name", ["statistics.npz", "best.keras"])
def test_damaged_run(run, tmp_path, name):
    shutil.copytree(run.folder, tmp_path / "run")
    path = tmp_path / "run" / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(RunError, match=f"{name} must be as `train` wrote it"):
        load_run(tmp_path / "run")


def test_log_is_a_csv_file(run):
    with open(run.folder / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1"]


@pytest.mark.slow
@pytest.mark.portable
def test_trained_network_of_the_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = load_run()
    assert run.config == TrainingConfig()  # what `alexnet-keras train` does
    result = evaluate(run.model, run.open_dataset(), run.statistics)
    log = run.log()
    assert log["val_top1"].max() == pytest.approx(1 - result.top1_error, abs=2 / 337)  # rounding
    assert len(log["epoch"]) == run.config.epochs
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    assert f"| {1 - log['val_top1'].max():.2%} |".replace("%", " %") in readme
    (tmp_path / "openclipart").mkdir()  # such a folder changes nothing, as with the data
    assert load_run("openclipart").config == run.config
    # A later Keras than the oldest that is required would write arguments that this does not know.
    with zipfile.ZipFile(run.folder / "best.keras") as archive:
        written_by = json.loads(archive.read("metadata.json"))["keras_version"]
    requirements = (Path(__file__).parents[2] / "requirements.txt").read_text(encoding="utf-8")
    oldest = re.search(r"^keras>=(\d+)\.(\d+),", requirements, re.MULTILINE)
    assert [int(n) for n in written_by.split(".")[:2]] <= [int(n) for n in oldest.groups()]


def test_statistics_of_before_tell_by_the_configuration_what_is_subtracted(run, tmp_path):
    """Their files lack it, and the mean image was a parameter of each call."""
    with np.load(run.folder / "statistics.npz") as arrays:
        older = {name: array for name, array in arrays.items() if name != "subtract"}
    np.savez(tmp_path / "statistics.npz", **older)
    for mean in ("color", "image"):
        config = dataclasses.replace(run.config, mean=mean)
        assert read_statistics(tmp_path, config).subtract == mean
