import keras
import pytest
from matplotlib.colors import to_hex

from alexnet_keras import AlexNet
from alexnet_keras.course import LAYER_COLORS, draw_network


@pytest.fixture(scope="module")
def figure():
    lenet = keras.Sequential(
        [
            keras.Input((32, 32, 1)),
            keras.layers.Conv2D(6, 5, name="C1"),
            keras.layers.AveragePooling2D(2, name="S2"),
            keras.layers.Flatten(),
            keras.layers.Dense(10, name="output"),
        ],
        name="LeNet",
    )
    return draw_network(lenet, AlexNet(width=0.25))


def test_shapes_are_those_of_a_column(figure):
    small, alexnet = figure.axes
    assert small.get_title("left") == "LeNet: 11,926 parameters"
    words = [text.get_text() for text in alexnet.texts]
    assert words.count("55 x 55\nx 12") == 2 and words.count("227 x 227\nx 3") == 1
    assert words.count("512") == 4 and words.count("1000") == 1
    words = [text.get_text() for text in small.texts]
    assert "28 x 28\nx 6" in words and "5 x 5" in words


def test_crossing_is_red_where_a_layer_sees_both_columns(figure):
    _, alexnet = figure.axes
    red = [line for line in alexnet.lines if line.get_color() == "#D00000"]
    # conv3, fc6 and fc7: two cones each, of two lines.
    assert len(red) == 3 * 2 * 2


def test_layers_have_their_colours(figure):
    faces = {(p.get_gid(), to_hex(p.get_facecolor()).upper()) for p in figure.axes[1].patches}
    for name, color in LAYER_COLORS.items():
        assert (name, color) in faces
    assert ("pool1", LAYER_COLORS["conv1"]) in faces
    assert ("output", LAYER_COLORS["fc8"]) in {
        (p.get_gid(), to_hex(p.get_facecolor()).upper()) for p in figure.axes[0].patches
    }


def test_window_is_in_proportion(figure):
    window = [p for p in figure.axes[0].patches if p.get_zorder() == 4][-1].get_xy()
    assert len(window) == 5  # closed
    first = next(p for p in figure.axes[0].patches if p.get_gid() == "C1").get_xy()
    height = first[:, 1].max() - first[:, 1].min()
    assert window[3, 1] - window[0, 1] == pytest.approx(height * 2 / 28)


def test_what_is_refused():
    with pytest.raises(ValueError, match="at least one network"):
        draw_network()
    many = keras.Sequential([keras.Input((8, 8, 4)), keras.layers.Conv2D(4, 3, groups=4)])
    with pytest.raises(ValueError, match="Received: 4 groups"):
        draw_network(many)
