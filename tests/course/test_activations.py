"""Drawings of notebook 03."""

import math

import pytest

from alexnet_keras.course import draw_chain, epochs_until, fastest_runs, plot_fastest, plot_rates


def run(activation, rate, seed, *errors):
    about = {"activation": activation, "learning_rate": rate, "regime": "paper", "seed": seed}
    return {**about, "errors": [0.9, *errors]}


RUNS = [
    run("relu", 0.01, 0, 0.2),
    run("relu", 0.1, 0, 0.5, 0.3),
    run("relu", 0.01, 1, 0.5, 0.25),
    run("relu", 0.01, 2, 0.5, 0.3),
    run("tanh", 0.1, 0, 0.4),
    run("tanh", 0.3, 0, 0.35),
    run("tanh", 0.3, 1, 0.35),
]


def test_epochs_until():
    assert epochs_until(RUNS[2]) == 2
    assert epochs_until(RUNS[0]) == pytest.approx(0.65 / 0.7)
    assert epochs_until(RUNS[1]) == math.inf
    assert epochs_until(RUNS[1], error=0.5) == 1


def test_fastest_rate():
    assert fastest_runs(RUNS, "paper", "relu") == RUNS[2:4]
    assert fastest_runs(RUNS, "paper", "tanh") == RUNS[6:]  # neither arrives: the lower error
    with pytest.raises(ValueError, match="sigmoid"):
        fastest_runs(RUNS, "paper", "sigmoid")


def test_points_of_rates():
    [axes] = plot_rates(RUNS, {"paper": "title"}).axes
    never = 1.25 * 3
    by_seed_0, every, label, *_ = axes.lines
    assert list(by_seed_0.get_ydata()) == [pytest.approx(0.65 / 0.7), never]
    assert sorted(every.get_ydata()) == [pytest.approx(0.65 / 0.7), 2, never, never]


def test_curves_of_the_fastest():
    [axes] = plot_fastest(RUNS, {"paper": "title"}).axes
    curves = [list(line.get_ydata()) for line in axes.lines if len(line.get_xdata()) > 1]
    assert [90, 50, 25] in curves and [90, 50, 30] in curves and [90, 35] in curves
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "ReLU, rate 0.01",
        "tanh, rate 0.3",
    ]


def test_chain_leaves_out_what_has_no_gradient():
    values, gradients = {"x": 2.0, "s": 1.0, "L": 4.0}, {"s": -3.5, "L": 1.0}
    [axes] = draw_chain(["w x", "square"], values, [0.5, -3.5], gradients).axes
    texts = [text.get_text() for text in axes.texts]
    assert "s = 1" in texts and "gradient -3.5" in texts and "times -3.5" in texts
    assert "times 0.5" not in texts
    assert sum(text.startswith("gradient") for text in texts) == 2
