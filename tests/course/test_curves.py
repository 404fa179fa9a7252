import numpy as np
import pytest
from matplotlib.figure import Figure

from alexnet_keras.course import plot_losses
from alexnet_keras.course.curves import plot_over_seeds
from tests.conftest import check_figure


def test_mean_and_band_over_the_seeds():
    axes = Figure().subplots()
    plot_over_seeds(axes, [[1, 2, 6], [3, 2, 0], [5, 2, 3]], "loss", color="C3")
    (line,), (band,) = axes.lines, axes.collections
    np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3])
    np.testing.assert_allclose(line.get_ydata(), [3, 2, 3])
    corners = {tuple(point) for point in band.get_paths()[0].vertices}
    assert {(1, 1), (1, 5), (2, 2), (3, 0), (3, 6)} <= corners
    assert line.get_label() == "loss" and line.get_color() == "C3"


@pytest.mark.parametrize("curves", ([], [[1, 2], [1, 2, 3]]))
def test_curves_of_different_lengths_are_refused(curves):
    with pytest.raises(ValueError, match="`curves` must be one or more of the same length"):
        plot_over_seeds(Figure().subplots(), curves, "loss")


def test_panel_for_each_condition(tmp_path):
    rng = np.random.default_rng(0)
    names = ("loss", "loss_all_units", "val_loss")
    runs = {
        condition: [{name: rng.random(4).tolist() for name in names} for _ in range(seeds)]
        for condition, seeds in (("dropout", 3), ("none", 2))
    }
    figure = plot_losses(runs, "title", highest=2)
    check_figure(figure, tmp_path)
    for axes, (condition, of_seeds) in zip(figure.axes, runs.items(), strict=True):
        assert axes.get_title() == condition
        for name, line in zip(names, axes.lines, strict=True):
            mean = np.mean([run[name] for run in of_seeds], axis=0)
            np.testing.assert_allclose(line.get_ydata(), mean)
    assert figure.axes[0].get_ylim() == (0, 2)
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels == ["training, in training", "training, all units", "validation"]


def test_panels_hold_the_highest_loss_of_all():
    low, high = ({name: [x, x] for name in ("loss", "loss_all_units", "val_loss")} for x in (1, 9))
    for runs in ({"a": [low], "b": [high]}, {"a": [high], "b": [low]}):
        for axes in plot_losses(runs).axes:
            assert axes.get_ylim()[0] == 0 and axes.get_ylim()[1] > 9
