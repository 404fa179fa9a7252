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
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from alexnet_keras import descendants
from alexnet_keras.augmentation import (
    ColorStatistics,
    color_statistics,
    evaluation_batches,
    training_batches,
)
from alexnet_keras.checkpoint import (
    CHECKPOINT,
    Checkpoints,
    DivergedError,
    load_state,
    require_room,
    stopping_on_signals,
)
from alexnet_keras.configuration import (
    DESCENDANTS,
    EMBEDDED,
    PRECISIONS,
    VARIANTS,
    TrainingConfig,
)
from alexnet_keras.datasets import DataError, ImageDataset, is_folder, open_dataset
from alexnet_keras.distribution import (
    Loss,
    Top1,
    Top5,
    alone,
    choose_strategy,
    is_first_machine,
    on_machines,
    require_same_on_machines,
    scope,
    share_of,
    use_deterministic_operations,
)
from alexnet_keras.files import shipped, write_file, write_json
from alexnet_keras.model import AlexNet
from alexnet_keras.optimizers import MomentumSGD
from alexnet_keras.transfer import NEW, freeze, rate_factors
from alexnet_keras.weights import PUBLISHED_MEANS, load_weights


def build_model(config: TrainingConfig, classes: int) -> keras.Model:
    """The network of a configuration, with the initial weights that belong to its seed.

    Example:

    >>> build_model(TrainingConfig(image_size=64, width=0.05), classes=10).output_shape
    (None, 10)
    """
    keras.utils.set_random_seed(config.seed)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(PRECISIONS[config.precision])
    shape = (config.image_size, config.image_size, 3)
    try:
        if config.variant in DESCENDANTS:
            function, arguments = DESCENDANTS[config.variant]
            build = getattr(descendants, function)
            return build(**arguments, input_shape=shape, classes=classes, width=config.width)
        return AlexNet(
            input_shape=shape,
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


def jit_compile(config: TrainingConfig, devices: Any = None) -> bool | str:
    """What `keras.Model.compile` should be told of the name.

    On a CPU XLA's convolutions are slower than TensorFlow's own, except in float16, which
    TensorFlow has no fast code for.

    Args:
        config: of a run; with `deterministic` Keras leaves XLA out.
        devices: the strategy, `None` for one device. On several, XLA crashes with mixed precision
            (Keras issue 21366).

    Example:

    >>> jit_compile(TrainingConfig(precision="bfloat16"))
    False
    """
    if keras.backend.backend() == "jax":
        return "auto"
    return (
        keras.backend.backend() == "tensorflow"
        and config.precision == "float16"
        and not config.deterministic
        and devices is None
        and not tf.config.list_physical_devices("GPU")
    )


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
            if (
                self.config.width < 1
                and self.config.dropout
                and self.config.variant not in DESCENDANTS
            ):
                advice.append("less dropout (--dropout)")
            print(
                f"\nFor {self.epochs_stuck} epochs the loss has stayed at that of guessing: "
                f"{self.chance:.3f} for these class sizes, ln({self.classes}) = "
                f"{math.log(self.classes):.3f} for equal ones. Try {'; or '.join(advice)}.",
                file=sys.stderr,
            )


class _StopDiverged(keras.callbacks.Callback):
    """Stops before weights that are not finite take the place of good ones."""

    def __init__(self, out: Path, first_step: int):
        super().__init__()
        self.out, self.first_step, self.epoch = out, first_step, None

    def on_epoch_begin(self, epoch, logs=None):
        if self.epoch is not None:  # an epoch that is resumed is not begun at its first step
            self.first_step = 0
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        step = self.first_step + batch + 1
        self._check(logs["loss"], f"step {step} of epoch {self.epoch + 1}")

    def on_epoch_end(self, epoch, logs=None):
        self._check(logs["val_loss"], f"the validation of epoch {epoch + 1}")

    def _check(self, loss, where):
        if not math.isfinite(loss):
            kept = [name for name in ("last.keras", CHECKPOINT) if (self.out / name).exists()]
            raise DivergedError(
                f"The loss must stay finite. Received: {float(loss)} in {where}; try a smaller "
                "learning rate (--learning-rate)"
                + (f"; {' and '.join(kept)} in {self.out} are from before" if kept else "")
            )


class _SaveModels(keras.callbacks.Callback):
    """Keeps `last.keras`, and `best.keras` of the epoch with the best validation top-1."""

    def __init__(self, out: Path):
        super().__init__()
        self.out, self.best = out, -1.0

    def on_epoch_end(self, epoch, logs=None):
        with alone():
            write_file(self.out / "last.keras", self.model.save)
        if logs["val_top1"] > self.best:
            self.best = logs["val_top1"]
            copy = functools.partial(shutil.copyfile, self.out / "last.keras")
            write_file(self.out / "best.keras", copy)


class _Plateau(keras.callbacks.ReduceLROnPlateau):
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


class _Speed(keras.callbacks.Callback):
    """Adds the images a second to what the callbacks behind it log."""

    def __init__(self, images: int):
        super().__init__()
        self.images, self.steps, self.seconds = images, 0, 0.0

    def on_epoch_begin(self, epoch, logs=None):
        self.steps, self.seconds = 0, 0.0

    def on_train_batch_begin(self, batch, logs=None):
        self.started = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        if batch:  # the first waits for the graph to be compiled
            self.steps, self.seconds = self.steps + 1, self.seconds + self._passed()

    def _passed(self):
        return time.perf_counter() - self.started

    def on_epoch_end(self, epoch, logs=None):
        if self.seconds:
            logs["images_per_second"] = self.images * self.steps / self.seconds


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


def _learning_rate_callback(config: TrainingConfig) -> keras.callbacks.Callback:
    if config.schedule == "plateau":
        return _Plateau(
            monitor="val_top1", mode="max", factor=0.1, patience=config.patience, min_delta=0.0
        )

    def rate(epoch):
        if config.schedule == "constant":
            return config.first_rate
        return config.first_rate * (1 + math.cos(math.pi * epoch / config.epochs)) / 2

    return keras.callbacks.LearningRateScheduler(rate)


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

    Example:

    >>> from alexnet_keras import load_run
    >>> run = load_run("runs/openclipart-paper")
    >>> sorted(run.log())
    ['epoch', 'learning_rate', 'loss', 'top1', 'top5', 'val_loss', 'val_top1', 'val_top5']
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


def read_config(folder: Path) -> tuple[TrainingConfig, tuple[str, ...], str]:
    """The configuration, class names and data's fingerprint of a run.

    Raises:
        DataError: if `config.json` is not there or is not as `train` wrote it.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise DataError(f"A run must hold config.json. Received: {folder}, which does not")
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        config = TrainingConfig(**saved["config"])
        return config, tuple(saved["class_names"]), saved["fingerprint"]
    except (json.JSONDecodeError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise DataError(
            f"config.json must be as `train` wrote it. Received: {path} ({error})"
        ) from None


def _read_statistics(folder: Path) -> ColorStatistics:
    path = folder / "statistics.npz"
    try:
        return ColorStatistics.load(path)
    except (ValueError, TypeError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> DataError:
    reason = str(error).strip().splitlines()[:1]
    return DataError(
        f"{path.name} must be as `train` wrote it. Received: {path} ({' '.join(reason)[:200]})"
    )


def is_shipped(folder: str | Path) -> bool:
    """Whether it names the trained network that comes with the package, as it does the data.

    Example:

    >>> is_shipped("openclipart"), is_shipped("runs/openclipart-paper")
    (True, False)
    """
    return str(folder) == EMBEDDED


def _run_folder(folder: str | Path) -> Path:
    return shipped(f"data/trained/{EMBEDDED}") if is_shipped(folder) else Path(folder)


def load_run(folder: str | Path | None = None, which: str = "best") -> Run:
    """Opens what `train` wrote, or the trained network that comes with the package.

    Args:
        folder: of the run; `None` or `"openclipart"` for that of `alexnet-keras train` which comes
            with the package, and has the best weights alone.
        which: `"best"` or `"last"`.

    Raises:
        DataError: if the folder does not hold a run.

    Example:

    >>> from alexnet_keras import load_run
    >>> load_run().class_names[:3]
    ('animals', 'flags', 'food')
    >>> load_run("runs/openclipart-paper", "last").model.output_shape
    (None, 10)
    """
    folder = _run_folder(EMBEDDED if folder is None else folder)
    for name in ("config.json", "statistics.npz", f"{which}.keras"):
        if not (folder / name).is_file():
            raise DataError(f"A run must hold {name}. Received: {folder}, which does not")
    config, class_names, fingerprint = read_config(folder)
    path = folder / f"{which}.keras"
    try:
        model = keras.saving.load_model(path, compile=False)
    except (ValueError, TypeError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise _damaged(path, error) from None
    if config.precision == "float16":
        model.compile(jit_compile=jit_compile(config))
    statistics = _read_statistics(folder)
    return Run(folder, config, class_names, statistics, model, fingerprint)


def train(
    config: TrainingConfig,
    out: str | Path,
    *,
    strategy: str = "auto",
    replicas: int | None = None,
    hosts: Sequence[str] | None = None,
    rank: int | None = None,
    checkpoint_steps: int = 500,
    verbose: int | str = "auto",
) -> Run | None:
    """Trains a network and keeps the run in a folder.

    The folder then holds `config.json` (the configuration, class names and versions),
    `statistics.npz` (`ColorStatistics`), `log.csv` (a row an epoch), `tensorboard/`, `last.keras`,
    `best.keras` (best validation top-1) and `checkpoint.npz`, from which `resume` goes on.

    SIGINT and SIGTERM end it after the step, or the validation, with a checkpoint.

    Args:
        config: what to train, on what.
        out: folder of the run; made if it is not there.
        strategy, replicas: how to use several devices, see `choose_strategy`. The batch size is
            that of all replicas together, so that the result is that of one device, but for batch
            normalization, which takes the statistics of each replica's share.
        hosts, rank: the machines to train on and this one's place among them, see `join_machines`.
            Every machine makes the same call. The first alone writes; to resume, all read the
            folder, which is best one that they share.
        checkpoint_steps: between two checkpoints within an epoch; another is written after each.
        verbose: as for `keras.Model.fit`.

    Returns:
        The `Run`, its network with the weights of the best epoch; `None` on other machines than
        the first.

    Raises:
        ConnectionError: if one of several machines is lost.
        FileExistsError: if `out` exists and is not an empty folder; nothing is written.
        DataError: if the data cannot be opened or decoded, or holds the run's folder.
        DivergedError: if the loss is no longer finite; the models of earlier epochs are kept.
        Interrupted: after a signal; the state is kept.
        OSError: if the disk is too full for the run's models and checkpoints, or becomes so.
        ValueError: if the network cannot be built with this configuration, the weights to begin
            with do not fit it, or the strategy or the replicas are not to be had.

    Example:

    >>> from alexnet_keras import TrainingConfig, train
    >>> config = TrainingConfig(image_size=64, width=0.05, epochs=1)
    >>> run = train(config, "runs/small", verbose=0)
    >>> len(run.log()["loss"])
    1
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        going_on = (out / "config.json").is_file()
        raise FileExistsError(
            f"The run's folder must be new or empty. Received: {out}, which holds "
            + (f"a run; --resume {out} goes on with it" if going_on else "something")
        )
    devices = _prepare_keras(config, strategy, replicas, hosts, rank)
    dataset = _open(config)
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
    if config.from_weights is not None:
        config = dataclasses.replace(config, from_weights=os.path.abspath(config.from_weights))
    _require_same(config, dataset, devices)
    model = _compiled(config, len(dataset.class_names), devices)
    means = _take_over(model, config) if config.from_weights else {}
    statistics = color_statistics(dataset, config.image_size, config.mean)
    statistics = dataclasses.replace(statistics, **means)
    if dataset.in_files:  # the training pictures have just been decoded
        dataset.require_decodable("validation")

    if is_first_machine(devices):
        out.mkdir(parents=True, exist_ok=True)
        require_room(model, out)
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
    return _fit(config, out, dataset, statistics, model, devices, checkpoint_steps, verbose)


def resume(
    folder: str | Path,
    *,
    strategy: str = "auto",
    replicas: int | None = None,
    hosts: Sequence[str] | None = None,
    rank: int | None = None,
    checkpoint_steps: int = 500,
    verbose: int | str = "auto",
) -> Run | None:
    """Goes on with a run that was cut off, from its last checkpoint.

    On a CPU with the same number of threads and versions, the run ends with the weights, the state
    of the optimizer, the metrics and the log that it would have had without the cut, to the bit.
    The devices may be others than before.

    Args:
        folder: of the run.
        strategy, replicas, hosts, rank, checkpoint_steps, verbose: as for `train`.

    Returns:
        The `Run`, its network with the weights of the best epoch; `None` on other machines than
        the first.

    Raises:
        DataError: if the folder does not hold a run, its checkpoint is not whole, or the data has
            changed since; nothing is written.
        Others: as `train`.

    Example:

    >>> from alexnet_keras import resume
    >>> run = resume("runs/openclipart-paper", verbose=0)  # it had ended: nothing is left to do
    >>> len(run.log()["loss"])
    1
    """
    folder = Path(folder)
    config, class_names, fingerprint = read_config(folder)
    devices = _prepare_keras(config, strategy, replicas, hosts, rank)
    dataset = _open(config)
    if dataset.class_names != class_names or dataset.fingerprint != fingerprint:
        raise DataError(
            "The data must be as it was when the run began. Received: "
            f"{dataset.name} with other files or of another version"
        )
    statistics = _read_statistics(folder)
    model = _compiled(config, len(class_names), devices)
    path = folder / CHECKPOINT
    state = load_state(path, model) if path.exists() else None
    if state is None and config.from_weights:  # cut off before the first step
        _take_over(model, config)
    _require_same(config, dataset, devices, state and state[0])
    if is_first_machine(devices):
        require_room(model, folder)
    return _fit(
        config, folder, dataset, statistics, model, devices, checkpoint_steps, verbose, state
    )


def _prepare_keras(config, strategy, replicas, hosts, rank):
    """Settings that hold for the whole process, and the strategy."""
    if keras.config.image_data_format() != "channels_last":
        raise ValueError(
            "Keras's image data format must be 'channels_last', as the pipeline's pictures are. "
            "Received: 'channels_first'; call keras.config.set_image_data_format('channels_last')"
        )
    devices = choose_strategy(strategy, replicas, hosts, rank)
    if config.deterministic:
        use_deterministic_operations()
    return devices


def _require_same(config, dataset, devices, about=None):
    """Machines that train together must be about to do the same."""
    places = {"data": None, "data_dir": None}  # each may have the data where it likes
    same = [dataclasses.asdict(config) | places, dataset.fingerprint, versions(), about]
    require_same_on_machines(devices, json.dumps(same))


def _open(config: TrainingConfig) -> ImageDataset:
    dataset = open_dataset(
        config.data,
        config.data_dir,
        validation_fraction=config.validation_fraction,
        skip_bad=config.skip_bad,
    )
    missing = {"train", "validation"} - dataset.sizes.keys()
    if missing:
        raise DataError(
            "The data must have pictures to train on and to validate with. "
            f"Received: {dataset.name} without {' and '.join(sorted(missing))}"
        )
    return dataset


def _take_over(model: keras.Model, config: TrainingConfig) -> dict[str, np.ndarray | None]:
    """Gives a network the weights of `config.from_weights`, all layers' but those of fc8.

    A `.keras` file in a run's folder is taken as that run's.

    Returns:
        What replaces the means of the `ColorStatistics`: those that the network knows. Nothing for
        a `.keras` file of no run, whose means are not known.

    Raises:
        ValueError: if the weights cannot be read, do not fit, or are those of a network that
            computes something else with them; the model is then unchanged.
    """
    path = _run_folder(config.from_weights)
    folder = path if path.is_dir() else path.parent
    means = {}
    if path.is_dir() or (path.suffix == ".keras" and (folder / "config.json").is_file()):
        _require_same_network(config, read_config(folder)[0], folder)
        statistics = _read_statistics(folder)
        means = {"mean": statistics.mean, "mean_image": statistics.mean_image}
    elif path.suffix not in (".keras", ".h5"):  # published
        if config.mean != "color":
            raise ValueError(
                "`mean` must be 'color' with published weights, which have no mean image. "
                f"Received: {config.mean!r} with {path}"
            )
        if config.variant in PUBLISHED_MEANS:  # else they do not fit
            means = {"mean": np.array(PUBLISHED_MEANS[config.variant], "float32")}
    file = path / "best.keras" if path.is_dir() else path
    load_weights(model, file, config.variant, skip=(NEW,))
    return means


def _require_same_network(config, source, folder):
    """What the shapes of the weights do not tell."""
    names = ["variant", "activation", "normalization", "overlapping", "mean"]
    if config.mean == "image":
        names.append("image_size")  # that of the mean image
    for name in names:
        expected, received = (
            VARIANTS[c.variant].normalization
            if name == "normalization" and c.normalization is None
            else getattr(c, name)
            for c in (source, config)
        )
        if expected != received:
            raise ValueError(
                f"`{name}` must be that of the run whose weights are taken over, {expected!r}. "
                f"Received: {received!r} with {folder}"
            )


def _compiled(config: TrainingConfig, classes: int, devices) -> keras.Model:
    """The network with its optimizer, on the devices."""
    with scope(devices):
        model = build_model(config, classes)
        if config.freeze:
            freeze(model, config.freeze)
        # A metric called "loss" is shown in the place of the mean of the loss.
        metrics = [Loss(name="loss"), Top1(name="top1"), Top5(min(5, classes), name="top5")]
        factors = rate_factors(model, config.transfer_rate) if config.from_weights else {}
        optimizer = MomentumSGD(config.first_rate, config.momentum, config.weight_decay, factors)
        model.compile(
            optimizer,
            keras.losses.SparseCategoricalCrossentropy(),
            weighted_metrics=metrics,
            jit_compile=jit_compile(config, devices),
        )
        model.optimizer.build(model.trainable_variables)
        # Metrics make their variables when they first see something.
        model.compute_metrics(
            None, np.zeros(1, "int64"), np.ones((1, classes), "float32"), np.ones(1, "float32")
        )
        model.reset_metrics()
    return model


def _fit(config, out, dataset, statistics, model, devices, steps, verbose, state=None) -> Run:
    first = is_first_machine(devices)
    epoch, step, log = 0, 0, ""
    plateau = _learning_rate_callback(config)
    saved, stuck = _SaveModels(out), StuckLoss(dataset.class_shares("train"), config)
    steps_per_epoch = math.ceil(dataset.sizes["train"] / config.batch_size)
    log_file = out / "log.csv"
    checkpoints = Checkpoints(
        out,
        steps,
        steps_per_epoch,
        {
            "plateau": lambda: plateau.state() if isinstance(plateau, _Plateau) else {},
            "best": lambda: saved.best,
            "stuck": lambda: [stuck.epochs_stuck, stuck.advised],
            "log": lambda: log_file.read_bytes().decode() if log_file.exists() else "",
        },
        writes=first,
    )
    if state:
        about, restore = state
        epoch, step, log = about["epoch"], about["step"], about["log"]
        saved.best, (stuck.epochs_stuck, stuck.advised) = about["best"], about["stuck"]
        if isinstance(plateau, _Plateau):
            plateau.restore(about["plateau"])
        checkpoints.resume(about, restore)
    elif config.from_weights:  # which need not be there when the run is resumed
        checkpoints.begin(model)
    if first:  # rows of epochs that the checkpoint does not know are written again
        write_file(log_file, lambda partial: partial.write_bytes(log.encode()))
    common = {
        "image_size": config.image_size,
        "batch_size": config.batch_size,
        "share": share_of(devices),
    }
    validation = evaluation_batches(dataset, "validation", statistics, mean=config.mean, **common)
    writing = [
        saved,
        keras.callbacks.CSVLogger(log_file, append=True),
        stuck,
        _Speed(config.batch_size),
        keras.callbacks.TensorBoard(out / "tensorboard", write_graph=False),
    ]
    restoring = keras.callbacks.LambdaCallback(on_epoch_begin=checkpoints.restore)
    callbacks = [
        *(restoring, _StopDiverged(out, step), plateau),
        *(writing if first else []),
        checkpoints,
    ]

    def fit(epoch, last, step):
        batches = training_batches(
            dataset,
            statistics,
            seed=config.seed,
            augmentation=config.augmentation,
            first_epoch=epoch,
            first_step=step,
            **common,
        )
        model.fit(
            batches,
            initial_epoch=epoch,
            epochs=last,
            steps_per_epoch=steps_per_epoch - step,
            validation_data=validation,
            callbacks=callbacks,
            verbose=verbose if first else 0,
            shuffle=False,  # it is already
        )

    with stopping_on_signals(), on_machines(devices):
        if step:  # the rest of an epoch
            fit(epoch, epoch + 1, step)
            epoch += 1
        if epoch < config.epochs:
            fit(epoch, config.epochs, 0)
    if not first:
        return None
    write_json(out / "time.json", {"training_seconds": round(checkpoints.total_seconds(), 1)})
    return dataclasses.replace(load_run(out), dataset=dataset)
