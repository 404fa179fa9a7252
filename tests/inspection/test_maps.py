import keras
import numpy as np
import pytest

from alexnet_keras import AlexNet
from alexnet_keras.inspection import (
    feature_maps,
    first_filters,
    grad_cam,
    integrated_gradients,
    occlusion_map,
    plot_feature_maps,
    plot_filters,
)
from tests.conftest import check_figure, colorbars
from tests.inspection.conftest import values_of

pytestmark = [pytest.mark.portable, pytest.mark.usefixtures("no_gradients")]


@pytest.mark.parametrize("variant, columns, filters", [("paper", 2, 48), ("torchvision", 1, 64)])
def test_first_filters(variant, columns, filters, tmp_path):
    model = AlexNet(include_top=False, variant=variant)
    found = first_filters(model)
    assert [a.shape for a in found] == [(filters, 11, 11, 3)] * columns
    kernel = model.get_layer("conv1").get_weights()[0]
    for i in (0, filters - 1, columns * filters - 1):
        np.testing.assert_array_equal(found[i // filters][i % filters], kernel[..., i])
    figure = plot_filters(found)
    check_figure(figure, tmp_path)
    panels = figure.axes[:columns]
    expected = ["column a", "column b"] if columns == 2 else [""]
    assert [axes.get_title() for axes in panels] == expected
    # The last filter of column b stands at the right of the third row; gray is zero.
    shown = np.asarray(panels[-1].images[0].get_array())
    scale = np.abs(kernel).max()
    last = shown[-11:, -11:]
    np.testing.assert_allclose(last, 0.5 + kernel[..., -1] / (2 * scale), atol=1e-6)
    (bar,) = colorbars(figure)
    assert bar.get_ylim() == pytest.approx((-scale, scale))


def test_filters_of_a_network_that_sees_no_colours():
    image = keras.Input((8, 8, 1))
    model = keras.Model(image, keras.layers.Conv2D(2, 3)(image))
    with pytest.raises(ValueError, match=r"three channels. Received: a kernel of \(3, 3, 1, 2\)"):
        first_filters(model)


@pytest.mark.parametrize("layer", ["conv1", "norm1", "relu5", "relu7", "fc8"])
def test_feature_maps(layer, model, image, tmp_path):
    maps = feature_maps(model, layer, image)
    np.testing.assert_allclose(maps, values_of(model, layer, image[None])[0], rtol=1e-5)
    figure = plot_feature_maps(maps, layer, per_row=3)
    check_figure(figure, tmp_path)
    shown = np.ma.filled(figure.axes[0].images[0].get_array(), np.nan)
    height, width = maps.shape[:2] if maps.ndim == 3 else (1, 1)
    gap = 0 if height == width == 1 else 1
    top, left = height + gap, 0  # of channel 3, the first of the second row
    np.testing.assert_array_equal(
        shown[top : top + height, left : left + width].squeeze(), maps[..., 3].squeeze()
    )
    ticks = figure.axes[0].get_yticks(), figure.axes[0].get_yticklabels()
    assert len(ticks[0]) >= 2
    for y, label in zip(*ticks):  # a row of three maps for each tick, at its middle
        assert y == int(label.get_text()) / 3 * top + (top - 1) / 2
    low, high = figure.axes[0].images[0].get_clim()
    assert (low, high) == (-high, high) if maps.min() < 0 else low == maps.min()
    assert colorbars(figure)[0].get_ylabel() == "activation"


def test_picture_of_another_shape(model):
    message = r"`image` must be of the model's input shape, \(67, 67, 3\). Received: \(64, 64, 3\)"
    for call in (
        lambda x: feature_maps(model, "conv1", x),
        lambda x: occlusion_map(model, x, 0),
        lambda x: grad_cam(model, x, 0),
        lambda x: integrated_gradients(model, x, 0),
    ):
        with pytest.raises(ValueError, match=message):
            call(np.zeros((64, 64, 3)))
