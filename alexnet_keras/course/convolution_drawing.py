"""One step of a convolution, drawn with its numbers."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from alexnet_keras.course.figures import new_figure

_CHANNELS = ("#C44E52", "#55A868", "#4C72B0")
_CHANNEL_NAMES = ("red", "green", "blue")
_WINDOW = "#E69F00"


def draw_convolution(
    image: np.ndarray, kernel: np.ndarray, feature_map: np.ndarray, row: int, column: int
) -> Figure:
    """Draws how one number of a feature map comes about, with stride 1 and no padding.

    Args:
        image: small whole numbers, `(height, width, 3)`.
        kernel: `(side, side, 3)`.
        feature_map: of the image and the kernel, `(height - side + 1, width - side + 1)`; the
            numbers that follow the one in question are left out.
        row, column: of that number.

    Returns:
        A figure: for each channel the image with the window, the kernel, and their products; at
        the right the map up to the number that is their sum.

    Raises:
        ValueError: if the three arrays do not go together.

    Example:

    >>> import numpy as np
    >>> from alexnet_keras.course import draw_convolution
    >>> image, kernel = np.ones((4, 4, 3), int), np.ones((3, 3, 3), int)
    >>> figure = draw_convolution(image, kernel, np.full((2, 2), 27), row=0, column=1)
    >>> len(figure.axes)
    10
    """
    side = kernel.shape[0]
    places = tuple(n - side + 1 for n in image.shape[:2])
    if image.shape[2:] != (3,) or kernel.shape != (side, side, 3) or feature_map.shape != places:
        raise ValueError(
            "`image`, `kernel` and `feature_map` must be (h, w, 3), (k, k, 3) and (h - k + 1, "
            f"w - k + 1). Received: {image.shape}, {kernel.shape}, {feature_map.shape}"
        )
    window = image[row : row + side, column : column + side]
    figure = new_figure(figsize=(10, 6.3), dpi=100, layout="constrained")
    grid = figure.add_gridspec(3, 4, width_ratios=[image.shape[1], side, side, places[1] + 0.5])
    for channel, (color, name) in enumerate(zip(_CHANNELS, _CHANNEL_NAMES)):
        panels = [figure.add_subplot(grid[channel, i]) for i in range(3)]
        for axes, numbers in zip(panels, (image, kernel, window * kernel)):
            _draw_numbers(axes, numbers[..., channel], color)
        _outline(panels[0], row, column, side)
        panels[0].set_ylabel(name, color=color, weight="bold")
        for axes, sign in zip(panels[1:], ("x", "=")):
            axes.text(-0.3, side / 2, sign, ha="center", va="center", fontsize=14)
        if channel == 0:
            titles = ("image and window", "kernel", "products")
            for axes, title in zip(panels, titles):
                axes.set_title(title, loc="center")
    axes = figure.add_subplot(grid[:, 3])
    seen = np.arange(feature_map.size).reshape(places) <= row * places[1] + column
    _draw_numbers(axes, feature_map, "#666666", seen)
    _outline(axes, row, column, 1)
    total = int((window * kernel).sum())
    axes.set_title(f"feature map\nsum of all {kernel.size} products: {total}", loc="center")
    return figure


def _draw_numbers(axes: Axes, numbers: np.ndarray, color: str, seen: np.ndarray | None = None):
    rows, columns = numbers.shape
    for (row, column), number in np.ndenumerate(numbers):
        shown = seen is None or seen[row, column]
        style = {"edgecolor": "0.6", "linewidth": 0.8}
        face = Rectangle((column, row), 1, 1, facecolor=color, alpha=0.18 if shown else 0.0)
        axes.add_patch(face)
        axes.add_patch(Rectangle((column, row), 1, 1, fill=False, **style))
        if shown:
            place = {"ha": "center", "va": "center", "fontsize": 9}
            axes.text(column + 0.5, row + 0.5, f"{number:g}", **place)
    axes.set(xlim=(-0.6, columns + 0.1), ylim=(rows + 0.1, -0.1), aspect="equal")
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(False)


def _outline(axes, row, column, side):
    style = {"fill": False, "edgecolor": _WINDOW, "linewidth": 2.8}
    axes.add_patch(Rectangle((column, row), side, side, **style))
