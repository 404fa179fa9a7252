"""The paper's recipe: stochastic gradient descent with momentum and coupled weight decay."""

import dataclasses
import math
import os
from pathlib import Path
from typing import Any

import keras

from alexnet_keras.common import DataError, RunError, write_file, write_json
from alexnet_keras.configuration import Devices, TrainingConfig
from alexnet_keras.devices import (
    is_first_machine,
    on_machines,
    share_of,
)
from alexnet_keras.pictures import (
    ColorStatistics,
    ImageDataset,
    byte_batches,
    color_statistics,
    evaluation_batches,
    is_folder,
    training_squares,
)
from alexnet_keras.training.callbacks import (
    CompilingTime,
    ImagesPerSecond,
    PaperPlateau,
    SeldomReading,
    StopDiverged,
    StuckLoss,
    learning_rate_callback,
)
from alexnet_keras.training.checkpoint import (
    CHECKPOINT,
    Checkpoints,
    load_state,
    require_room,
    stopping_on_signals,
)
from alexnet_keras.training.compiling import compiled_model
from alexnet_keras.training.feeding import take_bytes, to_device
from alexnet_keras.training.network import build_model
from alexnet_keras.training.preparing import open_for_training, prepare_keras, require_same
from alexnet_keras.training.run import (
    Run,
    is_packaged,
    load_run,
    read_config,
    read_statistics,
    versions,
)
from alexnet_keras.training.timing import EpochSeconds, with_columns_of_time
from alexnet_keras.training.transfer import take_over
from alexnet_keras.training.writing import Interval
from alexnet_keras.weights import load_weights


def train(
    config: TrainingConfig,
    out: str | Path,
    *,
    devices: Devices = Devices(),
    checkpoint_seconds: float = 60.0,
    checkpoint_steps: int | None = None,
    verbose: int | str = "auto",
) -> Run:
    """Trains a network and keeps the run in a folder.

    The folder then holds `config.json` (the configuration, class names and versions),
    `statistics.npz` (`ColorStatistics`), `log.csv` (a row an epoch), `tensorboard/`, `last.keras`,
    `best.keras` (best validation top-1) and `checkpoint.npz`, from which `resume` goes on.

    A thread writes the last three, from copies of the weights, while training goes on: after the
    first epoch, then when `checkpoint_seconds` have passed, and at the end. `last.keras` is as old
    as the checkpoint; the best weights wait in memory. A kill at any moment, in the middle of a
    file too, loses the steps since the last checkpoint, and `resume` takes them again, to the bit.
    SIGINT and SIGTERM end the training after the step, or the validation, with all written.

    A row of `log.csv` also says where the time of the epoch went: how many seconds the loop waited
    for data (`seconds_data`), was busy with steps, with validation, and, since the row before,
    with copies of the weights or waiting for a file to be written (`seconds_writing`).

    Args:
        config: what to train, on what.
        out: folder of the run; made if it is not there.
        devices: what to train on. Of several machines each makes the same call, with its own rank.
            The first alone writes; to resume, all read the folder, which is best one that they
            share.
        checkpoint_seconds: from one checkpoint to the next, which is written at the first step or
            end of an epoch after.
        checkpoint_steps: if given, there is in the place of that a checkpoint after each epoch, and
            within it after so many steps; training waits if the one before is not yet written.
        verbose: as for `keras.Model.fit`.

    Returns:
        The `Run`, its network with the weights of the best epoch, on each of several machines.

    Raises:
        ConnectionError: if one of several machines is lost.
        FileExistsError: if `out` exists and is not an empty folder; nothing is written.
        DataError: if the data cannot be opened or decoded.
        DivergedError: if the loss is no longer finite; the models of earlier epochs are kept.
        Interrupted: after a signal; the state is kept.
        OSError: if the disk is too full for the run's models and checkpoints, or becomes so.
        RunError: if the run's folder would lie in the folder of the data.
        ValueError: if the network cannot be built with this configuration, the weights to begin
            with do not fit it, or the devices are not to be had.

    Example:

    >>> from alexnet_keras import TrainingConfig, train
    >>> config = TrainingConfig(image_size=64, width=0.05, epochs=1)
    >>> run = train(config, "runs/small", verbose=0)
    >>> len(run.log()["loss"])
    1
    """
    every = Interval(checkpoint_seconds, checkpoint_steps)
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        going_on = (out / "config.json").is_file()
        raise FileExistsError(
            f"The run's folder must be new or empty. Received: {out}, which holds "
            + (f"a run; `resume({str(out)!r})` goes on with it" if going_on else "something")
        )
    strategy = prepare_keras(config, devices)
    dataset = open_for_training(config)
    if is_folder(config.data):
        # Absolute, so that the run can be evaluated from anywhere.
        config = dataclasses.replace(config, data=os.path.abspath(config.data))
        if Path(config.data) in Path(os.path.abspath(out)).parents:
            raise RunError(
                "The run's folder must lie outside of the data, of which it would become a part. "
                f"Received: {out} in {config.data}"
            )
    if config.data_dir is not None:
        config = dataclasses.replace(config, data_dir=os.path.abspath(config.data_dir))
    if config.from_weights is not None and not is_packaged(config.from_weights):
        config = dataclasses.replace(config, from_weights=os.path.abspath(config.from_weights))
    require_same(config, dataset, strategy)
    model = compiled_model(config, len(dataset.class_names), strategy)
    means = take_over(model, config) if config.from_weights else {}
    statistics = color_statistics(dataset, config.image_size, config.mean)
    statistics = dataclasses.replace(statistics, **means)
    if dataset.in_files:  # the training pictures have just been decoded
        dataset.require_decodable("validation")

    if is_first_machine(strategy):
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
    job = _Job(config, out, dataset, statistics, model, strategy)
    return _fit(job, every, verbose)


def resume(
    folder: str | Path,
    *,
    devices: Devices = Devices(),
    checkpoint_seconds: float = 60.0,
    checkpoint_steps: int | None = None,
    verbose: int | str = "auto",
) -> Run:
    """Goes on with a run that was cut off, from its last checkpoint.

    On a CPU with the same number of threads and versions, the run ends with the weights, the state
    of the optimizer, the metrics and the log, but for its times, that it would have had without the
    cut, to the bit. Rows of a log from before there were times have `nan` for them.
    The devices may be others than before.

    Args:
        folder: of the run.
        devices, checkpoint_seconds, checkpoint_steps, verbose: as for `train`.

    Returns:
        The `Run`, its network with the weights of the best epoch, on each of several machines.

    Raises:
        DataError: if the data has changed since; nothing is written.
        RunError: if the folder does not hold a run, or its checkpoint is not whole; nothing is
            written.
        Others: as `train`.

    Example:

    >>> from alexnet_keras import TrainingConfig, resume, train
    >>> config = TrainingConfig(image_size=64, width=0.05, epochs=1)
    >>> run = train(config, "runs/small", verbose=0)
    >>> run = resume("runs/small", verbose=0)  # it had ended: nothing is left to do
    >>> len(run.log()["loss"])
    1
    """
    every = Interval(checkpoint_seconds, checkpoint_steps)
    folder = Path(folder)
    config, class_names, fingerprint = read_config(folder)
    strategy = prepare_keras(config, devices)
    dataset = open_for_training(config)
    if dataset.class_names != class_names or dataset.fingerprint != fingerprint:
        raise DataError(
            "The data must be as it was when the run began. Received: "
            f"{dataset.name} with other files or of another version"
        )
    statistics = read_statistics(folder, config)
    model = compiled_model(config, len(class_names), strategy)
    path = folder / CHECKPOINT
    state = load_state(path, model) if path.exists() else None
    if state is None and config.from_weights:  # cut off before the first step
        take_over(model, config)
    require_same(config, dataset, strategy, state and state[0])
    if is_first_machine(strategy):
        require_room(model, folder)
    job = _Job(config, folder, dataset, statistics, model, strategy)
    return _fit(job, every, verbose, state)


@dataclasses.dataclass(frozen=True)
class _Job:
    """What travels through a training together."""

    config: TrainingConfig
    out: Path
    dataset: ImageDataset
    statistics: ColorStatistics
    model: keras.Model
    strategy: Any


def _fit(job: _Job, every: Interval, verbose: int | str, state: Any = None) -> Run:
    config, out, dataset, model = job.config, job.out, job.dataset, job.model
    first = is_first_machine(job.strategy)
    epoch, step, log = 0, 0, ""
    plateau = learning_rate_callback(config)
    stuck = StuckLoss(dataset.class_shares("train"), config)
    steps_per_epoch = math.ceil(dataset.sizes["train"] / config.batch_size)
    log_file = out / "log.csv"
    checkpoints = Checkpoints(
        out,
        every,
        steps_per_epoch,
        config.epochs,
        {
            "plateau": lambda: plateau.state() if isinstance(plateau, PaperPlateau) else {},
            "stuck": lambda: [stuck.epochs_stuck, stuck.advised],
            "log": lambda: log_file.read_bytes().decode() if log_file.exists() else "",
        },
        writes=first,
    )
    if state:
        about, restore = state
        epoch, step, log = about["epoch"], about["step"], with_columns_of_time(about["log"])
        stuck.epochs_stuck, stuck.advised = about["stuck"]
        if isinstance(plateau, PaperPlateau):
            plateau.restore(about["plateau"])
        checkpoints.resume(about, restore)
    if first:  # rows of epochs that the checkpoint does not know are written again
        write_file(log_file, lambda partial: partial.write_bytes(log.encode()))
    common = {
        "image_size": config.image_size,
        "batch_size": config.batch_size,
        "share": share_of(job.strategy),
    }
    squares = training_squares(dataset, config.image_size)
    take_bytes(model, job.statistics.subtracted(config.image_size))
    validation = evaluation_batches(dataset, "validation", job.statistics, **common)
    seconds = EpochSeconds(lambda: checkpoints.seconds_writing)
    writing = [
        CompilingTime(),
        ImagesPerSecond(config.batch_size),
        seconds,
        keras.callbacks.CSVLogger(log_file, append=True),
        stuck,
        keras.callbacks.TensorBoard(out / "tensorboard", write_graph=False),
    ]
    restoring = keras.callbacks.LambdaCallback(on_epoch_begin=checkpoints.restore)
    callbacks = [
        *(restoring, StopDiverged(out, step), plateau),
        *(writing if first else []),
        *(checkpoints, seconds.at_the_end()),
    ]

    def fit(epoch, last, step):
        batches = byte_batches(
            squares,
            job.statistics,
            seed=config.seed,
            augmentation=config.augmentation,
            first_epoch=epoch,
            first_step=step,
            **common,
        )
        model.fit(
            to_device(seconds.watched(batches), job.strategy),
            initial_epoch=epoch,
            epochs=last,
            steps_per_epoch=steps_per_epoch - step,
            validation_data=validation,
            callbacks=SeldomReading(
                callbacks,
                add_history=True,
                add_progbar=first and verbose != 0,
                model=model,
                verbose=verbose,
                epochs=last,
                steps=steps_per_epoch - step,
            ),
            shuffle=False,  # it is already
        )

    with stopping_on_signals(), on_machines(job.strategy), checkpoints.kept(model):
        if state is None and config.from_weights:  # which need not be there to go on
            checkpoints.begin()
        if step:  # the rest of an epoch
            fit(epoch, epoch + 1, step)
            epoch += 1
        if epoch < config.epochs:
            fit(epoch, config.epochs, 0)
    if first:
        took = round(checkpoints.total_seconds(), 1)
        write_json(out / "time.json", {"training_seconds": took})
        return dataclasses.replace(load_run(out), dataset=dataset)
    best = build_model(config, len(dataset.class_names))
    if (
        checkpoints.best_weights is None
    ):  # the best epoch was before this call, whose folder all can read
        load_weights(best, out / "best.keras", config.variant)
    else:
        best.set_weights(checkpoints.best_weights)
    about_data = (dataset.class_names, job.statistics, best, dataset.fingerprint, dataset)
    return Run(out, config, *about_data, written_here=False)
