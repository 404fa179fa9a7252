import gc
import tracemalloc

import pytest

from alexnet_keras.inspection import (
    dead_units,
    nearest_neighbors,
    strongest_patches,
)
from tests.inspection.conftest import STATISTICS, generated

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "look, allowed",
    [
        (
            lambda model, data: strongest_patches(
                model, "conv1", 0, data, STATISTICS, count=3, batch_size=8
            ),
            180_000,
        ),
        (lambda model, data: dead_units(model, data, STATISTICS, batch_size=8), 180_000),
        (
            lambda model, data: nearest_neighbors(
                model, data, STATISTICS, [0], query_split="train", layer="relu1", batch_size=8
            ),
            480_000,
        ),
    ],
    ids=["patches", "dead", "neighbors"],
)
def test_memory_does_not_grow_with_the_data(look, allowed, model):
    """All that Python and numpy allocate, at its peak."""

    def peak(count):
        data = generated({"train": count})
        gc.collect()
        tracemalloc.start()
        look(model, data)
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    peak(16)  # what is traced and cached once
    # A map of conv1 of each of the 270 pictures more would be 240,000 bytes, all that the
    # neighbours are sought by 970,000, and the pictures 14,000,000.
    assert peak(300) < peak(30) + allowed
