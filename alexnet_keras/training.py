"""The paper's recipe: stochastic gradient descent with momentum and coupled weight decay."""

import dataclasses
import functools
import json
import math
import os
import platform
import shutil
import sys
import time
import zipfile
from pathlib import Path

import keras
import numpy as np

from alexnet_keras.augmentation import (
    ColorStatistics,
    color_statistics,
    evaluation_batches,
    training_batches,
)
from alexnet_keras.configuration import PRECISIONS, TrainingConfig
from alexnet_keras.datasets import DataError, ImageDataset, is_folder, open_dataset
from alexnet_keras.files import write_file, write_json
from alexnet_keras.model import AlexNet
from alexnet_keras.optimizers import MomentumSGD


def build_model(config: TrainingConfig, classes: int) -> keras.Model:
    """The network of a configuration, with the initial weights that belong to its seed."""
    keras.utils.set_random_seed(config.seed)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(PRECISIONS[config.precision])
    try:
        return AlexNet(
            input_shape=(config.image_size, config.image_size, 3),
            classes=classes,
            variant=config.variant,
            width=config.width,
            activation=config.activation,
            normalization=config.normalization,
            overlapping=config.overlapping,
            dropout=config.dropout,
            columns=config.columns,
            initialization=config.initialization,
        )
    finally:
        keras.config.set_dtype_policy(before)


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
            advice = ["a learning rate 3 times smaller or larger (--learning-rate)"]
            if self.config.initialization == "variant":
                advice.insert(
                    0,
                    "--initialization he (the biases of 1 and the small weights of the original "
                    "often hold a small network there)",
                )
            if self.config.width < 1 and self.config.dropout:
                advice.append("less dropout (--dropout)")
            print(
                f"\nFor {self.epochs_stuck} epochs the loss has stayed at that of guessing: "
                f"{self.chance:.3f} for these class sizes, ln({self.classes}) = "
                f"{math.log(self.classes):.3f} for equal ones. Try {'; or '.join(advice)}.",
                file=sys.stderr,
            )


class DivergedError(ValueError):
    """The loss is no longer a finite number."""


class _StopDiverged(keras.callbacks.Callback):
    """Stops before weights that are not finite take the place of good ones."""

    def __init__(self, out: Path):
        super().__init__()
        self.out, self.epoch = out, 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        self._check(logs["loss"], f"step {batch + 1} of epoch {self.epoch + 1}")

    def on_epoch_end(self, epoch, logs=None):
        self._check(logs["val_loss"], f"the validation of epoch {epoch + 1}")

    def _check(self, loss, where):
        if not math.isfinite(loss):
            kept = self.out / "last.keras"
            raise DivergedError(
                f"The loss must stay finite. Received: {float(loss)} in {where}; try a smaller "
                "learning rate (--learning-rate)"
                + (f"; {kept} is from the epoch before" if kept.exists() else "")
            )


class _SaveModels(keras.callbacks.Callback):
    """Keeps `last.keras`, and `best.keras` of the epoch with the best validation top-1."""

    def __init__(self, out: Path):
        super().__init__()
        self.out, self.best = out, -1.0

    def on_epoch_end(self, epoch, logs=None):
        write_file(self.out / "last.keras", self.model.save)
        if logs["val_top1"] > self.best:
            self.best = logs["val_top1"]
            copy = functools.partial(shutil.copyfile, self.out / "last.keras")
            write_file(self.out / "best.keras", copy)


def versions() -> dict[str, str]:
    """Versions of what a run's numbers depend on."""
    from importlib.metadata import version

    from alexnet_keras import __version__

    return {
        "alexnet_keras": __version__,
        "python": platform.python_version(),
        "keras": version("keras"),
        "backend": keras.backend.backend(),
        "tensorflow": version("tensorflow"),
        "tensorflow-datasets": version("tensorflow-datasets"),
        "numpy": version("numpy"),
        **{name: version(name) for name in ("jax", "torch") if keras.backend.backend() == name},
        "machine": platform.machine(),
        "system": platform.system(),
    }


def _learning_rate_callback(config: TrainingConfig) -> list[keras.callbacks.Callback]:
    if config.schedule == "plateau":
        return [
            keras.callbacks.ReduceLROnPlateau(
                monitor="val_top1", mode="max", factor=0.1, patience=config.patience, min_delta=0.0
            )
        ]

    def rate(epoch):
        if config.schedule == "constant":
            return config.learning_rate
        return config.learning_rate * (1 + math.cos(math.pi * epoch / config.epochs)) / 2

    return [keras.callbacks.LearningRateScheduler(rate)]


@dataclasses.dataclass(frozen=True)
class Run:
    """A training run: its folder, and what is needed to use the network.

    Attributes:
        folder: holds `config.json`, `statistics.npz`, `log.csv`, `best.keras`, `last.keras` and
            `tensorboard/`.
        config: what was trained, on what.
        class_names: in the order of the labels.
        statistics: colours of the training set.
        model: the network with its best weights.
        fingerprint: of the data, see `ImageDataset`.
        dataset: the data, where it is open already.
    """

    folder: Path
    config: TrainingConfig
    class_names: tuple[str, ...]
    statistics: ColorStatistics
    model: keras.Model
    fingerprint: str
    dataset: ImageDataset | None = dataclasses.field(default=None, repr=False, compare=False)

    def open_dataset(self, data: str | Path | None = None) -> ImageDataset:
        """The data that the run was trained on, or other data of the same classes.

        Args:
            data: another name or folder; `None` for that of the run.

        Raises:
            DataError: if it cannot be opened, its classes are not those of the run, or the run's
                own data has changed since, so that pictures of one split may now be in the other.
        """
        if data is None and self.dataset is not None:
            return self.dataset
        dataset = open_dataset(
            self.config.data if data is None else data,
            self.config.data_dir,
            validation_fraction=self.config.validation_fraction,
            skip_bad=self.config.skip_bad,
        )
        if dataset.class_names != self.class_names:
            raise DataError(
                f"The data must have the classes of the run, {', '.join(self.class_names)}. "
                f"Received: {', '.join(dataset.class_names)} in {dataset.name}"
            )
        if data is None and dataset.fingerprint != self.fingerprint:
            raise DataError(
                "The data must be as it was in training, or its splits mix. Received: "
                f"{dataset.name} with other files or of another version; --data names other data "
                "to evaluate on"
            )
        return dataset

    def log(self) -> dict[str, np.ndarray]:
        """The columns of `log.csv`, a number an epoch."""
        rows = np.genfromtxt(self.folder / "log.csv", delimiter=",", names=True)
        return {name: np.atleast_1d(rows[name]) for name in rows.dtype.names}


def load_run(folder: str | Path, which: str = "best") -> Run:
    """Opens what `train` wrote.

    Args:
        folder: of the run.
        which: `"best"` or `"last"`.

    Raises:
        DataError: if the folder does not hold a run.
    """
    folder = Path(folder)
    for name in ("config.json", "statistics.npz", f"{which}.keras"):
        if not (folder / name).is_file():
            raise DataError(f"A run must hold {name}. Received: {folder}, which does not")
    try:
        saved = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        config = TrainingConfig(**saved["config"])
        class_names, fingerprint = tuple(saved["class_names"]), saved["fingerprint"]
    except (json.JSONDecodeError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise DataError(
            f"config.json must be as `train` wrote it. Received: {folder / 'config.json'} ({error})"
        ) from None
    path = folder / f"{which}.keras"
    try:
        model = keras.saving.load_model(path, compile=False)
        path = folder / "statistics.npz"
        statistics = ColorStatistics.load(path)
    except (ValueError, TypeError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        reason = str(error).strip().splitlines()[:1]
        raise DataError(
            f"{path.name} must be as `train` wrote it. Received: {path} ({' '.join(reason)[:200]})"
        ) from None
    return Run(folder, config, class_names, statistics, model, fingerprint)


def train(config: TrainingConfig, out: str | Path, *, verbose: int | str = "auto") -> Run:
    """Trains a network and keeps the run in a folder.

    The folder then holds `config.json` (the configuration, class names and versions),
    `statistics.npz` (`ColorStatistics`), `log.csv` (a row an epoch), `tensorboard/`, `last.keras`
    and `best.keras` (best validation top-1).

    Args:
        config: what to train, on what.
        out: folder of the run; made if it is not there.
        verbose: as for `keras.Model.fit`.

    Returns:
        The `Run`, its network with the weights of the best epoch.

    Raises:
        FileExistsError: if `out` exists and is not an empty folder; nothing is written.
        DataError: if the data cannot be opened or decoded, or holds the run's folder.
        DivergedError: if the loss is no longer finite; the models of earlier epochs are kept.
        ValueError: if the network cannot be built with this configuration.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(
            f"The run's folder must be new or empty. Received: {out}, which holds something"
        )
    if keras.config.image_data_format() != "channels_last":
        raise ValueError(
            "Keras's image data format must be 'channels_last', as the pipeline's pictures are. "
            "Received: 'channels_first'; call keras.config.set_image_data_format('channels_last')"
        )
    dataset = open_dataset(
        config.data,
        config.data_dir,
        validation_fraction=config.validation_fraction,
        skip_bad=config.skip_bad,
    )
    if is_folder(config.data):
        # Absolute, so that the run can be evaluated from anywhere.
        config = dataclasses.replace(config, data=os.path.abspath(config.data))
        if Path(config.data) in Path(os.path.abspath(out)).parents:
            raise DataError(
                "The run's folder must lie outside of the data, of which it would become a part. "
                f"Received: {out} in {config.data}"
            )
    if config.data_dir is not None:
        config = dataclasses.replace(config, data_dir=os.path.abspath(config.data_dir))
    classes = len(dataset.class_names)
    model = build_model(config, classes)
    statistics = color_statistics(dataset, config.image_size, config.mean)
    if dataset.in_files:  # the training pictures have just been decoded
        dataset.require_decodable("validation")

    out.mkdir(parents=True, exist_ok=True)
    write_file(out / "statistics.npz", statistics.save)
    write_json(
        out / "config.json",
        {
            "config": dataclasses.asdict(config),
            "class_names": dataset.class_names,
            "sizes": dataset.sizes,
            "fingerprint": dataset.fingerprint,
            "skipped": dataset.skipped,
            "versions": versions(),
        },
    )
    common = {"image_size": config.image_size, "batch_size": config.batch_size}
    batches = training_batches(
        dataset, statistics, seed=config.seed, augmentation=config.augmentation, **common
    )
    validation = evaluation_batches(dataset, "validation", statistics, mean=config.mean, **common)
    model.compile(
        MomentumSGD(config.learning_rate, config.momentum, config.weight_decay),
        keras.losses.SparseCategoricalCrossentropy(),
        metrics=[
            keras.metrics.SparseCategoricalAccuracy(name="top1"),
            keras.metrics.SparseTopKCategoricalAccuracy(min(5, classes), name="top5"),
        ],
        # XLA's convolutions are slower on a CPU than TensorFlow's own.
        jit_compile="auto" if keras.backend.backend() == "jax" else False,
    )
    callbacks = [
        _StopDiverged(out),
        *_learning_rate_callback(config),
        _SaveModels(out),
        keras.callbacks.CSVLogger(out / "log.csv"),
        keras.callbacks.TensorBoard(out / "tensorboard", write_graph=False),
        StuckLoss(dataset.class_shares("train"), config),
    ]
    started = time.perf_counter()
    model.fit(
        batches,
        epochs=config.epochs,
        steps_per_epoch=math.ceil(dataset.sizes["train"] / config.batch_size),
        validation_data=validation,
        callbacks=callbacks,
        verbose=verbose,
        shuffle=False,  # it is already
    )
    seconds = round(time.perf_counter() - started, 1)
    write_json(out / "time.json", {"training_seconds": seconds})
    return dataclasses.replace(load_run(out), dataset=dataset)
