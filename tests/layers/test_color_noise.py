import keras
import numpy as np
import pytest
import tensorflow as tf

from alexnet_keras.layers import PCAColorNoise, color_directions

pytestmark = [pytest.mark.portable, pytest.mark.usefixtures("no_gradients")]


def pictures(count=6, seed=0, **kwargs):
    """Their colours vary most along (1, 1, 1)."""
    rng = np.random.default_rng(seed)
    light = rng.uniform(0, 200, (count, 8, 10, 1))
    return (light + rng.uniform(0, 55, (count, 8, 10, 3)) * [1, 0.5, 0.2]).astype("uint8")


@pytest.fixture(scope="module")
def adapted():
    noise = PCAColorNoise(stddev=0.1, seed=3)
    noise.adapt(pictures())
    return noise


def test_components_are_those_of_numpy(adapted):
    pixels = pictures().reshape(-1, 3).astype("float64")
    covariance = np.cov(pixels.T, bias=True)
    found = (adapted.components * adapted.deviations**2) @ adapted.components.T
    np.testing.assert_allclose(found, covariance, rtol=1e-4, atol=1e-2)
    assert (np.diff(adapted.deviations) <= 0).all()
    np.testing.assert_allclose(adapted.components.T @ adapted.components, np.eye(3), atol=1e-5)


@pytest.mark.parametrize("kind", ["batches", "pictures", "with labels"])
def test_adapts_to_a_tf_data_set(adapted, kind):
    images = pictures()
    data = tf.data.Dataset.from_tensor_slices(images)
    if kind != "pictures":
        data = data.batch(4)
    if kind == "with labels":
        data = data.map(lambda batch: (batch, tf.zeros(tf.shape(batch)[:1])))
    other = PCAColorNoise()
    other.adapt(data)
    np.testing.assert_allclose(other.deviations, adapted.deviations, rtol=1e-5)


def test_adds_one_color_an_image_of_the_right_spread(adapted):
    images = np.zeros((4000, 1, 2, 3), "uint8")
    added = np.asarray(adapted(images))
    assert added.dtype == "float32"
    np.testing.assert_array_equal(added[:, :, 0], added[:, :, 1])
    along = added[:, 0, 0] @ adapted.components
    # Of 4,000 draws the standard deviation is within 5 % in all but one of 100,000 trials.
    np.testing.assert_allclose(along.std(axis=0), 0.1 * adapted.deviations, rtol=0.05)
    correlation = np.corrcoef(along.T) - np.eye(3)
    assert np.abs(correlation).max() < 0.08


def test_leaves_images_alone_in_inference(adapted):
    images = pictures()
    np.testing.assert_array_equal(adapted(images, training=False), images)
    inputs = keras.Input((8, 10, 3))
    model = keras.Model(inputs, adapted(inputs))
    np.testing.assert_array_equal(model.predict(images, verbose=0), images)
    assert np.abs(np.asarray(model(images, training=True)) - images).max() > 1


def test_same_seed_same_noise():
    first, second, other = (PCAColorNoise(0.1, np.eye(3), np.ones(3), seed=s) for s in (1, 1, 2))
    images = np.zeros((2, 4, 4, 3), "float32")
    a, b, c = (np.asarray(noise(images)) for noise in (first, second, other))
    np.testing.assert_array_equal(a, b)
    assert not np.allclose(a, c)
    assert not np.allclose(a, np.asarray(first(images)))  # nor twice the same


@pytest.mark.parametrize("batched", [False, True])
def test_in_tf_data(adapted, batched):
    noise = PCAColorNoise.from_config({**adapted.get_config(), "stddev": 1.0})
    data = tf.data.Dataset.from_tensor_slices(pictures(3))
    data = data.batch(3) if batched else data
    seen = [*data.map(noise).as_numpy_iterator()]
    seen = seen[0] if batched else np.stack(seen)
    added = seen - pictures(3)
    np.testing.assert_allclose(np.ptp(added, axis=(1, 2)), 0, atol=1e-3)
    assert len({tuple(color) for color in added[:, 0, 0].round(1)}) == 3
    unchanged = data.map(lambda images: noise(images, training=False))
    assert next(unchanged.as_numpy_iterator()).dtype == "float32"


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the pipeline's own numbers")
def test_pipeline_adds_the_same_for_the_same_draw(adapted):
    from alexnet_keras.pictures import ColorStatistics

    statistics = ColorStatistics(np.zeros(3), adapted.deviations, adapted.components)
    z = np.random.default_rng(0).standard_normal((5, 3)).astype("float32")
    directions = color_directions(statistics.components, statistics.deviations, 0.1)
    by_pipeline = tf.linalg.matvec(directions, z, transpose_a=True)
    np.testing.assert_allclose(by_pipeline, z @ adapted.directions(), rtol=1e-5, atol=1e-5)
    # The formula of section 4.1: p1 a1 l1 + p2 a2 l2 + p3 a3 l3.
    by_formula = sum(
        0.1 * z[:, i, None] * adapted.deviations[i] * adapted.components[:, i] for i in range(3)
    )
    np.testing.assert_allclose(by_pipeline, by_formula, rtol=1e-4, atol=1e-4)


def test_is_saved_with_a_model(adapted, tmp_path):
    inputs = keras.Input((8, 10, 3))
    keras.Model(inputs, adapted(inputs)).save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras").layers[-1]
    np.testing.assert_array_equal(loaded.directions(), adapted.directions())
    assert loaded.seed == adapted.seed == 3


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"stddev": -1}, "`stddev`"),
        ({"components": np.eye(3)}, "only `components`"),
        ({"components": np.eye(3), "deviations": np.ones(2)}, r"\(3, 3\) and \(2,\)"),
    ],
)
def test_arguments_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        PCAColorNoise(**arguments)


def test_must_know_the_data():
    with pytest.raises(ValueError, match="call `adapt`"):
        PCAColorNoise()(np.zeros((1, 2, 2, 3), "float32"))
    with pytest.raises(ValueError, match="`data` must hold images"):
        PCAColorNoise().adapt(tf.data.Dataset.from_tensor_slices(np.zeros((0, 2, 2, 3))))
