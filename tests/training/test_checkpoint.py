import csv
import dataclasses
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest

from alexnet_keras.cli import main
from alexnet_keras.common import DataError, DivergedError, Interrupted, RunError
from alexnet_keras.configuration import TrainingConfig
from alexnet_keras.training import CHECKPOINT, checkpoint, resume, train
from alexnet_keras.training.checkpoint import load_state, save_state
from alexnet_keras.training.timing import COLUMNS
from alexnet_keras.training.writing import ModelFiles, host_copy, require_finite
from tests.training.conftest import train_and_copy

pytestmark = pytest.mark.slow

STEPS = 5  # an epoch: 36 pictures in batches of 8
EPOCHS = 3
KILLED = Path(__file__).with_name("killed.py")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, write_pictures):
    counts = {"blue": 15, "green": 15, "red": 15}
    return write_pictures(tmp_path_factory.mktemp("data"), counts, noise=200, color=50)


@pytest.fixture(scope="module")
def config(folder):
    """Dropout, batch normalization's averages and a falling rate: all that has a state."""
    return TrainingConfig(
        data=str(folder),
        image_size=64,
        width=0.05,
        epochs=EPOCHS,
        batch_size=8,
        normalization="batch",
        patience=1,
    )


CUTS = [
    ("step", 1),  # before the first checkpoint
    ("step", STEPS + 3),  # one step after that of a checkpoint, in the second epoch
    ("epoch", 2),  # the log is written, the models and the checkpoint are not
]


@pytest.fixture(scope="module")
def runs(config, tmp_path_factory):
    """The run that was never cut off, and those that were."""
    out = tmp_path_factory.mktemp("runs") / "straight"
    return out, train_and_copy(config, out, CUTS)


@pytest.fixture(scope="module")
def straight(runs):
    return runs[0]


def state(folder):
    """All that a checkpoint holds but the times, as bytes."""
    with np.load(folder / CHECKPOINT) as arrays:
        values = {name: arrays[name] for name in arrays.files}
    about = json.loads(values.pop("about").tobytes())
    del about["seconds"]
    about["log"] = without_times(about["log"])
    return about, {name: (x.dtype, x.shape, x.tobytes()) for name, x in values.items()}


def without_times(log):
    """The rows of a log but for what was measured in seconds."""
    rows = csv.DictReader(log.splitlines())
    return [{name: x for name, x in row.items() if name not in COLUMNS} for row in rows]


def weights(path):
    model = keras.saving.load_model(path, compile=False)
    return [x.tobytes() for x in model.get_weights()]


def require_equal(folder, straight):
    assert state(folder) == state(straight)
    logs = [without_times((path / "log.csv").read_text()) for path in (folder, straight)]
    assert logs[0] == logs[1] and len(logs[0]) > 1
    for name in ("best.keras", "last.keras"):
        assert weights(folder / name) == weights(straight / name)
    assert not list(folder.glob("partial-*"))


def test_checkpoint_holds_all_that_changes(straight):
    about, values = state(straight)
    assert (about["epoch"], about["step"]) == (EPOCHS, 0)
    assert about["log"] == without_times((straight / "log.csv").read_text())
    assert about["plateau"]["wait"] in (0.0, 1.0) and 0 <= about["best"] <= 1
    run = train.__globals__["load_run"](straight, "last")
    kept = {value for _, _, value in values.values()}
    for x in run.model.get_weights():
        assert x.tobytes() in kept


def test_killed_run_ends_as_the_straight_one(config, straight, tmp_path):
    """Killed while a checkpoint is written: in the place of the one before, half of it is there."""
    out = tmp_path / "run"
    arguments = [json.dumps(dataclasses.asdict(config)), str(out)]
    done = subprocess.run([sys.executable, KILLED, *arguments], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert (out / f"partial-{CHECKPOINT}").exists()
    resume(out, checkpoint_steps=2, verbose=0)
    require_equal(out, straight)


@pytest.mark.parametrize("place", CUTS)
def test_run_cut_off_ends_as_the_straight_one(place, runs):
    straight, cut_off = runs
    resume(cut_off[place], checkpoint_steps=2, verbose=0)
    require_equal(cut_off[place], straight)


@pytest.fixture
def ever_better(monkeypatch):
    """Every epoch is the best so far."""
    original = checkpoint.Checkpoints.on_epoch_end

    def on_epoch_end(self, epoch, logs=None):
        original(self, epoch, {**logs, "val_top1": (1 + epoch) / 8})

    monkeypatch.setattr(checkpoint.Checkpoints, "on_epoch_end", on_epoch_end)


def test_models_wait_in_memory_until_they_are_due(config, ever_better, tmp_path, monkeypatch):
    """Killed when the best weights and the last epochs are not on the disk, it ends as without."""
    saved, original = [], ModelFiles.save

    def save(self, path, values):
        saved.append(path.name)
        original(self, path, values)

    monkeypatch.setattr(ModelFiles, "save", save)
    place = ("epoch", 3)
    out = tmp_path / "straight"
    cut_off = train_and_copy(config, out, [place], checkpoint_seconds=1e9)[place]
    assert saved == ["last.keras"] * 2  # of the first epoch and the last; they are the best, too
    assert state(cut_off)[0]["epoch"] == 1
    assert weights(out / "best.keras") == weights(out / "last.keras")
    resume(cut_off, checkpoint_seconds=1e9, verbose=0)
    require_equal(cut_off, out)


def test_error_leaves_the_best_weights_on_the_disk(config, ever_better, tmp_path, monkeypatch):
    original, seen = checkpoint.Checkpoints.on_train_batch_end, []

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == 2:  # the second epoch's weights are better, and not yet written
            raise RuntimeError("no more")
        original(self, batch, logs)
        seen[:] = self.model.get_weights()

    monkeypatch.setattr(checkpoint.Checkpoints, "on_train_batch_end", on_train_batch_end)
    with pytest.raises(RuntimeError, match="no more"):
        train(config, tmp_path / "run", checkpoint_seconds=1e9, verbose=0)
    assert state(tmp_path / "run")[0]["epoch"] == 1
    assert weights(tmp_path / "run" / "best.keras") == [np.asarray(x).tobytes() for x in seen]


@pytest.fixture(scope="module")
def cosine(config, tmp_path_factory):
    """A straight run whose rate falls with every epoch."""
    config = dataclasses.replace(config, schedule="cosine", epochs=2)
    out = tmp_path_factory.mktemp("runs") / "cosine"
    train(config, out, checkpoint_steps=2, verbose=0)
    return config, out


@pytest.mark.parametrize("number, steps", [(signal.SIGTERM, STEPS), (signal.SIGINT, STEPS + 2)])
def test_signal_writes_a_checkpoint(number, steps, cosine, tmp_path, monkeypatch):
    """And the rate is that of the schedule: a checkpoint after an epoch holds that of the epoch."""
    config, straight = cosine
    original, seen = checkpoint.Checkpoints.on_train_batch_end, []

    def on_train_batch_end(self, batch, logs=None):
        seen.append(batch)
        if len(seen) == steps:
            os.kill(os.getpid(), number)
            time.sleep(0.01)  # the handler runs between two instructions
        original(self, batch, logs)

    monkeypatch.setattr(checkpoint.Checkpoints, "on_train_batch_end", on_train_batch_end)
    before = signal.getsignal(number)
    out = tmp_path / "a run"
    with pytest.raises(Interrupted, match=rf"{number.name}; `resume\('{out}'\)` goes on") as caught:
        train(config, out, checkpoint_steps=1000, verbose=0)
    assert caught.value.number == number and signal.getsignal(number) is before
    about, _ = state(out)
    assert (about["epoch"], about["step"]) == divmod(steps, STEPS)
    resume(out, verbose=0)
    require_equal(out, straight)


def test_signal_to_the_command_line(config, folder, tmp_path):
    out = tmp_path / "run"
    arguments = ["--data", str(folder), "--image-size", "64", "--width", "0.05"]
    arguments += ["--epochs", "1000", "--batch-size", "8", "--out", str(out)]
    process = subprocess.Popen(
        [sys.executable, "-m", "alexnet_keras", "train", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stdout:
        if line.startswith("Epoch 3/"):
            process.terminate()
            break
    _, errors = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    assert errors.splitlines()[-1] == (
        f"alexnet-keras: stopped by SIGTERM; `resume('{out}')` (--resume {out}) goes on"
    )
    assert state(out)[0]["epoch"] >= 2


def test_full_disk_leaves_the_last_checkpoint(config, straight, tmp_path, monkeypatch):
    savez, calls = np.savez, []

    def full(file, **arrays):
        if "about" in arrays:
            calls.append(file)
            if len(calls) == 5:  # in the second epoch
                file.write(b"half")
                raise OSError(errno.ENOSPC, "No space left on device")
        savez(file, **arrays)

    monkeypatch.setattr(np, "savez", full)
    out = tmp_path / "run"
    with pytest.raises(OSError, match="No space left"):
        train(config, out, checkpoint_steps=2, verbose=0)
    monkeypatch.setattr(np, "savez", savez)
    assert state(out)[0]["epoch"] == 1 and not list(out.glob("partial-*"))
    resume(out, checkpoint_steps=2, verbose=0)
    require_equal(out, straight)


def test_finished_run_is_reported_again(straight, tmp_path):
    shutil.copytree(straight, tmp_path / "run")
    run = resume(tmp_path / "run", verbose=0)
    assert len(run.log()["epoch"]) == EPOCHS
    require_equal(tmp_path / "run", straight)


@pytest.fixture
def copy(straight, tmp_path):
    shutil.copytree(straight, tmp_path / "run")
    return tmp_path / "run"


def content(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def truncated(path):
    path.write_bytes(path.read_bytes()[:-200])


def flipped(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def foreign(path):
    np.savez(path, x=np.zeros(3))


@pytest.mark.parametrize("damage", [truncated, flipped, foreign])
def test_damaged_checkpoint_is_refused(damage, copy):
    damage(copy / CHECKPOINT)
    before = content(copy)
    with pytest.raises(RunError, match=f"checkpoint must be as `train` wrote it.*{CHECKPOINT}"):
        resume(copy, verbose=0)
    assert content(copy) == before


def test_checkpoint_of_another_network_is_refused(copy):
    saved = json.loads((copy / "config.json").read_text())
    saved["config"]["width"] = 0.1
    (copy / "config.json").write_text(json.dumps(saved))
    before = content(copy)
    with pytest.raises(RunError, match="must be of this network.*with shape"):
        resume(copy, verbose=0)
    assert content(copy) == before


def test_changed_data_is_refused(copy, folder):
    new = folder / "red" / "new.jpg"
    shutil.copy(folder / "red" / "0.jpg", new)
    before = content(copy)
    try:
        with pytest.raises(DataError, match="as it was when the run began"):
            resume(copy, verbose=0)
    finally:
        new.unlink()
    assert content(copy) == before


@pytest.mark.parametrize(
    "option, received",
    [
        (["--epochs", "9"], "`--epochs` must be that of the run, 3.*Received: 9"),
        (["--no-mirror"], "`--mirror` must be that of the run, True.*Received: False"),
        (["--learning-rate=1"], "`--learning-rate` must be that of the run, 0.01"),
    ],
)
def test_changed_configuration_is_refused(option, received, copy, capsys):
    before = content(copy)
    assert main(["train", "--resume", str(copy), *option]) == 1
    error = capsys.readouterr().err
    assert re.search(received, error) and len(error.splitlines()) == 1
    assert content(copy) == before


def test_folder_that_holds_a_run_says_how_to_go_on(copy, folder, capsys):
    before = content(copy)
    assert main(["train", "--data", str(folder), "--out", str(copy)]) == 1
    assert (
        f"holds a run; `resume('{copy}')` (--resume {copy}) goes on with it"
        in capsys.readouterr().err
    )
    assert main(["train", "--resume", str(copy.parent)]) == 1
    assert "A run must hold config.json" in capsys.readouterr().err
    assert content(copy) == before


def test_weights_that_are_not_finite_are_not_kept(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    model.optimizer.build(model.trainable_variables)
    save_state(tmp_path / CHECKPOINT, host_copy(model), {"epoch": 1})
    kernel, bias = model.get_weights()
    model.set_weights([kernel * np.nan, bias])
    with pytest.raises(DivergedError, match="weights must stay finite.*kernel"):
        require_finite(host_copy(model), model)
    about, restore = load_state(tmp_path / CHECKPOINT, model)
    restore()
    assert about["epoch"] == 1
    np.testing.assert_array_equal(model.get_weights()[0], kernel)


def test_full_disk_is_noticed_before_the_start(config, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    out = tmp_path / "run"
    with pytest.raises(OSError, match=r"must have [\d,]+ MB free.*Received: .* with 1 MB"):
        train(config, out, verbose=0)
    assert not list(out.glob("*"))


def test_keras_backup_and_restore_begins_the_epoch_anew(tmp_path):
    """Why it is not used here."""
    x, y = np.random.default_rng(0).normal(size=(2, 40, 1))
    seen = []

    class Count(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(batch)
            if len(seen) == 13:  # the fourth step of the second epoch
                raise KeyboardInterrupt

    def fit():
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup", save_freq=2)
        model.fit(x, y, batch_size=4, epochs=3, callbacks=[backup, Count()], verbose=0)
        return int(model.optimizer.iterations.numpy())

    with pytest.raises(KeyboardInterrupt):
        fit()
    assert fit() != 3 * 10  # steps that a straight run takes
    assert seen[13] == 0


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_goes_on_too(precision, config, tmp_path):
    config = dataclasses.replace(config, precision=precision, epochs=2, schedule="constant")
    config = dataclasses.replace(config, batch_size=9)  # four whole batches: XLA compiles each size
    place = ("step", 4 + 3)
    cut_off = train_and_copy(config, tmp_path / "straight", [place])[place]
    model = resume(cut_off, verbose=0).model
    require_equal(cut_off, tmp_path / "straight")
    assert model.jit_compile is (precision == "float16")
    with warnings.catch_warnings(action="error"):  # Keras skips a state that does not fit with one
        again = keras.saving.load_model(cut_off / "last.keras")
    assert int(again.optimizer.iterations) > 0
