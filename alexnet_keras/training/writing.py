"""Files written beside the training, from copies of the weights on the host."""

import dataclasses
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import keras
import numpy as np

from alexnet_keras.common import DivergedError, check_integer, check_number, write_file
from alexnet_keras.devices import without_distribution


class BackgroundWriter:
    """A thread that does one job at a time, while another may go on.

    Example:

    >>> writer, done = BackgroundWriter(), []
    >>> writer.start(lambda: done.append("written"))
    >>> writer.wait()
    >>> done
    ['written']
    >>> writer.close()
    """

    def __init__(self):
        self._executor = ThreadPoolExecutor(1, "writer")
        self._job: Future | None = None
        self._ended = time.perf_counter()

    def start(self, job: Callable[[], Any]) -> None:
        """Begins a job, when the one before has ended; raises what went wrong with that."""
        self.wait()
        self._job = self._executor.submit(self._do, job)

    def _do(self, job):
        try:
            job()
        finally:
            self._ended = time.perf_counter()

    @property
    def busy(self) -> bool:
        return self._job is not None and not self._job.done()

    def check(self) -> None:
        """Raises what went wrong with the last job, if it has ended."""
        if not self.busy:
            self.wait()

    def wait(self) -> None:
        """Waits for the last job to end, and raises what went wrong with it."""
        job, self._job = self._job, None
        if job is not None:
            job.result()

    def idle_for(self, seconds: float) -> bool:
        """Whether there has been no job for so many seconds."""
        return not self.busy and time.perf_counter() - self._ended >= seconds

    def close(self) -> None:
        self._executor.shutdown()


@dataclasses.dataclass(frozen=True)
class Interval:
    """What comes between two checkpoints.

    Attributes:
        seconds: from one to the first step, or end of an epoch, at which the next is due.
        steps: of an epoch, in the place of the seconds; there is then one after each epoch, too.

    Raises:
        ValueError: if one is no number, or below 0, of steps below 1.

    Example:

    >>> writer = BackgroundWriter()
    >>> every = Interval(steps=500)
    >>> [every.ended(writer, step=step) for step in (499, 500, None)]
    [False, True, True]
    >>> Interval(seconds=60).ended(writer)
    False
    """

    seconds: float = 60.0
    steps: int | None = None

    def __post_init__(self):
        check_number("checkpoint_seconds", self.seconds, minimum=0)
        if self.steps is not None:
            check_integer("checkpoint_steps", self.steps, minimum=1)

    def ended(self, writer: BackgroundWriter, step: int | None = None) -> bool:
        """Whether a checkpoint is due after a step of an epoch, or (`None`) after the epoch."""
        if self.steps is not None:
            return step is None or step % self.steps == 0
        return writer.idle_for(self.seconds)


def state_variables(model: keras.Model) -> list[keras.Variable]:
    """Weights, states of random generators, optimizer and metrics, each once, in a fixed order."""
    every = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    return list({id(variable): variable for variable in every}.values())


def host_copy(model: keras.Model) -> list[np.ndarray]:
    """The values of `state_variables`, which the steps that come do not change."""
    if hasattr(model, "jax_state_sync"):
        model.jax_state_sync()
    # A view of a variable's memory would change with it.
    return [np.array(keras.ops.convert_to_numpy(x)) for x in state_variables(model)]


def require_finite(values: list[np.ndarray], model: keras.Model) -> None:
    """Checks a copy of a model's state.

    Raises:
        DivergedError: if a value is not finite.
    """
    for value, variable in zip(values, state_variables(model)):
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise DivergedError(
                "The weights must stay finite. Received: NaN or infinity in "
                f"{variable.path}; try a smaller `learning_rate`"
            )


def first_not_finite(model: keras.Model) -> str | None:
    """The path of the first of a model's variables, its optimizer's included, that holds a NaN or
    infinity; looked for on the device, where they are.

    Example:

    >>> import keras, numpy as np
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, name="fc")])
    >>> _ = model.layers[0].bias.assign(np.array([np.nan]))
    >>> first_not_finite(model).endswith("fc/bias")
    True
    """
    if hasattr(model, "jax_state_sync"):
        model.jax_state_sync()
    optimizer = getattr(model, "optimizer", None)  # a model that is not compiled has none
    variables = [*model.variables, *(optimizer.variables if optimizer else ())]
    variables = [x for x in variables if "float" in x.dtype]
    # All are asked before the first answer is waited for.
    finite = [keras.ops.all(keras.ops.isfinite(x)) for x in variables]
    return next((x.path for x, good in zip(variables, finite) if not bool(good)), None)


class ModelFiles:
    """Writes a model's `.keras` files from copies of its state, while it is trained on.

    A second model, on the CPU, takes the values of each copy.

    Args:
        model: compiled, its optimizer built.
    """

    def __init__(self, model: keras.Model):
        with keras.device("cpu"), without_distribution():
            config = keras.saving.serialize_keras_object(model)
            self._twin = keras.saving.deserialize_keras_object(config)

    def save(self, path: Path, values: list[np.ndarray]) -> None:
        """Writes the model as it was when `host_copy` made the copy.

        Raises:
            OSError: if it cannot be written, as on a full disk; the file before is left.
        """
        with keras.device("cpu"), without_distribution():
            for variable, value in zip(state_variables(self._twin), values):
                variable.assign(value)
            write_file(path, self._twin.save)
