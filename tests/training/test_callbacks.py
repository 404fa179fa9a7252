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
