"""Drawings of notebook 03."""

import math

import pytest

from alexnet_keras.course import (
    draw_chain,
    fastest_runs,
    median_epochs,
    plot_fastest,
    plot_rates,
)


def run(activation, rate, epochs, seed=0, regime="paper"):
    error = [0.5, 0.4, 0.2 if epochs else 0.3]
    about = {"activation": activation, "learning_rate": rate, "regime": regime, "seed": seed}
    return {**about, "epochs_to_25": epochs, "error": error}


RUNS = [
    *(run("relu", 0.01, epochs, seed) for seed, epochs in enumerate((3, 2, None))),
    *(run("relu", 0.1, epochs, seed) for seed, epochs in enumerate((1, None, None))),
    run("tanh", 0.1, None),
]


def test_median_counts_never_as_longest():
    assert median_epochs(RUNS[:3]) == 3
    assert median_epochs(RUNS[3:5]) == math.inf
    assert median_epochs(RUNS[3:6]) == math.inf


def test_fastest_rate():
    assert fastest_runs(RUNS, "paper", "relu") == RUNS[:3]
    assert fastest_runs(RUNS, "paper", "tanh") == RUNS[6:]
    with pytest.raises(ValueError, match="sigmoid"):
        fastest_runs(RUNS, "paper", "sigmoid")


def test_of_rates_that_never_get_there_the_lower_error():
    runs = [run("tanh", 0.1, None), {**run("tanh", 0.3, None), "error": [0.6, 0.28]}]
    assert fastest_runs(runs, "paper", "tanh") == runs[1:]


def test_points_of_rates():
    [axes] = plot_rates(RUNS, {"paper": "title"}).axes
    heights = [point[1] for dots in axes.collections for point in dots.get_offsets()]
    never = 1.25 * 3
    assert sorted(heights) == sorted([3, 2, never, 1, never, never, never])
    relu = axes.lines[0]
    assert list(relu.get_ydata()) == [3, never]


def test_curves_of_the_fastest():
    [axes] = plot_fastest(RUNS, {"paper": "title"}).axes
    curves = [line for line in axes.lines if len(line.get_xdata()) == 3]
    assert len(curves) == 4  # three seeds with ReLU, one with tanh
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "ReLU, rate 0.01",
        "tanh, rate 0.1",
    ]


def test_chain_leaves_out_what_has_no_gradient():
    values, gradients = {"x": 2.0, "s": 1.0, "L": 4.0}, {"s": -3.5, "L": 1.0}
    [axes] = draw_chain(["w x", "square"], values, [0.5, -3.5], gradients).axes
    texts = [text.get_text() for text in axes.texts]
    assert "s = 1" in texts and "gradient -3.5" in texts and "times -3.5" in texts
    assert "times 0.5" not in texts
    assert sum(text.startswith("gradient") for text in texts) == 2
