import numpy as np
import pytest

from alexnet_keras.inspection import (
    Patch,
    plot_patches,
    strongest_patches,
)
from alexnet_keras.pictures import ColorStatistics
from tests.conftest import check_figure
from tests.inspection.conftest import NAMES, STATISTICS, inputs_of, picture_of, values_of

pytestmark = [pytest.mark.portable, pytest.mark.usefixtures("no_gradients")]


@pytest.mark.slow
@pytest.mark.parametrize("layer", ["relu1", "conv3", "pool5", "fc8"])
def test_strongest_patches(layer, model, data):
    images, labels = inputs_of(data, "train")
    channel = 2
    patches = strongest_patches(model, layer, channel, data, STATISTICS, count=5, batch_size=7)
    values = values_of(model, layer, images)[..., channel].reshape(len(images), -1)
    order = np.argsort(-values.max(axis=1), kind="stable")[:5]
    assert [patch.index for patch in patches] == order.tolist()
    assert [patch.label for patch in patches] == labels[order].tolist()
    side = values_of(model, layer, images).shape[2] if layer != "fc8" else 1
    for patch in patches:
        assert patch.activation == pytest.approx(values[patch.index].max(), rel=1e-4)
        assert patch.row * side + patch.column == values[patch.index].argmax()
        top, left, bottom, right = patch.inside
        whole = picture_of(images[patch.index])
        np.testing.assert_allclose(patch.pixels, whole[top:bottom, left:right], atol=1e-3)
        # The unit depends on what is in the patch, and on all its sides, and on nothing else.
        other = np.random.default_rng(0).normal(0, 50, images[0].shape)
        other[top:bottom, left:right] = patch.pixels - STATISTICS.mean
        again = values_of(model, layer, other[None].astype("float32"))[..., channel].ravel()
        assert again[patch.row * side + patch.column] == pytest.approx(patch.activation, rel=1e-3)


def test_patches_where_the_mean_image_is_subtracted(model, data):
    rng = np.random.default_rng(0)
    mean_image = rng.uniform(90, 130, (76, 76, 3)).astype("float32")  # 67 * 256 / 227
    statistics = ColorStatistics(np.zeros(3, "float32"), np.ones(3), np.eye(3), mean_image, "image")
    (patch,) = strongest_patches(model, "conv1", 0, data, statistics, count=1, batch_size=8)
    images, _ = inputs_of(data, "train")
    top, left, bottom, right = patch.box
    expected = picture_of(images[patch.index])[top:bottom, left:right]
    np.testing.assert_allclose(patch.pixels, expected, atol=1e-3)


def test_patches_figure(tmp_path):
    pixels = np.arange(9 * 8 * 3).reshape(9, 8, 3)
    patches = [
        Patch(0, 1, 0, 0, 1412.3, (-2, -3, 9, 8), (0, 0, 9, 8), pixels),
        Patch(5, 0, 1, 1, 0.01234, (1, 2, 10, 10), (1, 2, 10, 10), pixels),
    ]
    figure = plot_patches(patches, NAMES, "relu1, channel 3")
    check_figure(figure, tmp_path)
    first, second, rest = figure.axes
    assert first.get_title() == "dog: 1,410" and second.get_title() == "cat: 0.0123"
    assert first.get_xlim() == (-3.5, 7.5) and first.get_ylim() == (8.5, -2.5)
    assert first.images[0].get_extent() == [-0.5, 7.5, 8.5, -0.5]
    np.testing.assert_array_equal(first.images[0].get_array(), pixels)
    assert second.images[0].get_extent() == [1.5, 9.5, 9.5, 0.5]
    assert not rest.axison


def test_channel_that_is_not_there(model, data):
    with pytest.raises(ValueError, match="`channel` must be .* from 0 to 3. Received: channel=4"):
        strongest_patches(model, "conv1", 4, data, STATISTICS)
