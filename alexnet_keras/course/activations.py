"""Drawings of notebook 03: a backward pass with its numbers, and runs of the paper's figure 1."""

import statistics
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


def fastest_runs(
    runs: Sequence[Mapping[str, Any]], regime: str, activation: str
) -> list[Mapping[str, Any]]:
    """The runs with the learning rate that reaches 25 % training error soonest.

    It is the rate whose runs take the fewest epochs in the median, where a run that never gets
    there counts as longer than any other; of equal rates, the one with the lower last error.

    Args:
        runs: lines of `results("relu")`.
        regime, activation: of the runs to compare.

    Raises:
        ValueError: if there are no such runs.

    Example:

    >>> about = {"regime": "paper", "activation": "relu", "error": [0.5, 0.2]}
    >>> runs = [{**about, "learning_rate": 0.1, "epochs_to_25": None},
    ...         {**about, "learning_rate": 0.01, "epochs_to_25": 2}]
    >>> [run["learning_rate"] for run in fastest_runs(runs, "paper", "relu")]
    [0.01]
    """
    chosen = [r for r in runs if (r["regime"], r["activation"]) == (regime, activation)]
    if not chosen:
        raise ValueError(f"There must be runs of {activation} in the regime {regime}.")

    by_rate: dict[float, list] = {}
    for run in chosen:
        by_rate.setdefault(run["learning_rate"], []).append(run)

    def slowness(of_rate):
        return median_epochs(of_rate), statistics.median(run["error"][-1] for run in of_rate)

    return min(by_rate.values(), key=slowness)


def median_epochs(runs: Sequence[Mapping[str, Any]]) -> float:
    """The median of the epochs to 25 % training error; infinite if most runs never get there.

    Args:
        runs: lines of `results("relu")`, for example those of one learning rate.

    Example:

    >>> median_epochs([{"epochs_to_25": 4}, {"epochs_to_25": None}, {"epochs_to_25": 6}])
    6
    """
    epochs = [run["epochs_to_25"] for run in runs]
    return statistics.median_high([float("inf") if e is None else e for e in epochs])


def plot_rates(runs: Sequence[Mapping[str, Any]], titles: Mapping[str, str]) -> Figure:
    """Epochs to 25 % training error for each learning rate: a point a seed, a line the median.

    Args:
        runs: lines of `results("relu")`.
        titles: of the panels, by regime.

    Example:

    >>> from alexnet_keras.course import results
    >>> figure = plot_rates(results("relu"), {"paper": "as in 2012", "he": "as today"})
    >>> len(figure.axes)
    2
    """
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    panels = figure.subplots(1, len(titles), sharey=True, squeeze=False)[0]
    never = 1.25 * max(len(run["error"]) for run in runs)
    for axes, (regime, title) in zip(panels, titles.items()):
        for activation, color in _COLORS.items():
            by_rate: dict[float, list] = {}
            for run in runs:
                if (run["regime"], run["activation"]) == (regime, activation):
                    by_rate.setdefault(run["learning_rate"], []).append(run)
            shift = 0.96 if activation == "relu" else 1.04  # so that neither hides the other
            rates = sorted(by_rate)
            for rate in rates:
                heights = [run["epochs_to_25"] or never for run in by_rate[rate]]
                look = {"color": color, "alpha": 0.6, "s": 18, "marker": _MARKERS[activation]}
                axes.scatter([shift * rate] * len(heights), heights, **look)
            line = [min(never, median_epochs(by_rate[rate])) for rate in rates]
            style = "-" if activation == "relu" else "--"
            axes.plot([shift * r for r in rates], line, style, color=color)
            axes.plot([], [], style + _MARKERS[activation], color=color, label=_NAMES[activation])
        axes.axhline(never, color="0.6", linewidth=0.8, linestyle=":")
        axes.set(title=title, xscale="log", yscale="log", xlabel="learning rate")
        rates = sorted({run["learning_rate"] for run in runs if run["regime"] == regime})
        axes.set_xticks(rates, [f"{rate:g}" for rate in rates])
        axes.minorticks_off()
    ticks = [e for e in (1, 2, 5, 10, 20, 50, 100, 200) if e < 0.8 * never]
    panels[0].set_yticks([*ticks, never], [*map(str, ticks), "never"])
    panels[0].set_ylabel("epochs to 25 % training error")
    panels[0].legend()
    return figure


def plot_fastest(runs: Sequence[Mapping[str, Any]], titles: Mapping[str, str]) -> Figure:
    """Training error by epoch at each activation's fastest rate, a line a seed.

    Args:
        runs: lines of `results("relu")`.
        titles: of the panels, by regime.

    Example:

    >>> from alexnet_keras.course import results
    >>> figure = plot_fastest(results("relu"), {"paper": "as in 2012", "he": "as today"})
    >>> len(figure.axes)
    2
    """
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    panels = figure.subplots(1, len(titles), sharey=True, squeeze=False)[0]
    for axes, (regime, title) in zip(panels, titles.items()):
        for activation, color in _COLORS.items():
            fastest = fastest_runs(runs, regime, activation)
            style = "-" if activation == "relu" else "--"
            for run in fastest:
                errors = [100 * error for error in run["error"]]
                line = {"color": color, "alpha": 0.7, "linewidth": 1.2}
                axes.plot(range(1, len(errors) + 1), errors, style, **line)
            label = f"{_NAMES[activation]}, rate {fastest[0]['learning_rate']:g}"
            axes.plot([], [], style, color=color, label=label)
        axes.axhline(25, color="0.4", linewidth=0.8, linestyle=":")
        axes.set(title=title, xlabel="epoch", ylim=(0, 100))
        axes.legend()
    panels[0].set_ylabel("training error, %")
    return figure
