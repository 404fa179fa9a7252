import matplotlib as mpl
import numpy as np

from alexnet_keras.course import plot_confusion_counts, plot_predictions


def test_bars_are_the_probabilities_and_the_right_class_stands_out():
    probabilities = np.array([[0.1, 0.7, 0.2], [0.6, 0.1, 0.3]])
    figure = plot_predictions(np.zeros((2, 4, 4, 3)), [1, 2], probabilities, list("abc"), top=2)
    first, second = figure.axes[2:]
    assert [bar.get_width() for bar in first.patches] == [0.7, 0.2]
    assert [text.get_text() for text in second.texts] == ["a 60 %", "c 30 %"]
    blue = mpl.colors.to_rgba("C0")
    assert [bar.get_facecolor() == blue for bar in second.patches] == [False, True]


def test_rows_are_labels():
    counts = np.array([[5, 1], [0, 0]])
    axes = plot_confusion_counts(counts, ["cat", "dog"], "Title").axes[0]
    np.testing.assert_allclose(axes.images[0].get_array(), [[5 / 6, 1 / 6], [0, 0]])
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "label")
    assert [text.get_text() for text in axes.texts] == ["5", "1", "0", "0"]
