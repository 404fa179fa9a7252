"""The state of a training run between two steps, kept so that it goes on to the bit.

Keras's `BackupAndRestore` keeps the weights and the optimizer, but begins the epoch anew, forgets
the metrics so far and the callbacks' states, and by default writes over the only copy.
"""

import contextlib
import functools
import json
import math
import os
import shutil
import signal
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from alexnet_keras.common import Interrupted, RunError, write_file
from alexnet_keras.training.writing import (
    BackgroundWriter,
    Interval,
    ModelFiles,
    host_copy,
    require_finite,
    state_variables,
)

CHECKPOINT = "checkpoint.npz"
"""Name of the file in the run's folder."""

_FORMAT = 1


def state_bytes(model: keras.Model) -> int:
    """Size of a checkpoint of a compiled model whose optimizer is built, in bytes."""
    return sum(4 * math.prod(x.shape) for x in state_variables(model))  # all of 32 bits


def require_room(model: keras.Model, folder: Path) -> None:
    """Checks that the models and checkpoints of a run fit on the disk.

    Raises:
        OSError: if they do not.
    """
    # best.keras, last.keras and the checkpoint, and one of them more while it is written.
    needed = 4 * state_bytes(model)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OSError(
            f"The disk of the run's folder must have {needed / 1e6:,.0f} MB free for its models "
            f"and checkpoints. Received: {folder} with {free / 1e6:,.0f} MB"
        )


def save_state(path: Path, values: list[np.ndarray], about: dict[str, Any]) -> None:
    """Writes the values of all variables, and a dictionary for JSON, into one file.

    The file that was there before is replaced when the new one is whole.

    Args:
        path: of the file.
        values: from `host_copy`.
        about: what else is to be kept.

    Raises:
        OSError: if it cannot be written, as on a full disk; the file before is left.
    """
    arrays = {f"{i:05}": value for i, value in enumerate(values)}
    text = json.dumps({"format": _FORMAT, **about})
    arrays["about"] = np.frombuffer(text.encode(), "uint8")

    def write(partial):
        with open(partial, "wb") as file:
            np.savez(file, **arrays)

    write_file(path, write)


def load_state(path: Path, model: keras.Model) -> tuple[dict[str, Any], Callable[[], None]]:
    """Reads what `save_state` wrote.

    Args:
        path: of the file.
        model: compiled as the one that was saved, its optimizer built. It is left as it is.

    Returns:
        The dictionary, and a function that gives the model the values.

    Raises:
        RunError: if the file is not whole, not a checkpoint, or of another model.
    """
    wanted = state_variables(model)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            about = json.loads(arrays["about"].tobytes())
            values = [arrays[name] for name in sorted(set(arrays.files) - {"about"})]
        if about["format"] != _FORMAT:
            raise ValueError(f"format {about['format']}")
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise RunError(
            f"The checkpoint must be as `train` wrote it. Received: {path} ({reason[:200]})"
        ) from None
    for variable, value in zip(wanted, values):
        if tuple(variable.shape) != value.shape:
            raise RunError(
                f"The checkpoint must be of this network. Received: {path} with shape "
                f"{value.shape} for {variable.path} of shape {tuple(variable.shape)}"
            )
    if len(wanted) != len(values):
        raise RunError(
            f"The checkpoint must be of this network, with {len(wanted)} variables. Received: "
            f"{path} with {len(values)}"
        )

    def restore():
        for variable, value in zip(wanted, values):
            variable.assign(value)

    return about, restore


class Checkpoints(keras.callbacks.Callback):
    """Keeps the run on the disk: `last.keras`, `best.keras` of the epoch with the best validation
    top-1, and the checkpoint; must be the last callback, and its `restore` be called by the first.

    A thread writes, from copies of the weights. The checkpoint, which says how good the best are,
    comes after those are on the disk, so that the files go together whenever it is killed.

    Args:
        folder: of the run.
        every: what comes between two checkpoints; there is one at the end in any case.
        steps_per_epoch: of a whole epoch.
        epochs: of the whole run.
        states: functions that give what else is to be kept, by name, for JSON.
        writes: whether this process writes; of several machines only the first does, and the others
            keep the best weights in memory. A signal to the others does not stop them, so that one
            to all leaves a checkpoint: when the first has stopped, they cannot go on.
    """

    def __init__(
        self,
        folder: Path,
        every: Interval,
        steps_per_epoch: int,
        epochs: int,
        states: dict[str, Callable[[], Any]],
        writes: bool = True,
    ):
        super().__init__()
        self.folder, self.every, self.states, self.writes = folder, every, states, writes
        self.steps_per_epoch, self.epochs = steps_per_epoch, epochs
        self.epoch, self.step = 0, 0
        self.best, self.best_weights = -1.0, None
        self.unwritten = None  # the state of the best epoch, while the disk lacks it
        self.wrote_models = False
        self.pending, self.files = None, None
        self.writer = BackgroundWriter()
        self.seconds, self.started = 0.0, time.perf_counter()
        self.seconds_writing = 0.0

    @contextlib.contextmanager
    def kept(self, model: keras.Model):
        """Where the model is trained; at the end, also of an error, all that is due is written."""
        self.set_model(model)
        if self.writes:
            self.files = ModelFiles(model)
        try:
            yield
            self._finish()
        except BaseException as error:
            try:
                self._finish()
            except Exception as another:
                error.add_note(f"And while the run was written: {another}")
            raise
        finally:
            self.writer.close()

    def begin(self) -> None:
        """Writes a checkpoint of a model that has not been trained yet."""
        if self.writes:
            self._save(0, 0, models=False)

    def resume(self, about: dict[str, Any], restore: Callable[[], None]) -> None:
        """Takes the position of a checkpoint; the values are given when training begins."""
        self.epoch, self.step, self.seconds = about["epoch"], about["step"], about["seconds"]
        self.best = about["best"]
        self.pending = restore

    def total_seconds(self) -> float:
        """Of training, over all the processes that the run has taken."""
        return self.seconds + time.perf_counter() - self.started

    def restore(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Gives the values of a checkpoint, at the beginning of an epoch.

        To be called before other callbacks begin theirs: a schedule then sets the new epoch's rate
        over that of the checkpoint, which may be of the one before.
        """
        if epoch != self.epoch:
            self.epoch, self.step = epoch, 0
        if self.pending:
            self.pending()
            self.pending = None
            if not self.step:  # the metrics are those of the validation before
                self.model.reset_metrics()

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        if self.step == self.steps_per_epoch or not self.writes:
            return  # on_epoch_end keeps the state, after validation
        self.writer.check()
        stop = _STOP.number
        if stop or self.every.ended(self.writer, self.step):
            self._save(self.epoch, self.step)
        self._stop(stop)

    def on_epoch_end(self, epoch, logs=None):
        better, values = logs["val_top1"] > self.best, None
        self.best = max(self.best, logs["val_top1"])
        if not self.writes:
            self.best_weights = self.model.get_weights() if better else self.best_weights
            return
        self.writer.check()
        if better:
            with self._counted():
                values = self.unwritten = host_copy(self.model)
        stop, last = _STOP.number, epoch + 1 == self.epochs
        if stop or last or not self.wrote_models or self.every.ended(self.writer):
            self._save(epoch + 1, 0, values)
        self._stop(stop)

    def _stop(self, number):
        if number:
            self.writer.wait()
            raise Interrupted(number, self.folder)

    def _save(self, epoch, step, values=None, models=True):
        about = {
            "epoch": epoch,
            "step": step,
            "seconds": round(self.total_seconds(), 1),
            "best": self.best,
            **{name: state() for name, state in self.states.items()},
        }
        with self._counted():
            self.writer.wait()  # before there are more copies
            values = host_copy(self.model) if values is None else values
            best, self.unwritten = self.unwritten, None
            self.writer.start(functools.partial(self._write, best, values, about, models))
        self.wrote_models = models

    def _write(self, best, values, about, models):
        if best is not None and best is not values:
            self._write_best(best)
        require_finite(values, self.model)
        if models:
            self.files.save(self.folder / "last.keras", values)
        if best is values:
            write_file(self.folder / "best.keras", self._link_last)
        save_state(self.folder / CHECKPOINT, values, about)

    def _write_best(self, best):
        require_finite(best, self.model)
        self.files.save(self.folder / "best.keras", best)

    def _link_last(self, path):
        """A second name for the file `last.keras`, which is never changed, but replaced."""
        path.unlink(missing_ok=True)
        try:
            os.link(self.folder / "last.keras", path)
        except OSError:  # not all file systems can
            shutil.copyfile(self.folder / "last.keras", path)

    def _finish(self):
        with self._counted():
            best, self.unwritten = self.unwritten, None
            self.writer.wait()
            if best is not None:
                self.writer.start(functools.partial(self._write_best, best))
                self.writer.wait()

    @contextlib.contextmanager
    def _counted(self):
        began = time.perf_counter()
        yield
        self.seconds_writing += time.perf_counter() - began


class _Stop:
    """The signal that has asked to stop, if any; 0 for none."""

    number = 0


_STOP = _Stop()


class stopping_on_signals:  # noqa: N801 (used as a function)
    """While training: SIGINT and SIGTERM end it after the step (a validation is finished first).

    A second signal acts at once, as it did before.
    """

    def __enter__(self):
        _STOP.number, self.before = 0, {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self.before[number] = signal.signal(number, self._handle)

    def _handle(self, number, frame):
        _STOP.number = number
        self._restore()

    def _restore(self):
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def __exit__(self, *error):
        self._restore()
        _STOP.number = 0
