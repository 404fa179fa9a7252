"""Right and wrong answers to the exercises of notebook 03."""

import keras
import numpy as np
import pytest

from alexnet_keras.course import verdict


def leaves_alive(steps, rate):
    """Stands for the notebook's unit: dead from a rate of 0.7 on."""
    return 0.0, 0.0, np.array([0.0, 0.0 if rate >= 0.7 else 1.0])


KILLING = [n / 10 for n in range(7, 21)]


@pytest.mark.parametrize("answer", [0.25**10, 9.5367e-07, np.float32(0.25) ** 10])
def test_best_factor(answer):
    assert verdict("03.1", answer) is None


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (0.25, "ten of them"),
        (2.5, "multiplied, not added"),
        (4**10, "less than all"),
        (0.1, "largest slope"),
        (0.0, "largest slope"),
        (True, "one number"),
        ([0.25] * 10, "one number"),
    ],
)
def test_wrong_factor(answer, hint):
    assert hint in verdict("03.1", answer)


def test_backward_pass():
    assert verdict("03.2", lambda x, upstream: upstream * (x > 0)) is None
    assert verdict("03.2", lambda x, upstream: np.where(x > 0, upstream, 0)) is None
    assert verdict("03.2", lambda x, upstream: keras.ops.where(x > 0, upstream, 0.0)) is None


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda x, upstream: x > 0, "that is the slope"),
        (lambda x, upstream: np.maximum(0, upstream), "sign of the input"),
        (lambda x, upstream: np.maximum(0, x) * upstream, "not by its value"),
        (lambda x, upstream: upstream * (x >= 0), "exactly 0"),
        (lambda x, upstream: upstream, "above 0"),
        (lambda x, upstream: upstream.sum(), "shape"),
        (7, "made the check stop"),
    ],
)
def test_wrong_backward_pass(answer, hint):
    assert hint in verdict("03.2", answer)


def test_killing_rates():
    for answer in (KILLING, tuple(KILLING), set(KILLING), np.array(KILLING)):
        assert verdict("03.3", answer, unit_after=leaves_alive) is None


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        ([], "shows one"),
        ([n / 10 for n in range(1, 7)], "leave it alive"),
        (KILLING[1:], "1 more"),
        ([0.6, *KILLING], "rate of 0.6"),
        ([*KILLING, 2.1], "only the rates"),
        (1.5, "made the check stop"),
    ],
)
def test_wrong_killing_rates(answer, hint):
    assert hint in verdict("03.3", answer, unit_after=leaves_alive)


def test_leaky_slope():
    assert verdict("03.4", lambda x: np.where(x > 0, 1.0, 0.1)) is None
    assert verdict("03.4", lambda x: 0.1 + 0.9 * (x > 0)) is None


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda x: np.ones_like(x), "another wherever"),
        (lambda x: np.where(x > 0, 0.1, 1.0), "changed places"),
        (lambda x: np.where(x > 0, x, 0.1 * x), "that is the function"),
        (lambda x: x > 0, "ReLU itself"),
        (lambda x: 1.0, "that shape"),
    ],
)
def test_wrong_leaky_slope(answer, hint):
    assert hint in verdict("03.4", answer)


RNG = np.random.default_rng(0)
LABELS = np.arange(60) % 3
PICTURES = (60 * RNG.normal(size=(60, 8, 8, 3)) + 100 * np.eye(3)[LABELS][:, None, None]).astype(
    "float32"
)


def network(scale=1 / 60, epochs=8, activation="tanh", classes=3, size=8):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((size, size, 3)),
            keras.layers.Rescaling(scale),
            keras.layers.Conv2D(4, 3, activation=activation, kernel_initializer="glorot_normal"),
            keras.layers.Flatten(),
            keras.layers.Dense(classes, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.SGD(0.05), "sparse_categorical_crossentropy")
    if epochs:
        model.fit(PICTURES, LABELS, epochs=epochs, batch_size=20, verbose=0)
    return model


def test_tanh_without_saturation():
    assert verdict("03.5", network(1 / 120), pictures=PICTURES, labels=LABELS) is None


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ({"scale": 1.0, "epochs": 0}, "saturated"),
        ({"scale": 1e-6, "epochs": 0}, "hardly tells"),
        ({"scale": 1 / 120, "epochs": 0}, "train it"),
        ({"activation": "relu", "epochs": 0}, "tanh"),
        ({"scale": 1 / 120, "epochs": 0, "classes": 5}, "3 probabilities"),
        ({"epochs": 0, "size": 9}, "shape"),
    ],
)
def test_other_networks(arguments, hint):
    assert hint in verdict("03.5", network(**arguments), pictures=PICTURES, labels=LABELS)


def test_layers_of_another_model():
    body = network(1 / 120).layers
    answer = keras.Sequential([keras.Input((8, 8, 3)), *body])
    assert verdict("03.5", answer, pictures=PICTURES, labels=LABELS) is None


def test_no_network():
    assert "keras.Model" in verdict("03.5", "a model", pictures=PICTURES, labels=LABELS)
    dense = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    assert "Conv2D" in verdict("03.5", dense, pictures=PICTURES, labels=LABELS)
