import keras
import numpy as np
import pytest

from alexnet_keras import (
    VGG,
)
from alexnet_keras.descendants import (
    VGGS,
)
from tests.descendants.conftest import layer_names, pictures, randomize, without_initial_values


@pytest.mark.parametrize("depth", VGGS)
def test_vgg_has_so_many_layers_and_halves_five_times(depth):
    model = VGG(depth, input_shape=(224, 224, 3), width=0.02)
    assert len([layer for layer in model.layers if hasattr(layer, "kernel")]) == depth
    sides = [model.get_layer(f"block{n}_pool").output.shape[1] for n in range(1, 6)]
    assert sides == [112, 56, 28, 14, 7]
    assert all(x.kernel_size == (3, 3) for x in model.layers if hasattr(x, "kernel_size"))
    assert [x.rate for x in model.layers if isinstance(x, keras.layers.Dropout)] == [0.5, 0.5]


@pytest.mark.parametrize("depth", [16, 19])
def test_vgg_is_that_of_keras_applications(depth):
    arguments = {"input_shape": (64, 64, 3), "classes": 5, "classifier_activation": None}
    build = getattr(keras.applications, f"VGG{depth}")
    theirs = without_initial_values(lambda: build(weights=None, **arguments))
    ours = without_initial_values(lambda: VGG(depth, **arguments))
    assert layer_names(ours) == layer_names(theirs)
    randomize(ours)
    theirs.set_weights(ours.get_weights())
    x = pictures(2, 64, 64, 3) / 50
    np.testing.assert_allclose(ours(x), theirs(x), rtol=1e-3, atol=1e-4)
    assert np.ptp(ours(x), axis=0).min() > 0.01
