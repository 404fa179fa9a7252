import keras
import numpy as np
import pytest

from alexnet_keras import AlexNet
from alexnet_keras.optimizers import MomentumSGD

pytestmark = pytest.mark.portable


def momentum_by_hand(w, gradients, rate, momentum, decay):
    """The paper's section 5, in numpy."""
    v = np.zeros_like(w)
    for gradient in gradients:
        v = momentum * v - decay * rate * w - rate * gradient
        w = w + v
    return w


def test_optimizer_is_the_papers():
    rng = np.random.default_rng(0)
    kernel, bias = rng.normal(size=(4, 3)), rng.normal(size=3)
    gradients = [(rng.normal(size=(4, 3)), rng.normal(size=3)) for _ in range(5)]
    variables = [keras.Variable(kernel, dtype="float64"), keras.Variable(bias, dtype="float64")]
    optimizer = MomentumSGD(0.1, 0.9, 0.05)
    for pair in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(g) for g in pair], variables)
    by_hand = [
        momentum_by_hand(kernel, [g for g, _ in gradients], 0.1, 0.9, 0.05),
        momentum_by_hand(bias, [g for _, g in gradients], 0.1, 0.9, 0.0),  # no decay on biases
    ]
    for ours, expected in zip(variables, by_hand):
        np.testing.assert_allclose(ours, expected, rtol=1e-6)


def test_optimizer_equals_l2_and_not_keras_weight_decay():
    """An L2 regularizer of half the decay is the same update; SGD's own decay is another."""
    x, y = np.random.default_rng(0).normal(size=(2, 16, 4)).astype("float32")

    def trained(optimizer, regularizer=None):
        keras.utils.set_random_seed(0)
        layers = [keras.layers.Dense(3, kernel_regularizer=regularizer), keras.layers.Dense(4)]
        layers[1].kernel_regularizer = regularizer
        model = keras.Sequential(layers)
        model.compile(optimizer, "mse")
        model.fit(x, y, epochs=5, batch_size=8, shuffle=False, verbose=0)
        return model.get_weights()

    ours = trained(MomentumSGD(0.05, 0.9, 0.1))
    by_l2 = trained(keras.optimizers.SGD(0.05, 0.9), keras.regularizers.L2(0.05))
    decoupled = trained(keras.optimizers.SGD(0.05, 0.9, weight_decay=0.1))
    for a, b in zip(ours, by_l2):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    assert not np.allclose(ours[0], decoupled[0], rtol=1e-3)


def test_optimizer_serializes():
    optimizer = MomentumSGD(0.02, 0.8, 0.001)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    assert isinstance(again, MomentumSGD)
    assert again.get_config() == optimizer.get_config()
    with pytest.raises(
        ValueError, match="`coupled_weight_decay` .* Received: coupled_weight_decay=-1"
    ):
        MomentumSGD(coupled_weight_decay=-1)


def test_optimizer_multiplies_the_rate_of_a_layer():
    """By the formula in the paper's section 5, in float64."""
    rng = np.random.default_rng(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="a", dtype="float64")])
    model.add(keras.layers.Dense(2, name="b", dtype="float64"))
    gradients = [[rng.normal(size=v.shape) for v in model.trainable_variables] for _ in range(4)]
    expected = []
    for i, variable in enumerate(model.trainable_variables):
        rate = 0.25 * (0.5 if i < 2 else 1)
        decay = 0.125 if i % 2 == 0 else 0
        w, v = np.array(variable), 0
        for step in gradients:
            v = 0.9 * v - decay * rate * w - rate * step[i]
            w = w + v
        expected.append(w)
    optimizer = MomentumSGD(0.25, 0.9, 0.125, {"a": 0.5})
    for step in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(g) for g in step], model.trainable_variables)
    for variable, w in zip(model.trainable_variables, expected):
        np.testing.assert_allclose(variable, w, rtol=1e-6, atol=1e-7)


@pytest.mark.slow
def test_optimizer_with_factors_is_saved(tmp_path):
    model = AlexNet(input_shape=(64, 64, 3), width=0.05, classes=2)
    model.compile(MomentumSGD(0.02, 0.8, 0.001, {"conv1": 0.1}), "sparse_categorical_crossentropy")
    model.train_on_batch(np.ones((2, 64, 64, 3)), np.array([0, 1]))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras").optimizer
    assert again.rate_factors == {"conv1": 0.1}
    assert again.get_config() == model.optimizer.get_config()
    with pytest.raises(ValueError, match=r"`rate_factors\['conv1'\]` must be .*=-1"):
        MomentumSGD(rate_factors={"conv1": -1})
