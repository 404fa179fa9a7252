import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy import stats

from alexnet_keras.course import plot_comparison


def runs(condition, last):
    return [
        {"condition": condition, "seed": seed, "val_error": [0.9, error]}
        for seed, error in enumerate(last)
    ]


@pytest.fixture
def pair():
    with plt.rc_context({"backend": "agg"}):
        yield runs("base", [0.30, 0.32, 0.31]), runs("other", [0.33, 0.34, 0.36, 0.5])
        plt.close("all")


def test_difference_and_interval_are_those_of_the_pairs(pair):
    figure = plot_comparison([*pair[0], *pair[1]], "base", "other", names=("with", "without"))
    left, right = figure.axes
    assert [text.get_text() for text in left.get_xticklabels()] == ["with", "without"]
    *joined, means = [line.get_ydata() for line in left.lines]
    np.testing.assert_allclose(joined, [[30, 33], [32, 34], [31, 36]])  # the fourth has no partner
    np.testing.assert_allclose(means, [31, 103 / 3])

    assert right.get_xlabel() == "without less with, points"
    dots = next(line for line in right.lines if line.get_marker() == "o")
    np.testing.assert_allclose(dots.get_xdata(), [3, 2, 5])
    (bar,) = right.containers
    ends = bar.lines[2][0].get_segments()[0][:, 0]
    reach = stats.t.ppf(0.975, 2) * np.std([3, 2, 5], ddof=1) / np.sqrt(3)
    np.testing.assert_allclose(ends, [10 / 3 - reach, 10 / 3 + reach])


def test_too_few_pairs(pair):
    with pytest.raises(ValueError, match=r"both 'base' and 'other'. Received: seeds \[0\]"):
        plot_comparison([*pair[0], *pair[1][:1]], "base", "other")
    with pytest.raises(ValueError, match="confidence"):
        plot_comparison([*pair[0], *pair[1]], "base", "other", confidence=1)
