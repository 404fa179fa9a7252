"""What each of the paper's ideas is worth: each switched off alone in an equal network."""

import dataclasses
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alexnet_keras.common import DataError, RunError, packaged_path
from alexnet_keras.configuration import TrainingConfig
from alexnet_keras.costs import layer_costs
from alexnet_keras.evaluation import evaluate
from alexnet_keras.experiments.conditions import CONDITIONS, condition_config
from alexnet_keras.experiments.lines import append_line, read_lines
from alexnet_keras.pictures import open_dataset
from alexnet_keras.training import load_run, read_config, resume, train, versions

RESULTS = "results.jsonl"
"""Name of the file in the folder: one JSON line a run."""


@dataclasses.dataclass(frozen=True)
class Result:
    """A run, as it stands in a line of `results.jsonl`.

    Attributes:
        condition: one of `CONDITIONS`.
        seed: of the run.
        config: its `TrainingConfig`, less `data_dir`.
        fingerprint: of the data, see `ImageDataset`.
        parameters: of the network.
        multiply_adds: of the network, an image.
        top1_error, top5_error: of the central crop, on the validation pictures, after the last
            epoch; no epoch is chosen.
        top1_error_ten_views, top5_error_ten_views: of the mean of ten views.
        training_loss, training_error: in the last epoch, with dropout and augmentation as in
            training.
        training_seconds: of the run's epochs.
        versions: see `training.versions`.
    """

    condition: str
    seed: int
    config: dict[str, Any]
    fingerprint: str
    parameters: int
    multiply_adds: int
    top1_error: float
    top5_error: float
    top1_error_ten_views: float
    top5_error_ten_views: float
    training_loss: float
    training_error: float
    training_seconds: float
    versions: dict[str, str]


def ablate(
    base: TrainingConfig,
    out: str | Path,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    conditions: Sequence[str] = tuple(CONDITIONS),
    checkpoint_seconds: float = 60.0,
    verbose: bool = True,
) -> list[Result]:
    """Trains the base and each condition with each seed, one run after another.

    All the conditions of a seed come before the next seed. After each run a line is added to
    `results.jsonl` in the folder, and the run's own folder, under `runs/`, is deleted. Called
    again, it leaves out what is there and goes on with the run that was cut off.

    Args:
        base: the network with all the ideas, and the recipe; its seed does not count.
        out: folder of the results.
        seeds, conditions: which runs.
        checkpoint_seconds: as for `train`.
        verbose: whether a line is printed for each run.

    Returns:
        All the results in the folder, those of other seeds and conditions among them.

    Raises:
        ValueError: for an unknown condition, a seed given twice, and where the folder holds results
            with other settings (`RunError` where they are broken, `DataError` where they are of
            other data); nothing is written.
        Others: as `train`.

    Example:

    >>> from alexnet_keras import TrainingConfig, ablate
    >>> base = TrainingConfig(width=0.05, image_size=64, epochs=1)
    >>> results = ablate(base, "ablations", seeds=[0], conditions=["base"], verbose=False)
    >>> [(result.condition, result.seed) for result in results]
    [('base', 0)]
    """
    out = Path(out)
    for name, values in (("seeds", seeds), ("conditions", conditions)):
        if not values or len(set(values)) < len(values):
            raise ValueError(f"`{name}` must be given, each once. Received: {list(values)}")
    dataset = open_dataset(
        base.data,
        base.data_dir,
        validation_fraction=base.validation_fraction,
        skip_bad=base.skip_bad,
    )
    results = read_results(out) if (out / RESULTS).exists() else []
    configs = {
        name: condition_config(name, base, len(dataset.class_names))
        for name in dict.fromkeys([*conditions, *(result.condition for result in results)])
    }
    for result in results:
        _require_same(result.config, configs[result.condition], out)
        if result.fingerprint != dataset.fingerprint:
            raise DataError(
                "The data must be that of the results in the folder. "
                f"Received: {dataset.name} with {out}, whose results are of other data"
            )
    done = {(result.condition, result.seed) for result in results}
    for seed in seeds:
        for name in conditions:
            folder = out / "runs" / f"{name}-{seed}"
            if (name, seed) not in done:
                config = dataclasses.replace(configs[name], seed=seed)
                result = _run(name, config, folder, checkpoint_seconds)
                append_line(out / RESULTS, result)
                results.append(result)
                if verbose:
                    print(
                        f"{name}, seed {seed}: top-1 error {result.top1_error:.2%}, ten views "
                        f"{result.top1_error_ten_views:.2%}; {result.training_seconds:,.0f} s",
                        flush=True,
                    )
            shutil.rmtree(folder, ignore_errors=True)
    return results


def _run(name: str, config: TrainingConfig, folder: Path, checkpoint_seconds: float) -> Result:
    how = {"checkpoint_seconds": checkpoint_seconds, "verbose": 0}
    if (folder / "config.json").exists():
        _require_same(dataclasses.asdict(read_config(folder)[0]), config, folder)
        run = resume(folder, **how)
    else:
        shutil.rmtree(folder, ignore_errors=True)  # it was cut off before it began
        run = train(config, folder, **how)
    dataset, model = run.open_dataset(), load_run(folder, "last").model
    one, ten = (evaluate(model, dataset, run.statistics, views=views) for views in (1, 10))
    log = run.log()
    time = json.loads((folder / "time.json").read_text(encoding="utf-8"))
    return Result(
        condition=name,
        seed=config.seed,
        config={k: v for k, v in dataclasses.asdict(config).items() if k != "data_dir"},
        fingerprint=dataset.fingerprint,
        parameters=model.count_params(),
        multiply_adds=sum(layer.multiply_adds for layer in layer_costs(model)),
        top1_error=one.top1_error,
        top5_error=one.top5_error,
        top1_error_ten_views=ten.top1_error,
        top5_error_ten_views=ten.top5_error,
        training_loss=float(log["loss"][-1]),
        training_error=1 - float(log["top1"][-1]),
        training_seconds=time["training_seconds"],
        versions=versions(),
    )


def _require_same(saved: dict[str, Any], config: TrainingConfig, folder: Path) -> None:
    """Where the data lies does not count: its fingerprint is compared."""
    for name, value in dataclasses.asdict(config).items():
        before = saved.get(name, getattr(TrainingConfig, name))  # older results lack new fields
        if name not in ("data", "data_dir", "seed") and before != value:
            raise ValueError(
                f"`{name}` must be that of the results in the folder, {before!r}; other "
                f"settings need another folder. Received: {value!r} with {folder}"
            )


def read_results(path: str | Path | None = None) -> list[Result]:
    """The runs in a folder that `ablate` wrote, or in a file of their lines.

    Args:
        path: of the folder or file; `None` for the runs that come with the package, those of the
            README.

    Raises:
        RunError: if a line is not as `ablate` writes it, or there is no such condition.
    """
    path = packaged_path("results/ablations.jsonl") if path is None else Path(path)
    results = read_lines(path / RESULTS if path.is_dir() else path, Result)
    unknown = {result.condition for result in results} - CONDITIONS.keys()
    if unknown:
        raise RunError(f"Results must be of known conditions. Received: {sorted(unknown)}")
    return results
