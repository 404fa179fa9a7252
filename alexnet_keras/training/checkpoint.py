"""The state of a training run between two steps, kept so that it goes on to the bit.

Keras's `BackupAndRestore` keeps the weights and the optimizer, but begins the epoch anew, forgets
the metrics so far and the callbacks' states, and by default writes over the only copy.
"""

import json
import math
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

from alexnet_keras.common import DivergedError, Interrupted, RunError, write_file

CHECKPOINT = "checkpoint.npz"
"""Name of the file in the run's folder."""

_FORMAT = 1


def _variables(model: keras.Model) -> list[keras.Variable]:
    """Weights, states of random generators, optimizer and metrics, each once, in a fixed order."""
    every = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    return list({id(variable): variable for variable in every}.values())


def state_bytes(model: keras.Model) -> int:
    """Size of a checkpoint of a compiled model whose optimizer is built, in bytes."""
    return sum(4 * math.prod(variable.shape) for variable in _variables(model))  # all of 32 bits


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


def save_state(path: Path, model: keras.Model, about: dict[str, Any]) -> None:
    """Writes the values of all variables, and a dictionary for JSON, into one file.

    The file that was there before is replaced when the new one is whole.

    Raises:
        DivergedError: if a value is not finite; nothing is written.
        OSError: if it cannot be written, as on a full disk; the file before is left.
    """
    if hasattr(model, "jax_state_sync"):
        model.jax_state_sync()
    arrays = {}
    for i, variable in enumerate(_variables(model)):
        arrays[f"{i:05}"] = value = keras.ops.convert_to_numpy(variable)
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise DivergedError(
                "The weights must stay finite. Received: NaN or infinity in "
                f"{variable.path}; try a smaller `learning_rate`"
            )
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
    wanted = _variables(model)
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
    """Writes a checkpoint every so many steps and after every epoch; must be the last callback, and
    its `restore` be called by the first one.

    Args:
        folder: of the run.
        steps: between two checkpoints within an epoch.
        steps_per_epoch: of a whole epoch.
        states: functions that give what else is to be kept, by name, for JSON.
        writes: whether this process writes; of several machines only the first does. A signal to
            the others does not stop them, so that one to all leaves a checkpoint: when the first
            has stopped, they cannot go on.
    """

    def __init__(
        self,
        folder: Path,
        steps: int,
        steps_per_epoch: int,
        states: dict[str, Callable[[], Any]],
        writes: bool = True,
    ):
        super().__init__()
        self.folder, self.steps, self.steps_per_epoch = folder, steps, steps_per_epoch
        self.states, self.writes = states, writes
        self.epoch, self.step = 0, 0
        self.pending = None
        self.seconds, self.started = 0.0, time.perf_counter()

    def begin(self, model: keras.Model) -> None:
        """Writes a checkpoint of a model that has not been trained yet."""
        self.set_model(model)
        self._save(0, 0)

    def resume(self, about: dict[str, Any], restore: Callable[[], None]) -> None:
        """Takes the position of a checkpoint; the values are given when training begins."""
        self.epoch, self.step, self.seconds = about["epoch"], about["step"], about["seconds"]
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
        if self.step == self.steps_per_epoch:
            return  # on_epoch_end keeps the state, after validation
        stop = _STOP.number if self.writes else 0
        if stop or self.step % self.steps == 0:
            self._save(self.epoch, self.step)
        if stop:
            raise Interrupted(stop, self.folder)

    def on_epoch_end(self, epoch, logs=None):
        self._save(epoch + 1, 0)
        if _STOP.number and self.writes:
            raise Interrupted(_STOP.number, self.folder)

    def _save(self, epoch, step):
        if not self.writes:
            return
        about = {
            "epoch": epoch,
            "step": step,
            "seconds": round(self.total_seconds(), 1),
            **{name: state() for name, state in self.states.items()},
        }
        save_state(self.folder / CHECKPOINT, self.model, about)


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
