"""Where the seconds of an epoch go."""

import collections
import csv
import io
import math
import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

COLUMNS = (
    "images_per_second",
    *("seconds_data", "seconds_steps", "seconds_validation", "seconds_writing"),
)
"""What an epoch's line in `log.csv` says of time, which is never twice the same."""


class EpochSeconds(keras.callbacks.Callback):
    """Adds to the log of an epoch, for the callbacks behind it, what the time went to.

    - `seconds_data`: the loop waited for a batch;
    - `seconds_steps`: the rest of the time between the first step and the last;
    - `seconds_validation`;
    - `seconds_writing`: the loop waited for models and checkpoints, since the line before.

    The first wait of a call of `fit` cannot be told from compiling, and counts as part of the step.

    Args:
        writing: gives the seconds that were spent so far on models and checkpoints.

    Example:

    >>> import keras, numpy as np, tensorflow as tf
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> seconds, x = EpochSeconds(), np.ones((8, 1), "float32")
    >>> batches = seconds.watched(tf.data.Dataset.from_tensor_slices((x, x)).batch(4))
    >>> callbacks = [seconds, seconds.at_the_end()]
    >>> history = model.fit(batches, validation_data=(x, x), callbacks=callbacks, verbose=0)
    >>> [name for name in sorted(history.history) if "seconds" in name]
    ['seconds_data', 'seconds_steps', 'seconds_validation', 'seconds_writing']
    """

    def __init__(self, writing: Callable[[], float] = lambda: 0.0):
        super().__init__()
        self.writing, self.written_before = writing, 0.0
        self.ready: collections.deque[float] = collections.deque()

    def watched(self, batches: tf.data.Dataset) -> tf.data.Dataset:
        """The batches for `fit`: the time at which each is ready is noted.

        A step itself waits for its batch, where no callback can see it, but on PyTorch.
        """
        self.ready = ready = collections.deque()

        def note():
            ready.append(time.perf_counter())
            return np.int32(0)

        def noted(*batch):
            with tf.control_dependencies([tf.numpy_function(note, [], tf.int32)]):
                return tf.nest.map_structure(tf.identity, batch)

        options = tf.data.Options()  # nothing is to be fetched ahead behind it
        options.experimental_optimization.inject_prefetch = False
        return batches.map(noted).with_options(options)

    def at_the_end(self) -> keras.callbacks.Callback:
        """The part of it that must stand behind all callbacks that work between two steps."""
        return keras.callbacks.LambdaCallback(on_train_batch_end=self._step_ended)

    def on_train_begin(self, logs=None):
        self.compiled = False

    def on_epoch_begin(self, epoch, logs=None):
        self.began = self.ended = time.perf_counter()
        self.written = self.writing()
        self.data = self.steps = self.validation = 0.0

    def on_train_batch_begin(self, batch, logs=None):
        self.came = time.perf_counter()
        if keras.backend.backend() == "torch":  # the step is handed its batch
            self.data += self.came - self.ended

    def on_train_batch_end(self, batch, logs=None):
        if self.ready:
            # Keras for JAX waits in a step for the batch of one that comes after.
            newest = self.ready[-1]
            own = self.ready.popleft()
            wait = (newest if keras.backend.backend() == "jax" else own) - self.came
            self.data += max(0.0, wait) if self.compiled else 0.0
        self.compiled = True

    def _step_ended(self, batch, logs=None):
        self.ended = time.perf_counter()

    def on_test_begin(self, logs=None):
        self.tested = time.perf_counter()
        self.steps = self.tested - self.began - self.data - (self.writing() - self.written)

    def on_test_end(self, logs=None):
        self.validation = time.perf_counter() - self.tested

    def on_epoch_end(self, epoch, logs=None):
        written = self.writing()
        logs.setdefault("images_per_second", math.nan)
        logs |= {
            "seconds_data": self.data,
            "seconds_steps": self.steps,
            "seconds_validation": self.validation,
            "seconds_writing": written - self.written_before,
        }
        self.written_before = written


def with_columns_of_time(log: str) -> str:
    """A log whose lines are to be followed by such that have the columns of time.

    Args:
        log: text of a `log.csv`; one of before 0.1.0 lacks the columns.

    Returns:
        The same lines, with `nan` where nothing is known, and the columns in Keras's order.

    Example:

    >>> for line in with_columns_of_time("epoch,loss,top1\\n0,2.25,0.125\\n").splitlines():
    ...     print(line)
    epoch,images_per_second,loss,seconds_data,seconds_steps,seconds_validation,seconds_writing,top1
    0,nan,2.25,nan,nan,nan,nan,0.125
    """
    rows = list(csv.DictReader(io.StringIO(log, newline="")))
    if not rows or set(COLUMNS) <= rows[0].keys():
        return log
    text = io.StringIO(newline="")
    names = ["epoch", *sorted({*rows[0], *COLUMNS} - {"epoch"})]
    writer = csv.DictWriter(text, names, restval="nan", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
