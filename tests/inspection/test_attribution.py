import keras
import numpy as np
import pytest

from alexnet_keras.inspection import (
    grad_cam,
    integrated_gradients,
    occlusion_map,
    plot_attributions,
    plot_grad_cam,
    plot_occlusion,
)
from tests.conftest import check_figure, colorbars
from tests.inspection.conftest import SIZE, picture_of, small, values_of


@pytest.mark.portable
@pytest.mark.usefixtures("no_gradients")
def test_occlusion_map(model, image, tmp_path):
    occlusion = occlusion_map(model, image, 1, size=12, stride=9, batch_size=4)
    assert occlusion.probabilities.shape == (7, 7)
    assert occlusion.probability == pytest.approx(float(model(image[None])[0, 1]), rel=1e-5)
    for row, column in ((0, 0), (2, 5), (6, 6)):
        hidden = image.copy()
        hidden[9 * row : 9 * row + 12, 9 * column : 9 * column + 12] = 0
        expected = float(model(hidden[None])[0, 1])
        assert occlusion.probabilities[row, column] == pytest.approx(expected, rel=1e-4)
    figure = plot_occlusion(picture_of(image), occlusion, "dog")
    check_figure(figure, tmp_path)
    heat = figure.axes[1].images[1]
    np.testing.assert_allclose(
        heat.get_array(), 100 * (occlusion.probabilities - occlusion.probability)
    )
    # The centre of the first square and that of the last are the centres of their cells.
    left, right, bottom, top = heat.get_extent()
    cell = (right - left) / 7
    assert left + cell / 2 == top + cell / 2 == (12 - 1) / 2
    assert right - cell / 2 == bottom - cell / 2 == 6 * 9 + (12 - 1) / 2
    assert colorbars(figure)[0].get_ylabel().startswith("change of the probability")


def test_occlusion_defaults_and_errors(model, image):
    occlusion = occlusion_map(model, image, 0)
    assert (occlusion.size, occlusion.stride) == (8, 4)
    assert occlusion.probabilities.shape == (15, 15)
    with pytest.raises(ValueError, match="`size` must be .* from 1 to 67. Received: size=68"):
        occlusion_map(model, image, 0, size=68)
    with pytest.raises(ValueError, match="`class_index` must be .* from 0 to 3..* class_index=4"):
        occlusion_map(model, image, 4)


def test_grad_cam_is_cam_where_maps_are_averaged(image):
    """Selvaraju et al., section 3: then the weights are those of the dense layer, over the
    number of positions."""
    keras.utils.set_random_seed(1)
    x = source = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Conv2D(6, 9, 4, name="conv")(x)
    x = keras.layers.Activation("relu", name="relu")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(source, keras.layers.Dense(3, "softmax", name="top")(x))
    maps = values_of(model, "relu", image[None])[0]
    kernel = model.get_layer("top").get_weights()[0]
    for class_index in range(3):
        expected = np.maximum(0, maps @ kernel[:, class_index]) / (15 * 15)
        assert expected.any()
        np.testing.assert_allclose(
            grad_cam(model, image, class_index), expected, rtol=1e-3, atol=1e-6
        )
        np.testing.assert_allclose(
            grad_cam(model, image, class_index, "relu"), expected, rtol=1e-3, atol=1e-6
        )


@pytest.mark.slow
@pytest.mark.parametrize("layer", [None, "conv5", "relu2", "norm1", "pool1"])
def test_grad_cam_equals_finite_differences(layer):
    """The weight of a map is how the score changes as the whole map rises, by position."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    try:
        model = small(dropout=0.0, input_shape=(99, 99, 3))
    finally:
        keras.config.set_dtype_policy(before)
    image = np.random.default_rng(0).normal(0, 50, (99, 99, 3))
    name = layer or "relu5"
    maps_output = model.get_layer(name).output
    maps = np.asarray(keras.Model(model.input, maps_output)(image[None]))
    head = keras.Model(maps_output, model.get_layer("fc8").input)
    kernel, bias = model.get_layer("fc8").get_weights()

    def score(maps):
        return (np.asarray(head(maps)) @ kernel + bias)[0, 2]

    weights = []
    for channel in range(maps.shape[-1]):
        step = np.zeros_like(maps)
        step[..., channel] = 1e-6
        rise = (score(maps + step) - score(maps - step)) / 2e-6
        weights.append(rise / np.prod(maps.shape[1:3]))
    expected = np.maximum(0, maps[0] @ np.array(weights))
    np.testing.assert_allclose(
        grad_cam(model, image, 2, layer), expected, rtol=1e-3, atol=1e-4 * expected.max()
    )
    assert expected.any()


def test_grad_cam_figure(image, tmp_path):
    heat = np.arange(6.0).reshape(2, 3)
    figure = plot_grad_cam(picture_of(image), heat, "dog")
    check_figure(figure, tmp_path)
    shown = figure.axes[1].images[1]
    np.testing.assert_array_equal(shown.get_array(), heat)
    assert shown.get_extent() == [-0.5, SIZE - 0.5, SIZE - 0.5, -0.5]
    assert shown.get_clim() == (0, 5)
    assert colorbars(figure)[0].get_ylabel()


def test_grad_cam_of_a_layer_without_maps(model, image):
    with pytest.raises(ValueError, match=r"must give maps .*Received: 'fc6', which gives \(None"):
        grad_cam(model, image, 0, "fc6")


@pytest.mark.parametrize("last", [None, "softmax"])
def test_integrated_gradients_of_a_linear_network(last, image):
    """They are the weights times the difference, whatever the steps."""
    source = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Flatten()(source)
    model = keras.Model(source, keras.layers.Dense(3, last, name="top")(x))
    weights = model.get_layer("top").get_weights()[0][:, 1].reshape(SIZE, SIZE, 3)
    baseline = np.random.default_rng(0).normal(0, 50, image.shape)
    attributions = integrated_gradients(model, image, 1, baseline, steps=3)
    np.testing.assert_allclose(attributions, weights * (image - baseline), rtol=1e-3, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["paper", "2012", "torchvision", "batchnorm"])
def test_integrated_gradients_are_complete(variant, image, tmp_path):
    """They sum to f(x) - f(baseline), the nearer the more steps."""
    model = small(variant=variant)
    kernel, bias = model.get_layer("fc8").get_weights()
    for baseline in (None, np.random.default_rng(0).normal(0, 50, image.shape)):
        ends = np.stack([image, np.zeros_like(image) if baseline is None else baseline])
        scores = values_of(model, "drop7" if variant != "torchvision" else "relu7", ends)
        after, before = (scores @ kernel + bias)[:, 3]
        found = integrated_gradients(model, image, 3, baseline, steps=200)
        assert found.shape == image.shape and found.dtype == np.float32
        assert abs(after - before) > 0.01
        # From zero the score is nearly smooth; noise has many bends of the ReLUs on the way.
        precision = 0.001 if baseline is None else 0.03
        assert found.sum(dtype="float64") == pytest.approx(after - before, rel=precision)
    figure = plot_attributions(picture_of(image), found, "hen")
    check_figure(figure, tmp_path)
    shown = figure.axes[1].images[0]
    np.testing.assert_allclose(shown.get_array(), found.sum(axis=-1))
    assert shown.get_clim()[1] == -shown.get_clim()[0] > 0
    assert figure.axes[1].get_title() == f"sum: {found.sum(dtype='float64'):+.2f}"


def test_integrated_gradients_of_bad_arguments(model, image):
    with pytest.raises(ValueError, match="`steps` must be .* at least 1. Received: steps=0"):
        integrated_gradients(model, image, 0, steps=0)
    with pytest.raises(ValueError, match="`baseline` must be of the model's input shape"):
        integrated_gradients(model, image, 0, np.zeros(3))
    without_top = small(include_top=False, input_shape=(SIZE, SIZE, 3), pooling="avg")
    with pytest.raises(ValueError, match="must end in a dense layer. Received: .* avg_pool"):
        grad_cam(without_top, image, 0)


@pytest.mark.portable
@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="TensorFlow takes them")
def test_gradients_on_another_backend_are_refused(model, image):
    for attribution in (grad_cam, integrated_gradients):
        with pytest.raises(ValueError, match="must run on the 'tensorflow' backend"):
            attribution(model, image, 1)
