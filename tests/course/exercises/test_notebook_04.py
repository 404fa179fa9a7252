import math

import keras
import numpy as np
import pytest

from alexnet_keras import LocalResponseNormalization
from alexnet_keras.course import verdict

CAFFE = {"depth_radius": 3, "bias": 1.0, "alpha": 1e-4, "beta": 0.75}
RMS = {"size": 31, "k": 1e-6, "alpha": 1 / 16, "beta": 0.5}


@pytest.mark.parametrize("right", [CAFFE, CAFFE | {"alpha": 7e-4 / 7, "bias": 1}])
def test_1_accepts(right):
    assert verdict("04.1", right) is None


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (CAFFE | {"depth_radius": 7}, "one side"),
        (CAFFE | {"depth_radius": 3.5}, "one side"),
        (CAFFE | {"alpha": 7e-4}, "divides"),
        (CAFFE | {"bias": 2.0}, "k of the formula"),
        (CAFFE | {"beta": 0.5}, "exponent"),
        ({"depth_radius": 3}, "four arguments"),
    ],
)
def test_1_rejects(wrong, hint):
    assert hint in verdict("04.1", wrong)


@pytest.mark.parametrize("right", [math.sqrt(8000), 89.44, np.float64(8000) ** 0.5])
def test_2_accepts(right):
    assert verdict("04.2", right) is None


@pytest.mark.parametrize(
    ("wrong", "hint"), [(8000, "square"), (200, "all n channels"), (89, "product rule"), (-1, "")]
)
def test_2_rejects(wrong, hint):
    assert hint in verdict("04.2", wrong)


def test_3():
    values = np.full((1, 10), 50.0)
    layer = LocalResponseNormalization(dtype="float64")
    slopes = []
    for channel in (5, 3, 6):  # by differences
        more = values.copy()
        more[0, channel] += 1e-3
        slopes.append(float(np.asarray(layer(more) - layer(values))[0, 3]))
    assert verdict("04.3", tuple(np.sign(slopes))) is None
    assert verdict("04.3", [-1, 1, 0]) is None


@pytest.mark.parametrize("wrong", [(1, 1, 0), (0, 1, 0), (-1, -1, 0), (-1, 1, -1), (-1, 0, 0)])
def test_3_rejects(wrong):
    assert verdict("04.3", wrong)


@pytest.mark.parametrize(
    "right",
    [RMS, RMS | {"size": 33}, RMS | {"size": 32, "alpha": 2.0, "divide_alpha_by_size": True}],
)
def test_4_accepts(right):
    assert verdict("04.4", right) is None


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (RMS | {"size": 16}, "first channel"),
        (RMS | {"beta": 0.75}, "exponent"),
        (RMS | {"k": 1.0}, "small constant"),
        (RMS | {"alpha": 1.0}, "alpha"),
    ],
)
def test_4_rejects(wrong, hint):
    assert hint in verdict("04.4", wrong)


class Learnt(keras.layers.Layer):
    """With one number to learn, and what can be wrong with it."""

    def __init__(self, factor=1.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def build(self, input_shape):
        self.channels = input_shape[-1]
        self.beta = self.add_weight(shape=(), initializer=keras.initializers.Constant(0.75))

    def call(self, a):
        squares = keras.ops.pad(keras.ops.square(a), [(0, 0)] * 3 + [(2, 2)])
        total = sum(squares[..., i : i + self.channels] for i in range(5))
        return self.factor * a / (2 + 1e-4 * total) ** self.beta

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


class Forgetful(Learnt):
    def __init__(self, first):
        super().__init__()

    def get_config(self):
        return {}


def model_of(layer, epochs=1):
    model = keras.Sequential([keras.Input((4, 4, 8)), layer, keras.layers.Flatten()])
    model.add(keras.layers.Dense(2, activation="softmax"))
    model.compile(keras.optimizers.SGD(0.01), "sparse_categorical_crossentropy")
    maps = np.random.default_rng(0).normal(0, 100, (8, 4, 4, 8)).clip(0).astype("float32")
    if epochs:
        model.fit(maps, np.arange(8) % 2, epochs=epochs, verbose=0)
    return model


def test_5_accepts_and_leaves_the_model_alone():
    model = model_of(Learnt())
    before = model.get_weights()
    assert verdict("04.5", model) is None
    for old, new in zip(before, model.get_weights()):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(
    ("layer", "epochs", "hint"),
    [
        (Learnt(), 0, "trained"),
        (LocalResponseNormalization(), 1, "add_weight"),
        (Learnt(factor=2.0), 1, "0.75"),
        (Forgetful("x"), 1, "get_config"),
    ],
)
def test_5_rejects(layer, epochs, hint):
    assert hint in verdict("04.5", model_of(layer, epochs))
