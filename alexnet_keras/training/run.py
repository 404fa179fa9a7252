"""A training run on the disk: what `train` wrote, opened again."""

import dataclasses
import json
import platform
import zipfile
from pathlib import Path

import keras
import numpy as np

from alexnet_keras.common import (
    EMBEDDED,
    DataError,
    RunError,
    __version__,
    packaged_path,
    packaged_runs,
)
from alexnet_keras.configuration import TrainingConfig
from alexnet_keras.pictures import ColorStatistics, ImageDataset, open_dataset
from alexnet_keras.training.network import jit_compile
from alexnet_keras.training.writing import first_not_finite


def versions() -> dict[str, str]:
    """Versions of what a run's numbers depend on."""
    from importlib.metadata import version

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


@dataclasses.dataclass(frozen=True, eq=False)
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
        written_here: whether this process wrote the folder; of several machines that train together
            only the first does.

    Example:

    >>> from alexnet_keras import load_run
    >>> run = load_run()
    >>> sorted(run.log())
    ['epoch', 'learning_rate', 'loss', 'top1', 'top5', 'val_loss', 'val_top1', 'val_top5']
    """

    folder: Path
    config: TrainingConfig
    class_names: tuple[str, ...]
    statistics: ColorStatistics
    model: keras.Model
    fingerprint: str
    dataset: ImageDataset | None = dataclasses.field(default=None, repr=False)
    written_here: bool = True

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
                f"{dataset.name} with other files or of another version; `data` names other data "
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
        RunError: if `config.json` is not there or is not as `train` wrote it.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise RunError(f"A run must hold config.json. Received: {folder}, which does not")
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        config = TrainingConfig(**saved["config"])
        return config, tuple(saved["class_names"]), saved["fingerprint"]
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"config.json must be as `train` wrote it. Received: {path} ({error})"
        ) from None


def read_statistics(folder: Path, config: TrainingConfig) -> ColorStatistics:
    """The colour statistics of a run.

    Raises:
        DataError: if `statistics.npz` is not as `train` wrote it.
    """
    path = folder / "statistics.npz"
    try:
        # Files of before 0.1.0 do not tell what was subtracted; the configuration does.
        return dataclasses.replace(ColorStatistics.load(path), subtract=config.mean)
    except (ValueError, TypeError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> RunError:
    reason = str(error).strip().splitlines()[:1]
    return RunError(
        f"{path.name} must be as `train` wrote it. Received: {path} ({' '.join(reason)[:200]})"
    )


def is_packaged(folder: str | Path) -> bool:
    """Whether it names a trained network that comes with the package, see `packaged_runs`.

    Example:

    >>> is_packaged("openclipart"), is_packaged("runs/small")
    (True, False)
    """
    return str(folder) in packaged_runs()


def run_folder(folder: str | Path) -> Path:
    return packaged_path(f"data/trained/{folder}") if is_packaged(folder) else Path(folder)


def load_run(folder: str | Path | None = None, which: str = "best") -> Run:
    """Opens what `train` wrote, or a trained network that comes with the package.

    Args:
        folder: of the run, or the name of one that comes with the package (`data/trained/`) and has
            the best weights alone; `None` for `"openclipart"`, that of `alexnet-keras train`.
        which: `"best"` or `"last"`.

    Raises:
        RunError: if the folder does not hold a run, one of its files is broken, or a weight is not
            finite.

    Example:

    >>> from alexnet_keras import load_run
    >>> load_run().class_names[:3]
    ('animals', 'flags', 'food')
    """
    folder = run_folder(EMBEDDED if folder is None else folder)
    for name in ("config.json", "statistics.npz", f"{which}.keras"):
        if not (folder / name).is_file():
            raise RunError(f"A run must hold {name}. Received: {folder}, which does not")
    config, class_names, fingerprint = read_config(folder)
    path = folder / f"{which}.keras"
    try:
        model = keras.saving.load_model(path, compile=False)
    except (ValueError, TypeError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise _damaged(path, error) from None
    bad = first_not_finite(model)
    if bad is not None:
        raise RunError(
            f"{path.name} must hold finite weights. Received: {path} with NaN or infinity in {bad}"
        )
    if config.precision == "float16" or config.jit_compile is False:
        model.compile(jit_compile=jit_compile(config))
    statistics = read_statistics(folder, config)
    return Run(folder, config, class_names, statistics, model, fingerprint)
