"""Curves by epoch of runs that differ only in their seed."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from alexnet_keras.figures import Figure, course_style

LOSSES = {
    "loss": ("training, in training", ":"),
    "loss_all_units": ("training, all units", "--"),
    "val_loss": ("validation", "-"),
}


def plot_over_seeds(axes: Axes, curves: Sequence[Sequence[float]], label: str, **style) -> None:
    """Draws the mean over the seeds in a band from the lowest to the highest of them.

    Args:
        axes: to draw on.
        curves: one for each seed, each with a value for every epoch.
        label: of the mean, in the legend.
        style: of the mean, as of `Axes.plot`; `color` is the band's, too.

    Raises:
        ValueError: if there are no curves, or they differ in length.

    Example:

    >>> import matplotlib.pyplot as plt
    >>> _, axes = plt.subplots()
    >>> plot_over_seeds(axes, [[3, 2, 1], [5, 2, 3]], "loss")
    >>> axes.lines[0].get_ydata().tolist()
    [4.0, 2.0, 2.0]
    """
    lengths = {len(curve) for curve in curves}
    if len(lengths) != 1:
        raise ValueError(
            "`curves` must be one or more of the same length. "
            f"Received: {len(curves)} of lengths {sorted(lengths)}"
        )
    values = np.asarray(curves, float)
    epochs = np.arange(1, values.shape[1] + 1)
    (line,) = axes.plot(epochs, values.mean(axis=0), label=label, **style)
    band = {"color": line.get_color(), "alpha": 0.2, "linewidth": 0}
    axes.fill_between(epochs, values.min(axis=0), values.max(axis=0), **band)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


@course_style()
def plot_losses(
    runs: Mapping[str, Sequence[Mapping[str, Sequence[float]]]],
    title: str = "",
    highest: float | None = None,
) -> Figure:
    """Three losses by epoch, a panel for each condition.

    Args:
        runs: for each condition the runs of its seeds; each has the lists `loss` (while training),
            `loss_all_units` (of the training pictures, without dropout) and `val_loss`.
        title: of the figure.
        highest: loss at which the panels end; `None` for the highest of all.

    Example:

    >>> run = {"loss": [2.3, 2.0], "loss_all_units": [2.2, 1.9], "val_loss": [2.2, 2.1]}
    >>> figure = plot_losses({"dropout": [run], "none": [run]})
    >>> [axes.get_title() for axes in figure.axes]
    ['dropout', 'none']
    """
    figure = Figure(figsize=(4.5 * len(runs), 3.6), layout="constrained")
    panels = figure.subplots(1, len(runs), sharey=True, squeeze=False)[0]
    for axes, (condition, of_seeds) in zip(panels, runs.items()):
        for number, (key, (label, dashes)) in enumerate(LOSSES.items()):
            curves = [run[key] for run in of_seeds]
            plot_over_seeds(axes, curves, label, color=f"C{number}", linestyle=dashes)
        axes.set(title=condition, xlabel="epoch", ylabel="loss, nats")
    panels[0].set_ylim(0, highest)  # of all; at the end, when the highest loss is known
    panels[0].legend()
    figure.suptitle(title)
    return figure
