import json
import math

import numpy as np
import pytest

from alexnet_keras import AlexNet
from alexnet_keras.devices import communication
from tests.devices.conftest import small

pytestmark = pytest.mark.portable


@pytest.fixture(scope="module")
def papers():
    return AlexNet()


def row(result, scheme, layer):
    return next(r for r in result.exchanges if (r.scheme, r.layer) == (scheme, layer))


def test_the_papers_network_by_hand(papers):
    result = communication(papers, batch_size=128)
    for layer, numbers in {
        "conv3": 13 * 13 * 128 * 2,  # each column's pool2 to the other
        "fc6": 6 * 6 * 128 * 2,
        "fc7": 2048 * 2,
        "fc8": 2048,  # the second column's to the first
    }.items():
        exchange = row(result, "columns", layer)
        assert (exchange.devices, exchange.forward) == (2, 128 * 4 * numbers)
        assert exchange.backward == exchange.forward
    parameters = 60_965_224
    assert result.total("data") == 2 * 4 * parameters
    convolutions = parameters - 9217 * 4096 - 4097 * 4096 - 4097 * 1000
    dense = 9216 + 4096 + 2048  # pool5's and fc6's other half on each of two, fc7's on one
    assert result.total("mixed") == 2 * 4 * convolutions + 2 * 128 * 4 * dense
    assert row(result, "data", "fc6").backward == 2 * 4 * 9217 * 4096
    assert row(result, "data", "fc6").forward == 0
    # In the batch at which both move the same, activations weigh as much as gradients.
    batch = result.total("data") / (result.total("columns") / 128)
    assert 1039 < batch < 1040
    assert communication(papers, 1039).total("columns") < result.total("data")
    assert communication(papers, 1040).total("columns") > result.total("data")


def ring_all_reduce(arrays):
    """Sums the arrays, one a device, chunk by chunk around a ring; counts what was sent."""
    count, sent = len(arrays), 0
    chunks = [np.array_split(array, count) for array in arrays]
    for step in range(2 * (count - 1)):
        for device in range(count):
            which, following = (device - step) % count, (device + 1) % count
            if step >= count - 1:  # the sums are complete and only passed on
                which = (device + 1 - (step - (count - 1))) % count
                chunks[following][which] = chunks[device][which]
            else:
                chunks[following][which] = chunks[following][which] + chunks[device][which]
            sent += chunks[device][which].size
    return [np.concatenate(c) for c in chunks], sent


@pytest.mark.parametrize("devices", [2, 3, 8])
def test_data_parallelism_moves_what_a_ring_does(devices):
    model = small(variant="single")
    arrays = np.random.default_rng(0).normal(size=(devices, model.count_params()))
    reduced, sent = ring_all_reduce(list(arrays))
    for array in reduced:
        np.testing.assert_allclose(array, arrays.sum(axis=0))
    assert communication(model, 16, devices).total("data") == 4 * sent
    assert communication(model, 16, devices, gradient_dtype="bfloat16").total("data") == 2 * sent


@pytest.mark.parametrize("devices", [2, 3, 4])
@pytest.mark.parametrize("variant", ["paper", "torchvision", "batchnorm"])
def test_mixture_moves_what_each_device_lacks(variant, devices):
    batch = 12
    model = small(variant=variant, width=0.07)
    result = communication(model, batch, devices, activation_dtype="bfloat16")

    def lacking(layer, axis, receivers):
        """Numbers that receivers need and others have, with images or units shared out."""
        needed = np.zeros((batch, math.prod(model.get_layer(layer).input.shape[1:])), int)
        total = 0
        for receiver in receivers:
            owner = np.zeros_like(needed)
            for device, part in enumerate(np.array_split(np.arange(needed.shape[axis]), devices)):
                owner[(part, slice(None)) if axis == 0 else (slice(None), part)] = device
            total += int((owner != receiver).sum())
        return total

    everyone = range(devices)
    for layer, numbers in {
        "fc6": lacking("fc6", 0, everyone),
        "fc7": lacking("fc7", 1, everyone),
        "fc8": lacking("fc8", 1, [0]),
    }.items():
        exchange = row(result, "mixed", layer)
        assert exchange.forward == exchange.backward == 2 * numbers
    for exchange in result.exchanges:
        if exchange.scheme == "mixed" and not exchange.layer.startswith("fc"):
            same = row(result, "data", exchange.layer)
            assert (exchange.forward, exchange.backward) == (0, same.backward)
    assert ("columns" in {r.scheme for r in result.exchanges}) == (variant == "paper")


def test_communication_as_plain_numbers_and_as_a_table(papers):
    result = communication(papers, 128, devices=8)
    plain = json.loads(json.dumps(result.as_dict()))
    assert plain["batch_size"] == 128
    assert plain["exchanges"][0]["layer"] == "conv3"
    totals = plain["totals"]
    assert totals["columns"]["bytes_per_image"] == 2 * 4 * (43_264 + 9_216 + 4_096 + 2_048)
    assert totals["columns"]["mean_bytes_per_step_and_device"] == result.total("columns") / 2
    assert totals["data"]["mean_bytes_per_step_and_device"] == result.total("data") / 8
    lines = str(result).splitlines()
    assert len(lines) == 2 + (4 + 1) + (8 + 1) + (8 + 1)
    assert len({len(line) for line in lines[1:]}) == 1
    assert lines[6].split() == ["columns", "2", "all", "30.015", "30.015", "30.015", "468.992"]
    with pytest.raises(ValueError, match="`scheme` must be one of .*Received: scheme='pipeline'"):
        result.total("pipeline")


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"batch_size": 0}, "`batch_size` must be .* of at least 1. Received: batch_size=0"),
        ({"devices": 1}, "`devices` must be an integer of at least 2. Received: devices=1"),
        ({"devices": 2.0}, "`devices` must be an integer of at least 2. Received: devices=2.0"),
        (
            {"activation_dtype": "int8"},
            "`activation_dtype` must be one of .*_dtype='int8'",
        ),
        ({"gradient_dtype": "half"}, "`gradient_dtype` must be one of .* gradient_dtype='half'"),
    ],
)
def test_communication_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        communication(small(), **arguments)


def test_communication_needs_the_dense_layers():
    with pytest.raises(ValueError, match="with the layers conv1.*Received: 'alexnet' with image"):
        communication(small(include_top=False))
