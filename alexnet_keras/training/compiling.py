"""The network of a configuration with the paper's optimizer and its metrics, on the devices."""

from typing import Any

import keras
import numpy as np

from alexnet_keras.configuration import TrainingConfig
from alexnet_keras.devices import scope
from alexnet_keras.metrics import Loss, Top1, Top5
from alexnet_keras.optimizers import MomentumSGD
from alexnet_keras.training.network import build_model, jit_compile
from alexnet_keras.training.transfer import freeze, rate_factors


def compiled_model(config: TrainingConfig, classes: int, strategy: Any) -> keras.Model:
    """The network with its optimizer and metrics, on the devices of a strategy."""
    with scope(strategy):
        model = build_model(config, classes)
        if config.freeze:
            freeze(model, config.freeze)
        # A metric called "loss" is shown in the place of the mean of the loss.
        metrics = [Loss(name="loss"), Top1(name="top1"), Top5(min(5, classes), name="top5")]
        factors = rate_factors(model, config.transfer_rate) if config.from_weights else {}
        optimizer = MomentumSGD(config.first_rate, config.momentum, config.weight_decay, factors)
        if config.precision == "float16":
            # `compile` does the same, but then Keras loads neither the scale nor the momentum.
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer, name="loss_scale_optimizer")
        model.compile(
            optimizer,
            keras.losses.SparseCategoricalCrossentropy(),
            weighted_metrics=metrics,
            jit_compile=jit_compile(config, strategy),
        )
        model.optimizer.build(model.trainable_variables)
        # Metrics make their variables when they first see something.
        model.compute_metrics(
            None, np.zeros(1, "int64"), np.ones((1, classes), "float32"), np.ones(1, "float32")
        )
        model.reset_metrics()
    return model
