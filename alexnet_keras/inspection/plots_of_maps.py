"""Draws filters, feature maps, patches and dead units."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from alexnet_keras.figures import Figure, course_style
from alexnet_keras.inspection.patches import Patch


def _mosaic(maps: np.ndarray, per_row: int, gap: int, background: float) -> np.ndarray:
    """`(maps, height, width, ...)` side by side, `gap` pixels apart, row by row."""
    count, height, width, *colors = maps.shape
    rows = -(-count // per_row)
    size = (rows * (height + gap) - gap, per_row * (width + gap) - gap, *colors)
    mosaic = np.full(size, background)
    for i, one in enumerate(maps):
        top, left = i // per_row * (height + gap), i % per_row * (width + gap)
        mosaic[top : top + height, left : left + width] = one
    return mosaic


def _number_mosaic(axes, count: int, per_row: int, pitch: tuple[float, float], first: int = 0):
    """Ticks from which a map's number can be read: that of its row plus that of its column."""
    rows = -(-count // per_row)
    x, y = np.arange(0, per_row, -(-per_row // 20)), np.arange(0, rows, -(-rows // 40))
    axes.set_xticks(x * pitch[1] + (pitch[1] - 1) / 2, [f"+{i}" for i in x])
    axes.set_yticks(y * pitch[0] + (pitch[0] - 1) / 2, first + y * per_row)
    axes.tick_params(length=0, labelsize=8)
    axes.spines[:].set_visible(False)
    axes.grid(False)


@course_style()
def plot_filters(filters: Sequence[np.ndarray], title: str = "") -> Figure:
    """The kernels of the first convolution, as in the paper's figure 3: one column above the other.

    All have one scale: middle gray is a weight of zero, a colour one that looks for this colour.

    Args:
        filters: from `first_filters`; for each column `(filters, height, width, 3)`.
        title: of the figure.

    Example:

    >>> import numpy as np
    >>> figure = plot_filters([np.zeros((48, 11, 11, 3)), np.ones((48, 11, 11, 3))])
    >>> [axes.get_title() for axes in figure.axes[:2]]
    ['column a', 'column b']
    """
    strongest = max(np.abs(column).max() for column in filters) or 1.0
    per_row = min(16, max(len(column) for column in filters))
    rows = sum(-(-len(column) // per_row) for column in filters)
    figure = Figure(
        figsize=(9, 0.9 + 0.5 * len(filters) + 8 / per_row * rows), layout="constrained"
    )
    heights = [-(-len(column) // per_row) for column in filters]
    grid = figure.subplots(len(filters), 1, squeeze=False, height_ratios=heights)[:, 0]
    first = 0
    for axes, column, letter in zip(grid, filters, "abcdefgh"):
        axes.imshow(_mosaic(0.5 + column / (2 * strongest), per_row, 1, 1.0), vmin=0, vmax=1)
        _number_mosaic(axes, len(column), per_row, [side + 1 for side in column.shape[1:3]], first)
        if len(filters) > 1:
            axes.set_title(f"column {letter}")
        axes.set(ylabel="filter")
        first += len(column)
    axes.set(xlabel="filter: the number at the row plus that at the column")
    scale = ScalarMappable(Normalize(-strongest, strongest), "gray")
    figure.colorbar(
        scale, ax=list(grid), label="weight of red, green, blue", shrink=0.9, aspect=30, pad=0.01
    )
    figure.suptitle(title or "Filters of the first convolution")
    return figure


@course_style()
def plot_feature_maps(maps: np.ndarray, title: str = "", per_row: int | None = None) -> Figure:
    """The maps of a layer for a picture, on one scale.

    Args:
        maps: from `feature_maps`; `(height, width, channels)`, or `(units,)` of a dense layer.
        title: of the figure; name the layer.
        per_row: maps a row; `None` for about twice as many as rows.

    Example:

    >>> import numpy as np
    >>> plot_feature_maps(np.zeros((13, 13, 256)), "conv5").axes[0].get_xlabel()
    'channel: the number at the row plus that at the column'
    """
    maps = maps[None, None] if maps.ndim == 1 else maps
    height, width, count = maps.shape
    per_row = per_row or min(count, max(1, round(np.sqrt(1.6 * count * height / width))))
    gap = 0 if height == width == 1 else 1
    figure = Figure(
        figsize=(9, 1 + 7.2 * -(-count // per_row) * (height + gap) / (per_row * (width + gap))),
        layout="constrained",
    )
    axes = figure.subplots()
    mosaic = _mosaic(np.moveaxis(maps, -1, 0), per_row, gap, np.nan)
    # With zero in the middle where there are values on both sides of it.
    low, high = float(maps.min()), float(maps.max())
    signed = low < 0 < high
    reach = max(-low, high)
    image = axes.imshow(
        mosaic,
        cmap="RdBu_r" if signed else "viridis",
        vmin=-reach if signed else low,
        vmax=reach if signed else high,
        interpolation="nearest",
    )
    _number_mosaic(axes, count, per_row, (height + gap, width + gap))
    axes.set(
        title=title or "Feature maps",
        xlabel="channel: the number at the row plus that at the column",
        ylabel="channel",
    )
    figure.colorbar(image, label="activation", shrink=0.8)
    return figure


def shortened(value: float) -> str:
    """Three digits: 0.0123, 4.56, 1,230."""
    return f"{float(f'{value:.3g}'):,g}"


@course_style()
def plot_patches(
    patches: Sequence[Patch], class_names: Sequence[str], title: str = "", per_row: int = 3
) -> Figure:
    """What excites a unit most, the strongest first; light gray is outside of the picture.

    Args:
        patches: from `strongest_patches`.
        class_names: in the order of the labels.
        title: of the figure; name the layer and the channel.
        per_row: patches a row.

    Example:

    >>> import numpy as np
    >>> patch = Patch(0, 1, 0, 0, 3.5, (-2, -2, 9, 9), (0, 0, 9, 9), np.zeros((9, 9, 3)))
    >>> plot_patches([patch], ["cat", "dog"]).axes[0].get_title()
    'dog: 3.5'
    """
    rows = max(1, -(-len(patches) // per_row))
    figure = Figure(figsize=(2.4 * per_row, 0.6 + 2.6 * rows), layout="constrained")
    grid = figure.subplots(rows, per_row, squeeze=False)
    for axes in grid.flat[len(patches) :]:
        axes.axis("off")
    for axes, patch in zip(grid.flat, patches):
        top, left, bottom, right = patch.box
        y1, x1, y2, x2 = patch.inside
        axes.imshow(
            np.clip(patch.pixels, 0, 255).astype("uint8"),
            extent=(x1 - 0.5, x2 - 0.5, y2 - 0.5, y1 - 0.5),
        )
        axes.set(
            xlim=(left - 0.5, right - 0.5),
            ylim=(bottom - 0.5, top - 0.5),
            xticks=[],
            yticks=[],
            facecolor="0.9",
        )
        axes.set_title(f"{class_names[patch.label]}: {shortened(patch.activation)}", fontsize=9)
    figure.suptitle(title or "Strongest patches and their activations")
    return figure


@course_style()
def plot_dead_units(dead: Mapping[str, np.ndarray], title: str = "") -> Figure:
    """The share of units that are zero for every picture, by layer.

    Args:
        dead: from `dead_units`; for each layer bool `(units,)`.
        title: of the figure.

    Example:

    >>> import numpy as np
    >>> figure = plot_dead_units({"relu1": np.array([True, False, False, False])})
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['1 of 4']
    """
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    shares = [100 * units.mean() for units in dead.values()]
    bars = axes.bar(list(dead), shares)
    axes.bar_label(bars, [f"{units.sum()} of {units.size}" for units in dead.values()], fontsize=9)
    axes.set(
        title=title or "Dead units",
        xlabel="layer",
        ylabel="units never above zero, %",
        ylim=(0, max(10, 1.15 * max(shares))),
    )
    axes.grid(axis="x", visible=False)
    return figure
