"""What happens between epochs: the schedule, the models that are kept, and what is said."""

import math
import sys
import time
from pathlib import Path

import keras
import numpy as np

from alexnet_keras.common import DivergedError
from alexnet_keras.configuration import DESCENDANTS, TrainingConfig
from alexnet_keras.training.checkpoint import CHECKPOINT
from alexnet_keras.training.writing import first_not_finite


class StuckLoss(keras.callbacks.Callback):
    """Says what to try when the loss stays at that of guessing.

    A network that looks at nothing comes to know the classes' shares: its loss is their entropy,
    ln(classes) where all are equal.

    Args:
        class_shares: share of each class in the training split.
        config: the run's configuration, for the advice.
        patience: epochs to wait.
        tolerance: how far below guessing, as a share of its loss, still counts as stuck.
    """

    def __init__(
        self,
        class_shares: np.ndarray,
        config: TrainingConfig,
        patience: int = 3,
        tolerance: float = 0.02,
    ):
        super().__init__()
        shares = class_shares[class_shares > 0]
        self.chance = float(-(shares * np.log(shares)).sum())
        self.classes = len(class_shares)
        self.config, self.patience, self.tolerance = config, patience, tolerance
        self.epochs_stuck = 0
        self.advised = False

    def on_epoch_end(self, epoch, logs=None):
        stuck = logs["loss"] > (1 - self.tolerance) * self.chance
        self.epochs_stuck = self.epochs_stuck + 1 if stuck else 0
        if self.epochs_stuck >= self.patience and not self.advised:
            self.advised = True
            advice = ["a `learning_rate` 3 times smaller or larger"]
            if self.config.initialization == "variant":
                advice.insert(
                    0,
                    "`initialization='he'` (the biases of 1 and the small weights of the original "
                    "often hold a small network there)",
                )
            if (
                self.config.width < 1
                and self.config.dropout
                and self.config.variant not in DESCENDANTS
            ):
                advice.append("less `dropout`")
            print(
                f"\nFor {self.epochs_stuck} epochs the loss has stayed at that of guessing: "
                f"{self.chance:.3f} for these class sizes, ln({self.classes}) = "
                f"{math.log(self.classes):.3f} for equal ones. Try {'; or '.join(advice)}.",
                file=sys.stderr,
            )


class StopDiverged(keras.callbacks.Callback):
    """Stops before weights that are not finite take the place of good ones."""

    def __init__(self, out: Path, first_step: int):
        super().__init__()
        self.out, self.first_step, self.epoch = out, first_step, None

    def on_epoch_begin(self, epoch, logs=None):
        if self.epoch is not None:  # an epoch that is resumed is not begun at its first step
            self.first_step = 0
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if logs:  # the loss is the mean of the epoch: what was not finite once is not again
            step = self.first_step + batch + 1
            self._check(logs["loss"], f"step {step} of epoch {self.epoch + 1} or just before")

    def on_epoch_end(self, epoch, logs=None):
        self._check(logs["val_loss"], f"the validation of epoch {epoch + 1}")
        # Max pooling and ReLU can turn NaN into numbers: a finite loss does not tell all.
        name = first_not_finite(self.model)
        if name is not None:
            self._stop("weights", f"NaN or infinity in {name} after epoch {epoch + 1}")

    def _check(self, loss, where):
        if not math.isfinite(loss):
            self._stop("loss", f"{float(loss)} in {where}")

    def _stop(self, what, received):
        kept = [name for name in ("last.keras", CHECKPOINT) if (self.out / name).exists()]
        raise DivergedError(
            f"The {what} must stay finite. Received: {received}; try a smaller `learning_rate`"
            + (f"; {' and '.join(kept)} in {self.out} are from before" if kept else "")
        )


class PaperPlateau(keras.callbacks.ReduceLROnPlateau):
    """The paper's rule; its state outlives the call of `fit`."""

    STATE = ("best", "wait", "cooldown_counter")

    def on_train_begin(self, logs=None):
        pass  # Keras's would forget the best epoch

    def state(self) -> dict[str, float | None]:
        values = {name: getattr(self, name) for name in self.STATE}
        return {name: x if x is None else float(x) for name, x in values.items()}

    def restore(self, state: dict[str, float | None]) -> None:
        for name in self.STATE:
            setattr(self, name, state[name])


class SeldomReading(keras.callbacks.CallbackList):
    """Callbacks that are told the metrics of the first step, of every 20th and of the last.

    Keras's own list reads them after every step, and so has the device wait for the next one.
    """

    EVERY = 20

    def on_train_batch_end(self, batch, logs=None):
        read = batch == 0 or (batch + 1) % self.EVERY == 0 or batch + 1 == self.params["steps"]
        super().on_train_batch_end(batch, logs if read else None)

    def on_test_batch_end(self, batch, logs=None):
        super().on_test_batch_end(batch)


class CompilingTime(keras.callbacks.Callback):
    """Says once how long the first step took, where XLA compiles it."""

    def __init__(self):
        super().__init__()
        self.started, self.said = None, False

    def on_train_batch_begin(self, batch, logs=None):
        if self.started is None:
            self.started = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        if not self.said and self.model.jit_compile:
            seconds = time.perf_counter() - self.started
            print(f"\nThe first step, which XLA compiled, took {seconds:.1f} s.", file=sys.stderr)
        self.said = True


class ImagesPerSecond(keras.callbacks.Callback):
    """Adds the images a second to what the callbacks behind it log.

    The clock is stopped where the metrics are told, for which the device has been waited for.
    """

    def __init__(self, images: int):
        super().__init__()
        self.images = images

    def on_epoch_begin(self, epoch, logs=None):
        self.steps, self.seconds = 0, 0.0
        self.unread, self.started = 0, None

    def on_train_batch_begin(self, batch, logs=None):
        if self.started is None:
            self.started = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self.unread += 1
        if not logs:
            return
        if batch:  # the first waits for the graph to be compiled
            self.seconds += time.perf_counter() - self.started
            self.steps += self.unread
        self.unread, self.started = 0, None

    def on_epoch_end(self, epoch, logs=None):
        if self.seconds:
            logs["images_per_second"] = self.images * self.steps / self.seconds


def learning_rate_callback(config: TrainingConfig) -> keras.callbacks.Callback:
    if config.schedule == "plateau":
        return PaperPlateau(
            monitor="val_top1", mode="max", factor=0.1, patience=config.patience, min_delta=0.0
        )

    def rate(epoch):
        if config.schedule == "constant":
            return config.first_rate
        return config.first_rate * (1 + math.cos(math.pi * epoch / config.epochs)) / 2

    return keras.callbacks.LearningRateScheduler(rate)
