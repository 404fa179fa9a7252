"""Figures that a notebook shows where they end a cell."""

from typing import Any

from matplotlib.figure import Figure


def new_figure(**options: Any) -> Figure:
    """A figure that is shown once, also where it is the first of a notebook.

    pyplot makes it, so that the notebook's back end is loaded, which knows how to show a figure;
    and forgets it again, or it would be shown a second time.

    Args:
        options: of `matplotlib.pyplot.figure`.

    Example:

    >>> new_figure(figsize=(3, 2)).get_size_inches().tolist()
    [3.0, 2.0]
    """
    import matplotlib.pyplot as plt

    figure = plt.figure(**options)
    plt.close(figure)
    return figure
