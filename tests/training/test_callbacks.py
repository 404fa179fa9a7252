import math

import keras
import numpy as np
import pytest
from scipy import stats

from alexnet_keras.configuration import TrainingConfig
from alexnet_keras.optimizers import MomentumSGD
from alexnet_keras.pictures import open_dataset
from alexnet_keras.training import (
    StuckLoss,
)
from alexnet_keras.training.callbacks import SeldomReading
from tests.conftest import SMALL


def rates(config, val_top1):
    """The learning rate of each epoch, given validation accuracies."""
    from alexnet_keras.training.callbacks import learning_rate_callback

    callback = learning_rate_callback(config)
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile(MomentumSGD(config.learning_rate), "mse")
    callback.set_model(model)
    callback.on_train_begin()
    seen = []
    for epoch, value in enumerate(val_top1):
        callback.on_epoch_begin(epoch)
        seen.append(float(model.optimizer.learning_rate))
        callback.on_epoch_end(epoch, {"val_top1": value})
    return seen


def test_schedules():
    flat = [0.1, 0.2, 0.2, 0.2, 0.2, 0.2, 0.3]
    assert rates(TrainingConfig(patience=2), flat) == pytest.approx(
        [0.01, 0.01, 0.01, 0.01, 0.001, 0.001, 0.0001]
    )
    assert rates(TrainingConfig(schedule="constant"), flat) == pytest.approx([0.01] * 7)
    cosine = rates(TrainingConfig(schedule="cosine", epochs=7), flat)
    expected = [0.005 * (1 + math.cos(math.pi * e / 7)) for e in range(7)]
    assert cosine == pytest.approx(expected)


def test_stuck_loss_is_noticed_once(capsys):
    equal = np.full(10, 0.1)
    callback = StuckLoss(equal, TrainingConfig(initialization="variant"), patience=2)
    for epoch, loss in enumerate([2.31, 2.0, 2.3, 2.303, 2.302]):
        callback.on_epoch_end(epoch, {"loss": loss})
    said = capsys.readouterr().err
    assert said.count("ln(10) = 2.303") == 1
    assert "`initialization='he'`" in said and "`learning_rate`" in said


def test_stuck_loss_of_unequal_classes_is_their_entropy(capsys):
    shares = open_dataset().class_shares("train")
    callback = StuckLoss(shares, TrainingConfig(), patience=2)
    assert callback.chance == pytest.approx(stats.entropy(shares))
    assert callback.chance < 0.96 * math.log(10)
    for epoch, loss in enumerate([2.245, 2.217]):  # of a network that looks at nothing
        callback.on_epoch_end(epoch, {"loss": loss})
    assert "that of guessing" in capsys.readouterr().err


def test_tensorboard_shows_rate_loss_errors_and_speed(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run.folder / "tensorboard" / "train"))
    events.Reload()
    shown = {"learning_rate", "loss", "top1", "top5", "images_per_second"}
    assert {f"epoch_{name}" for name in shown} <= set(events.Tags()["tensors"])
    assert len(events.Tensors("epoch_images_per_second")) == SMALL["epochs"]


@pytest.mark.parametrize("rule, rate", [("none", 0.01), ("sqrt", 0.02), ("linear", 0.04)])
def test_rate_rules(rule, rate):
    config = TrainingConfig(batch_size=512, rate_rule=rule, schedule="constant")
    assert config.first_rate == pytest.approx(rate)
    assert rates(config, [0.0]) == pytest.approx([rate])


def test_metrics_are_read_seldom():
    """A metric that is read by the list of callbacks is made a number."""
    read, reads = [], []

    class Metric:
        def __float__(self):
            reads.append(1)
            return 0.5

    seen = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: read.append(batch) if logs else None
    )
    callbacks = SeldomReading([seen], steps=47, model=keras.Sequential([keras.layers.Dense(1)]))
    for batch in range(47):
        callbacks.on_train_batch_end(batch, {"loss": Metric()})
        callbacks.on_test_batch_end(batch, {"loss": Metric()})
    assert read == [0, 19, 39, 46]
    assert len(reads) == 4


def test_images_per_second_count_the_steps_between_two_readings(monkeypatch):
    from alexnet_keras.training import callbacks

    now = 0.0
    monkeypatch.setattr(callbacks.time, "perf_counter", lambda: now)
    speed, logs = callbacks.ImagesPerSecond(8), {}
    speed.on_epoch_begin(0)
    for batch in range(47):
        speed.on_train_batch_begin(batch)
        now += 100.0 if batch == 0 else 2.0  # the first one compiles
        speed.on_train_batch_end(batch, {"loss": 1.0} if batch in (0, 19, 39, 46) else {})
        if batch == 19:
            now += 50.0  # a checkpoint
    speed.on_epoch_end(0, logs)
    assert logs["images_per_second"] == pytest.approx(8 / 2.0)
