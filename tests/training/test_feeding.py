import keras
import numpy as np
import pytest

from alexnet_keras.training.feeding import take_bytes

RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (8, 4, 4, 3), "uint8")
OFFSETS = RNG.normal(0, 9, (8, 3)).astype("float32")
LABELS = np.arange(8) % 2


def network():
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Flatten(), keras.layers.Dense(2, "softmax", kernel_initializer="zeros")]
    model = keras.Sequential([keras.Input((4, 4, 3)), *layers])
    model.compile(keras.optimizers.SGD(1e-4), "sparse_categorical_crossentropy")
    return model


@pytest.mark.portable
@pytest.mark.parametrize("shape", [(3,), (4, 4, 3)])
def test_steps_on_bytes_are_those_on_pictures_less_the_mean(shape, tmp_path):
    import tensorflow as tf

    mean = RNG.uniform(90, 130, shape).astype("float32")
    pictures = BYTES.astype("float32") - mean + OFFSETS[:, None, None]
    plain, fed = network(), network()
    take_bytes(fed, mean)
    for model, x in ((plain, pictures), (fed, (BYTES, OFFSETS))):
        batches = tf.data.Dataset.from_tensor_slices((x, LABELS)).batch(4)
        model.fit(batches, epochs=2, shuffle=False, verbose=0)
    assert any((a != b).any() for a, b in zip(network().get_weights(), fed.get_weights()))
    for a, b in zip(plain.get_weights(), fed.get_weights()):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)
    # All else is as before: it takes pictures less the mean, and so does what is saved.
    fed.save(tmp_path / "fed.keras")
    again = keras.saving.load_model(tmp_path / "fed.keras")
    expected = plain.evaluate(pictures, LABELS, verbose=0)
    for model in (fed, again):
        assert model.evaluate(pictures, LABELS, verbose=0) == pytest.approx(expected, rel=1e-4)
    again.fit(pictures, LABELS, verbose=0)
