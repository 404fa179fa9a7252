import dataclasses

import pytest

from alexnet_keras import TrainingConfig, layer_costs
from alexnet_keras.experiments import (
    CONDITIONS,
    condition_config,
    equal_cost_width,
)
from alexnet_keras.training import build_model
from tests.experiments.conftest import BASE

CHANGED = {
    "base": set(),
    "tanh": {"activation"},
    "sigmoid": {"activation"},
    "no-lrn": {"normalization"},
    "batch-norm": {"normalization"},
    "plain-pooling": {"overlapping"},
    "no-dropout": {"dropout"},
    "no-mirror": {"mirror"},
    "no-crop": {"crop"},
    "no-color-noise": {"color_noise"},
    "one-column": {"columns", "width"},
    "half": {"columns", "width"},
}


def multiply_adds(config):
    return sum(layer.multiply_adds for layer in layer_costs(build_model(config, 10)))


@pytest.mark.parametrize("name", CONDITIONS)
def test_condition_changes_one_thing(name):
    base = dataclasses.asdict(BASE)
    config = dataclasses.asdict(condition_config(name, BASE, 10))
    assert {field for field in base if config[field] != base[field]} == CHANGED[name]


def test_every_condition_is_another_network_or_pipeline():
    configs = [condition_config(name, BASE, 10) for name in CONDITIONS]
    assert len(set(configs)) == len(CONDITIONS) == len(CHANGED)
    assert condition_config("half", BASE, 10).width == BASE.width / 2


@pytest.mark.parametrize(("size", "width"), [(64, 0.125), (96, 0.2)])
def test_one_column_of_equal_cost(size, width):
    base = TrainingConfig(image_size=size, width=width)
    single = dataclasses.replace(base, columns=1, width=equal_cost_width(base, 10))
    assert multiply_adds(single) == pytest.approx(multiply_adds(base), rel=0.02)
    assert width / 2 < single.width < width  # one column of the same width costs more
    for step in (-1, 1):  # the neighbours are no nearer
        near = dataclasses.replace(single, width=single.width + step / 4096)
        distance = abs(multiply_adds(near) - multiply_adds(base))
        assert distance >= abs(multiply_adds(single) - multiply_adds(base))


@pytest.mark.parametrize(
    ("base", "name", "said"),
    [
        ({}, "nothing", "`conditions` must be among .*no-lrn.*Received: 'nothing'"),
        ({"variant": "single"}, "tanh", "variant 'paper', with two columns. Received.*'single'"),
        ({"columns": 1}, "base", "two columns. Received: .*columns=1"),
        ({"dropout": 0.0}, "no-dropout", "must have what 'no-dropout' switches off"),
    ],
)
def test_condition_errors(base, name, said):
    with pytest.raises(ValueError, match=said):
        condition_config(name, dataclasses.replace(BASE, **base), 10)
