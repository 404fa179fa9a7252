import numpy as np
import pytest
from scipy.stats import binomtest

from alexnet_keras.evaluation import (
    Calibration,
    Evaluation,
    Mistake,
    plot_classes,
    plot_confusion,
    plot_curves,
    plot_mistakes,
    plot_reliability,
)
from tests.conftest import check_figure, colorbars
from tests.evaluation.conftest import generated

NAMES = ("cat", "dog", "cow", "hen")


@pytest.fixture(scope="module")
def evaluation():
    confusion = np.array([[8, 2, 0, 0], [1, 3, 0, 0], [0, 5, 0, 0], [0, 0, 0, 0]])
    calibration = Calibration.empty()
    calibration = calibration.add(np.linspace(0.3, 0.99, 19), np.arange(19) % 2 == 0)
    return Evaluation(NAMES, 1, 2, confusion, (Mistake(0, 0, 1, 0.8),), calibration)


def test_classes_figure(evaluation, tmp_path):
    figure = plot_classes(evaluation, "title")
    check_figure(figure, tmp_path)
    (axes,) = figure.axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["cow (5)", "dog (4)", "cat (10)"]  # lowest recall first; no hen at all
    recall, precision = (container[0].get_xdata() for container in axes.containers)
    np.testing.assert_allclose(recall, [0, 75, 80])
    np.testing.assert_allclose(precision, [np.nan, 30, 100 * 8 / 9])
    (segments,) = axes.containers[0][2]
    expected = binomtest(8, 10).proportion_ci(method="wilson")
    np.testing.assert_allclose(segments.get_segments()[2][:, 0], [100 * e for e in expected])
    assert "95 %" in axes.get_xlabel()
    few = plot_classes(evaluation, most=2).axes[0]
    assert [label.get_text() for label in few.get_yticklabels()] == ["cow (5)", "dog (4)"]
    assert few.get_ylabel().endswith("2 of 3")


def test_reliability_figure(evaluation, tmp_path):
    figure = plot_reliability(evaluation, "title")
    check_figure(figure, tmp_path)
    top, bottom = figure.axes
    x, y = top.containers[0][0].get_data()
    some = evaluation.calibration.pictures > 0
    np.testing.assert_allclose(x, 100 * evaluation.calibration.confidence[some])
    np.testing.assert_allclose(y, 100 * evaluation.calibration.accuracy[some])
    heights = [bar.get_height() for bar in bottom.patches]
    np.testing.assert_array_equal(heights, evaluation.calibration.pictures)
    assert bottom.patches[3].get_x() == pytest.approx(100 * 3 / 15)
    assert top.get_title() == (
        f"Expected calibration error {evaluation.calibration.expected_error:.1%}"
    )


def test_confusion_figure(evaluation, tmp_path):
    figure = plot_confusion(evaluation)
    check_figure(figure, tmp_path)
    shares = np.asarray(figure.axes[0].images[0].get_array())
    np.testing.assert_allclose(shares[:2], [[80, 20, 0, 0], [25, 75, 0, 0]])
    written = {text.get_position(): text.get_text() for text in figure.axes[0].texts}
    assert written == {(0, 0): "8", (1, 0): "2", (0, 1): "1", (1, 1): "3", (1, 2): "5"}
    assert colorbars(figure)[0].get_ylabel() == "% of the label's pictures"


def test_mistakes_figure(evaluation, tmp_path):
    data = generated(11, 4)
    figure = plot_mistakes(evaluation, data)
    check_figure(figure, tmp_path)
    assert figure.axes[0].get_title() == "cat, taken for\ndog (80%)"
    first = next(data.decoded("validation").as_numpy_iterator())["image"]
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), first)


def test_curves_figure(tmp_path):
    names = [f"{prefix}{name}" for prefix in ("", "val_") for name in ("loss", "top1", "top5")]
    log = {name: np.array([i, i + 1.0]) / 10 for i, name in enumerate(names)}
    figure = plot_curves(log, "title")
    check_figure(figure, tmp_path)
    left, right = figure.axes
    lines = {line.get_label(): line.get_ydata() for line in (*left.lines, *right.lines)}
    np.testing.assert_allclose(lines["validation"], [0.3, 0.4])
    np.testing.assert_allclose(lines["top-1, validation"], [60, 50])
