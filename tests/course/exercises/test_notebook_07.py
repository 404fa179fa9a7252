import math

import keras
import numpy as np
import pytest

from alexnet_keras.course import verdict


def _right(number, answer, **context):
    return verdict(f"07.{number}", answer, **context) is None


@pytest.mark.parametrize("answer", (5, 1 / (1 - 0.8), np.float32(5)))
def test_multiplier_of_a_rate(answer):
    assert _right(1, answer)


@pytest.mark.parametrize("answer", (1.25, 0.2, 0.8, 2, "5"))
def test_wrong_multipliers(answer):
    assert not _right(1, answer)


@pytest.mark.parametrize("answer", (math.comb(10, 5) / 1024, np.float64(252 / 1024)))
def test_share_of_masks(answer):
    assert _right(2, answer)


@pytest.mark.parametrize("answer", (252, 0.5, 0.1, 1 / 11, None))
def test_wrong_shares(answer):
    assert not _right(2, answer)


def test_noise_by_formula_and_by_measurement():
    assert _right(3, (3, 1.5))
    threes = np.full(400_000, 3, "float32")
    drop = [keras.layers.Dropout(rate, seed=0) for rate in (0.5, 0.2)]
    assert _right(3, [np.array(layer(threes, training=True)).std() for layer in drop])


@pytest.mark.parametrize(
    "answer, hint",
    (
        ((9, 2.25), "variances"),
        ((1.5, 1.2), "scales"),
        ((1.5, 3), "comes first"),
        ((3, 1), "the first is right"),
        ((0, 0), "which two values"),
        (3, "made the check stop"),
    ),
)
def test_wrong_noise(answer, hint):
    assert hint in verdict("07.3", answer)


class PaperDropout(keras.layers.Layer):
    """As the notebook's, in testing."""

    rate = 0.5

    def call(self, x, training=False):
        return x if training else (1 - self.rate) * x


def network(layer, factor=1.0, units=3):
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16, "relu"), layer])
    model.add(keras.layers.Dense(units))
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=weight.shape) for weight in model.get_weights()]
    weights[2] *= factor
    model.set_weights(weights)
    return model


def test_network_with_keras_dropout():
    paper = network(PaperDropout())
    assert _right(4, network(keras.layers.Dropout(0.5), factor=0.5), paper=paper)
    rescaled = keras.Sequential([keras.layers.Dropout(0.5), keras.layers.Rescaling(0.5)])
    flat = network(rescaled)
    flat = keras.Sequential([flat.layers[0], *rescaled.layers, flat.layers[-1]])
    assert _right(4, flat, paper=paper)


@pytest.mark.parametrize(
    "answer, hint",
    (
        (lambda: network(keras.layers.Dropout(0.5)), "not those of `paper`"),
        (lambda: network(keras.layers.Dropout(0.5), factor=2), "not those of `paper`"),
        (lambda: network(keras.layers.Dropout(0.2), factor=0.5), "Found rates: [0.2]"),
        (lambda: network(keras.layers.Rescaling(0.5)), "Found rates: []"),
        (lambda: network(PaperDropout()), "Found rates: []"),
        (lambda: network(keras.layers.Dropout(0.5), 0.5, units=4), "the shape (64, 4)"),
        (lambda: 0.5, "made the check stop"),
    ),
)
def test_other_networks(answer, hint):
    assert hint in verdict("07.4", answer(), paper=network(PaperDropout()))


@pytest.fixture(scope="module")
def validation():
    import tensorflow as tf

    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(64, 6)).astype("float32"), rng.integers(0, 3, 64)
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(32)


def overfitted(validation, epochs=25, rate=0.0, callbacks=(), validate=True):
    """Labels are random: the validation loss soon rises."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(64, 6)).astype("float32"), rng.integers(0, 3, 64)
    model = keras.Sequential([keras.layers.Dense(64, "relu"), keras.layers.Dropout(rate)])
    model.add(keras.layers.Dense(3, "softmax"))
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    data = {"validation_data": validation} if validate else {}
    history = model.fit(x, y, epochs=epochs, verbose=0, callbacks=list(callbacks), **data)
    return model, history


def stopping(patience=3, restore=True):
    return [keras.callbacks.EarlyStopping(patience=patience, restore_best_weights=restore)]


def test_stopped_early(validation):
    model, history = overfitted(validation, callbacks=stopping())
    assert 3 < len(history.history["loss"]) < 25
    assert _right(5, (model, history), validation=validation)
    assert _right(5, (model, history.history), validation=validation)


@pytest.mark.parametrize(
    "choices, hint",
    (
        ({}, "epochs after its lowest"),
        ({"callbacks": stopping(patience=8)}, "it went on for 8 epochs"),
        ({"callbacks": stopping(restore=False)}, "that epoch's weights"),
        ({"callbacks": stopping(), "rate": 0.5}, "without dropout"),
        ({"epochs": 2, "validate": False}, "`validation_data`"),
    ),
)
def test_stopped_late_or_elsewhere(validation, choices, hint):
    assert hint in verdict("07.5", overfitted(validation, **choices), validation=validation)
    assert "made the check stop" in verdict("07.5", None, validation=validation)
