import dataclasses
import json
from typing import Literal, get_args

import numpy as np
import pytest

from alexnet_keras.configuration import (
    DESCENDANTS,
    PRECISIONS,
    RATE_RULES,
    Devices,
    Network,
    TrainingConfig,
    choices,
)
from alexnet_keras.variants import VARIANTS


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"epochs": True}, "`epochs` must be an integer of at least 1. Received: epochs=True"),
        (
            {"width": float("nan")},
            "`width` must be a finite number greater than 0. Received: width=nan",
        ),
        ({"epochs": 0}, "`epochs` must be an integer of at least 1. Received: epochs=0"),
        ({"batch_size": 1.5}, "`batch_size` must be .* of at least 1. Received: batch_size=1.5"),
        ({"learning_rate": -1}, "`learning_rate` must be .* of at least 0..* learning_rate=-1"),
        ({"momentum": 1.0}, "`momentum` must be .* at least 0 and less than 1..* momentum=1.0"),
        ({"schedule": "steps"}, "`schedule` must be one of .* Received: schedule='steps'"),
        ({"precision": "int8"}, "`precision` must be one of .* Received: precision='int8'"),
        ({"seed": -3}, "`seed` must be an integer from 0 to .* Received: seed=-3"),
        ({"mean": "gray"}, "`mean` must be one of .*'color', 'image'.*Received: mean='gray'"),
    ],
)
def test_bad_configuration(arguments, message):
    with pytest.raises(ValueError, match=message):
        TrainingConfig(**arguments)


def test_configuration_of_numpy_numbers():
    """As they come out of `np.arange` and `np.logspace`; a run's config.json has to hold them."""
    plain = TrainingConfig(epochs=3, width=0.5, seed=1, columns=1, learning_rate=1.0)
    config = TrainingConfig(
        epochs=np.int64(3),
        width=np.float32(0.5),
        seed=np.uint8(1),
        columns=np.int32(1),
        learning_rate=np.int64(1),
    )
    assert json.dumps(dataclasses.asdict(config)) == json.dumps(dataclasses.asdict(plain))


def test_types_name_what_the_tables_hold():
    types = {field.name: field.type for field in dataclasses.fields(TrainingConfig)}
    assert get_args(Network) == (*VARIANTS, *DESCENDANTS)
    assert choices(types["precision"]) == tuple(PRECISIONS)
    assert choices(types["rate_rule"]) == tuple(RATE_RULES)


def test_choices():
    assert choices(Literal[1, 2] | None) == (1, 2, None)
    assert choices(str | None) is choices(int) is choices(Literal["a"] | str) is None


@pytest.mark.parametrize(
    "hosts, rank, message",
    [
        (["a:1"], 0, r"at least two machines, the first as name:port. Received: \['a:1'\]"),
        (["a", "b"], 0, r"the first as name:port. Received: \['a', 'b'\]"),
        (["a:x", "b"], 0, "the first as name:port. Received: "),
        (["a:1", ""], 0, "the first as name:port. Received: "),
        ([], 0, r"the first as name:port. Received: \[\]"),
        (["a:1", "b"], 2, "`rank` must be an integer from 0 to 1.* Received: rank=2"),
        (["a:1", "b"], -1, "`rank` must be an integer from 0 to 1.* Received: rank=-1"),
        (["a:1", "b"], None, "`rank` must be an integer from 0 to 1.* Received: rank=None"),
        (None, 1, "`rank` must come with `hosts`. Received: rank=1 alone"),
    ],
)
def test_hosts_and_rank_are_checked(hosts, rank, message):
    with pytest.raises(ValueError, match=message):
        Devices(hosts=hosts, rank=rank)
