"""The paper's ideas, each with what it changes in a configuration and what the paper found."""

import bisect
import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

from alexnet_keras.configuration import TrainingConfig
from alexnet_keras.costs import layer_costs
from alexnet_keras.training import build_model


@dataclasses.dataclass(frozen=True)
class Condition:
    """One idea switched off.

    Attributes:
        label: its row in the table.
        changes: fields of `TrainingConfig` that differ from the base; a function of the base and
            the number of classes where a value has to be worked out.
        paper: what the paper found, in its own figures, and where.
        points: by how much top-1 error was higher without the idea, in points; `None` if the paper
            has no such figure.
        sign: 1 where the paper predicts a higher error, `None` where it predicts nothing.
    """

    label: str
    changes: dict[str, Any] | Callable[[TrainingConfig, int], dict[str, Any]]
    paper: str = "-"
    points: float | None = None
    sign: int | None = 1


_SATURATING = "25 % training error on CIFAR-10 about 6 times later (3.1, figure 1; tanh)"

_OVERFITTING = "substantial overfitting without crops and mirror images (4.1)"

CONDITIONS: dict[str, Condition] = {
    "base": Condition("the paper's network", {}, sign=None),
    "tanh": Condition("tanh for ReLU", {"activation": "tanh"}, _SATURATING),
    "sigmoid": Condition("sigmoid for ReLU", {"activation": "sigmoid"}, _SATURATING),
    "no-lrn": Condition(
        "no response normalization",
        {"normalization": "none"},
        "top-1 / top-5 error 1.4 / 1.2 points higher (3.3)",
        1.4,
    ),
    "batch-norm": Condition(
        "batch for response normalization",
        {"normalization": "batch"},
        "came in 2015",
        sign=None,
    ),
    "plain-pooling": Condition(
        "pools that do not overlap",
        {"overlapping": False},
        "0.4 / 0.3 points higher (3.4)",
        0.4,
    ),
    "no-dropout": Condition("no dropout", {"dropout": 0.0}, "substantial overfitting (4.2)"),
    "no-mirror": Condition("no mirror images", {"mirror": False}, _OVERFITTING),
    "no-crop": Condition("no crops at random", {"crop": False}, _OVERFITTING),
    "no-color-noise": Condition(
        "no PCA colour noise", {"color_noise": 0.0}, "over 1 point of top-1 higher (4.1)", 1.0
    ),
    "one-column": Condition(
        "one column of equal cost",
        lambda base, classes: {"columns": 1, "width": equal_cost_width(base, classes)},
        "not compared",
        sign=None,
    ),
    "half": Condition(
        "one column with half of the maps",
        lambda base, classes: {"columns": 1, "width": base.width / 2},
        "1.7 / 1.2 points higher (3.2)",
        1.7,
    ),
}
"""By name. `half` halves every layer; the paper's one-GPU network kept the full number of maps in
conv5 and of units in the dense layers (section 3.2, footnote 2), so that more is lost here."""


def condition_config(name: str, base: TrainingConfig, classes: int) -> TrainingConfig:
    """The configuration of a condition.

    Args:
        name: one of `CONDITIONS`.
        base: of the network with all the ideas.
        classes: of the data.

    Raises:
        ValueError: if there is no such condition, `base` is not the paper's network of two columns,
            or it is without the idea already.

    Example:

    >>> from alexnet_keras import TrainingConfig
    >>> condition_config("no-dropout", TrainingConfig(), 10).dropout
    0.0
    """
    if name not in CONDITIONS:
        raise ValueError(f"`conditions` must be among {tuple(CONDITIONS)}. Received: {name!r}")
    if base.variant != "paper" or base.columns == 1:
        raise ValueError(
            "The base must be of variant 'paper', with two columns. "
            f"Received: variant={base.variant!r}, columns={base.columns!r}"
        )
    changes = CONDITIONS[name].changes
    config = dataclasses.replace(base, **changes(base, classes) if callable(changes) else changes)
    if name != "base" and config == base:
        raise ValueError(f"The base must have what {name!r} switches off. Received: {changes}")
    return config


def equal_cost_width(base: TrainingConfig, classes: int) -> float:
    """The width at which one column takes as many multiply-adds as two of the base's width.

    The nearest there is: numbers of maps are even, so that narrow networks may be a percent off.

    Args:
        base: its width, image size and switches count.
        classes: of the data.

    Example:

    >>> from alexnet_keras import TrainingConfig
    >>> equal_cost_width(TrainingConfig(width=0.25, image_size=64), 10)
    0.216064453125
    """

    def cost(config):
        model = build_model(config, classes)
        return sum(layer.multiply_adds for layer in layer_costs(model))

    @functools.cache
    def of_one_column(n):  # the dense layers have a step at each odd n
        return cost(dataclasses.replace(base, columns=1, width=n / 4096))

    target = cost(base)
    steps = range(1, math.ceil(4096 * base.width) + 1)
    place = bisect.bisect_left(steps, target, key=of_one_column)
    near = steps[max(0, place - 1) : place + 1]
    return min(near, key=lambda n: abs(of_one_column(n) - target)) / 4096
