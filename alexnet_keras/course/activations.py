"""Drawings of notebook 03: a backward pass with its numbers, and runs of the paper's figure 1."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

_COLORS = {"relu": "#0072B2", "tanh": "#E69F00"}
_NAMES = {"relu": "ReLU", "tanh": "tanh"}
_MARKERS = {"relu": "o", "tanh": "s"}


def draw_chain(
    steps: Sequence[str],
    values: Mapping[str, float],
    slopes: Sequence[float],
    gradients: Mapping[str, float],
) -> Figure:
    """A chain of steps with the numbers of the forward and of the backward pass.

    Args:
        steps: what leads from each quantity to the next, one fewer than the quantities.
        values: name and value of each quantity, in the order of the forward pass.
        slopes: of each step.
        gradients: of the loss, by the names of the quantities; one that is missing is left out.

    Example:

    >>> figure = draw_chain(["times 3"], {"x": 2.0, "y": 6.0}, [3.0], {"x": 3.0, "y": 1.0})
    >>> [text.get_text() for text in figure.axes[0].texts][:2]
    ['x = 2', 'gradient 3']
    """
    figure = Figure(figsize=(8, 2.3), layout="constrained")
    axes = figure.subplots()
    axes.set(xlim=(-0.5, len(values) - 0.5), ylim=(-0.6, 1.6))
    axes.axis("off")
    box = {"boxstyle": "round,pad=0.4", "facecolor": "white"}
    for i, (name, value) in enumerate(values.items()):
        forward = {**box, "edgecolor": "#0072B2"}
        axes.text(i, 1, f"{name} = {value:.3g}", ha="center", va="center", bbox=forward)
        if name in gradients:
            text, back = f"gradient {gradients[name]:.3g}", {**box, "edgecolor": "#D55E00"}
            axes.text(i, 0, text, ha="center", va="center", fontsize=9, bbox=back)
    for i, (step, slope) in enumerate(zip(steps, slopes)):
        ends = {"xytext": (i + 0.33, 1), "xy": (i + 0.67, 1)}
        axes.annotate("", **ends, arrowprops={"arrowstyle": "->", "color": "#0072B2"})
        axes.text(i + 0.5, 1.32, step, ha="center", fontsize=9, color="#0072B2")
        if list(values)[i] in gradients:
            ends = {"xytext": (i + 0.62, 0), "xy": (i + 0.38, 0)}
            axes.annotate("", **ends, arrowprops={"arrowstyle": "->", "color": "#D55E00"})
            label = f"times {slope:.3g}"
            axes.text(i + 0.5, -0.45, label, ha="center", fontsize=9, color="#D55E00")
    return figure


def epochs_until(run: Mapping[str, Any], error: float = 0.25) -> float:
    """Epochs until a run of `results("relu")` reached a training error; infinite if it never did.

    Between the ends of two epochs the error is taken to fall along a straight line.

    Args:
        run: `run["errors"]` holds the error before training and after each epoch.
        error: to reach.

    Example:

    >>> epochs_until({"errors": [0.9, 0.35, 0.15]})
    1.5
    """
    for epoch, (before, after) in enumerate(zip(run["errors"], run["errors"][1:])):
        if after <= error:
            return epoch + (before - error) / (before - after)
    return math.inf


def fastest_runs(
    runs: Sequence[Mapping[str, Any]], regime: str, activation: str
) -> list[Mapping[str, Any]]:
    """The runs with the learning rate that reached 25 % training error soonest.

    The rate is chosen with seed 0; of equals, it is the one with the lower last error. The runs
    that come back are those of the other seeds, so that none is judged by what it was chosen for.

    Args:
        runs: lines of `results("relu")`.
        regime, activation: of the runs to compare.

    Raises:
        ValueError: if there are no such runs.

    Example:

    >>> about = {"regime": "paper", "activation": "relu", "errors": [0.9, 0.2]}
    >>> runs = [{**about, "learning_rate": 0.1, "seed": 0, "errors": [0.9, 0.6]},
    ...         {**about, "learning_rate": 0.01, "seed": 0},
    ...         {**about, "learning_rate": 0.01, "seed": 1}]
    >>> [(run["learning_rate"], run["seed"]) for run in fastest_runs(runs, "paper", "relu")]
    [(0.01, 1)]
    """
    chosen = [r for r in runs if (r["regime"], r["activation"]) == (regime, activation)]
    if not chosen:
        raise ValueError(f"There must be runs of {activation} in the regime {regime}.")
    first = [run for run in chosen if run["seed"] == 0]
    fastest = min(first, key=lambda run: (epochs_until(run), run["errors"][-1]))
    rate = fastest["learning_rate"]
    return [run for run in chosen if run["seed"] and run["learning_rate"] == rate]


def plot_rates(runs: Sequence[Mapping[str, Any]], titles: Mapping[str, str]) -> Figure:
    """Epochs to 25 % training error for each learning rate: a point a seed, a line for seed 0.

    Args:
        runs: lines of `results("relu")`.
        titles: of the panels, by regime.

    Example:

    >>> from alexnet_keras.course import results
    >>> figure = plot_rates(results("relu"), {"paper": "as in 2012"})
    >>> len(figure.axes)
    1
    """
    figure, panels = _panels(titles)
    never = 1.25 * max(len(run["errors"]) for run in runs)
    for axes, regime in zip(panels, titles):
        for activation, color in _COLORS.items():
            chosen = [r for r in runs if (r["regime"], r["activation"]) == (regime, activation)]
            shift = 0.96 if activation == "relu" else 1.04  # so that neither hides the other
            for seeds, style in (([0], "-" if activation == "relu" else "--"), (None, "none")):
                points = sorted(
                    (shift * run["learning_rate"], min(never, epochs_until(run)))
                    for run in chosen
                    if seeds is None or run["seed"] in seeds
                )
                marker = _MARKERS[activation] if seeds is None else ""
                look = {"linestyle": style, "marker": marker, "color": color, "alpha": 0.7}
                axes.plot(*zip(*points), **look)
            dash = "-" if activation == "relu" else "--"
            axes.plot([], [], dash + _MARKERS[activation], color=color, label=_NAMES[activation])
        axes.axhline(never, color="0.6", linewidth=0.8, linestyle=":")
        axes.set(xscale="log", yscale="log")
        rates = sorted({run["learning_rate"] for run in runs if run["regime"] == regime})
        axes.set_xticks(rates, [f"{rate:g}" for rate in rates])
        ticks = [e for e in (1, 2, 5, 10, 20, 50, 100, 200) if e < 0.8 * never]
        axes.set_yticks([*ticks, never], [*map(str, ticks), "never"])
        axes.minorticks_off()
    figure.supxlabel("learning rate", fontsize=10)
    figure.supylabel("epochs to 25 % training error", fontsize=10)
    panels[0].legend()
    return figure


def plot_fastest(runs: Sequence[Mapping[str, Any]], titles: Mapping[str, str]) -> Figure:
    """Training error by epoch at each activation's fastest rate, a line a seed.

    Args:
        runs: lines of `results("relu")`.
        titles: of the panels, by regime.

    Example:

    >>> from alexnet_keras.course import results
    >>> figure = plot_fastest(results("relu"), {"paper": "as in 2012"})
    >>> len(figure.axes)
    1
    """
    figure, panels = _panels(titles)
    for axes, regime in zip(panels, titles):
        for activation, color in _COLORS.items():
            fastest = fastest_runs(runs, regime, activation)
            style = "-" if activation == "relu" else "--"
            for run in fastest:
                errors = [100 * error for error in run["errors"]]
                axes.plot(errors, style, color=color, alpha=0.7, linewidth=1.2)
            rate = fastest[0]["learning_rate"]
            axes.plot([], [], style, color=color, label=f"{_NAMES[activation]}, rate {rate:g}")
        axes.axhline(25, color="0.4", linewidth=0.8, linestyle=":")
        axes.set(ylim=(0, 100))
        axes.legend()
    figure.supxlabel("epoch", fontsize=10)
    figure.supylabel("training error, %", fontsize=10)
    return figure


def _panels(titles):
    """Two panels a row, one for each regime."""
    rows, columns = math.ceil(len(titles) / 2), min(2, len(titles))
    figure = Figure(figsize=(2 + 3.5 * columns, 0.6 + 2.9 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for axes, title in zip(panels, titles.values()):
        axes.set_title(title)
    for axes in panels[len(titles) :]:
        axes.remove()
    return figure, panels[: len(titles)]
