"""Diagrams of the residual networks: one block each, or whole networks."""

import dataclasses
import math
import re

import keras
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Arc, Circle, Patch, Rectangle

from alexnet_keras.descendants.drawing import (
    DASHES,
    RED,
    WEIGHTED,
    add_legend,
    counts_of,
    draw_arrow,
    draw_bars,
    draw_box,
    draw_text,
    new_canvas,
    path_to,
    shape_of,
    size_of,
    strides_of,
    title_of,
    words_of_layer,
)


def draw_residual_blocks(*models: keras.Model, block: str = "conv3_block2") -> Figure:
    """One block of each residual network, side by side.

    Args:
        models: one or more built by `ResNet`.
        block: which block; `conv3_block1`, the first of its stage, halves the map.

    Returns:
        A figure; a box is as wide as the square root of its number of maps.

    Raises:
        ValueError: if a model is no residual network or has no such block.

    Example:

    >>> from alexnet_keras import ResNet
    >>> from alexnet_keras.descendants import draw_residual_blocks
    >>> draw_residual_blocks(ResNet(18, width=0.25)).axes[0].texts[0].get_text()
    'ResNet-18'
    """
    _check_residual(models)
    blocks = [_block_parts(model, block) for model in models]
    most_maps = max(maps.shape[-1] for parts in blocks for maps in (parts.source, parts.result))
    step, top = 0.48, 1.2

    def width(layer):
        return 1.75 * math.sqrt(layer.output.shape[-1] / most_maps)

    places = []  # of the main path, of the shortcut and of the right edge
    for parts in blocks:
        half = max(map(width, (*parts.before, *parts.main, *parts.after))) / 2
        side = right = 2 * half + 0.2
        if parts.shortcut:  # beside the second layer of the main path and what follows
            beside = max(map(width, parts.main[1 : 1 + len(parts.shortcut)]))
            side = half + (beside + width(parts.shortcut[0])) / 2 + 0.15
            right = max(right, side + width(parts.shortcut[0]) / 2)
        places.append((half, side, right))
    panel = max(2.66, 4.8 / len(models), 0.3 + max(right for _, _, right in places))
    longest = max(len((*parts.before, *parts.main, *parts.after)) for parts in blocks)
    figure, axes = new_canvas(panel * len(models), top + step * longest + 1.15)

    def draw(path, x, y, end, color="black"):
        """Boxes from y on, each with an arrow from the one above; returns where they end."""
        for layer in path:
            draw_arrow(axes, (x, end), (x, y - 0.15), color)
            draw_box(axes, x, y, width(layer), 0.3, layer, words_of_layer(layer))
            y, end = y + step, y + 0.15
        return y, end

    for column, (model, parts, (half, side, right)) in enumerate(zip(models, blocks, places)):
        middle = panel * (column + 0.5)
        x, side = middle - right / 2 + half, middle - right / 2 + side
        draw_text(axes, middle, 0.25, title_of(model), size=11, weight="bold")
        draw_text(axes, middle, 0.48, parts.kind, size=9)
        draw_text(axes, x, 0.8, shape_of(parts.source))
        y, end = draw(parts.before, x, top, 0.88)
        split = end + 0.08
        y, end = draw(parts.main, x, y, end)
        add = y - 0.05
        draw_arrow(axes, (x, end), (x, add - 0.13))
        axes.plot([x, side], [split, split], color=RED, linewidth=1.2)
        beside = top + step * (len(parts.before) + 1)
        _, turn = draw(parts.shortcut, side, beside, split, RED)
        axes.plot([side, side], [turn, add], color=RED, linewidth=1.2)
        draw_arrow(axes, (side, add), (x + 0.13, add), RED)
        axes.add_patch(Circle((x, add), 0.13, facecolor="white", edgecolor="black", linewidth=0.8))
        draw_text(axes, x, add, "+", size=12)
        y, end = draw(parts.after, x, add + step, add + 0.13)
        draw_arrow(axes, (x, end), (x, end + 0.2))
        draw_text(axes, x, end + 0.28, shape_of(parts.result))
    kinds = {
        "convolution": keras.layers.Conv2D,
        "batch normalization": keras.layers.BatchNormalization,
        "ReLU": keras.layers.Activation,
    }
    others = [Line2D([], [], color=RED, label="shortcut")]
    if any(strides_of(layer) > 1 for parts in blocks for layer in parts.main):
        others.append(_HALVED)
    add_legend(figure, kinds, others)
    return figure


def draw_resnets(*models: keras.Model) -> Figure:
    """The structure of residual networks, side by side: stages, blocks, layers, sizes of the maps.

    Args:
        models: one or more built by `ResNet`, for the same size of images.

    Returns:
        A figure. Each layer with weights is a bar, narrow for a 1 x 1 convolution, wider for
        3 x 3 and 7 x 7, with a red edge where its stride halves the map; the arc over each block
        is its shortcut, dashed where it has a projection.

    Raises:
        ValueError: if a model is no residual network.

    Example:

    >>> from alexnet_keras import ResNet
    >>> from alexnet_keras.descendants import draw_resnets
    >>> figure = draw_resnets(ResNet(18, width=0.25), ResNet(34, width=0.25))
    """
    _check_residual(models)
    networks = [_rows(model) for model in models]
    rows = list(networks[0])
    per_line, pitch, line, gutter, top = 12, 0.29, 0.5, 1.75, 1.15
    most = [max(map(len, network.values())) for network in networks]
    widths = [max(2.6, pitch * min(per_line, blocks)) for blocks in most]
    lines = [-(-max(len(network[row]) for network in networks) // per_line) for row in rows]
    heights = [0.34 + line * n if _is_stage(row) else 0.46 for row, n in zip(rows, lines)]
    tops = [top + sum(heights[:i]) for i in range(len(rows))]
    across = max(5.5, gutter + sum(width + 0.22 for width in widths))
    figure, axes = new_canvas(across, top + sum(heights) + 0.55)

    draw_text(axes, 1.45, top - 0.19, "map", size=9, ha="right")
    for i, (row, y, height) in enumerate(zip(rows, tops, heights)):
        if i % 2 == 0:
            band = {"facecolor": "0.955", "zorder": 0}
            axes.add_patch(Rectangle((0, y), across, height, **band))
        first, *_, last = *networks[0][row][0], networks[0][row][-1][-1]
        size = size_of(last) if len(last.output.shape) == 4 else "1 x 1"
        color = RED if strides_of(first) > 1 else "black"
        draw_text(axes, 0.12, y + height / 2, row, size=9, weight="bold", ha="left")
        draw_text(axes, 1.45, y + height / 2, size, size=9, color=color, ha="right")

    left = gutter
    for model, network, width in zip(models, networks, widths):
        stages = [blocks for row, blocks in network.items() if _is_stage(row)]
        count, each = sum(map(len, stages)), len(stages[0][0])
        depth = f"1 + {each} x {count} + 1 = {each * count + 2} layers with weights"
        draw_text(axes, left, 0.25, title_of(model), size=12, weight="bold", ha="left")
        kind = _block_parts(model, "conv2_block2").kind
        draw_text(axes, left + width, 0.26, f"{kind}s", size=9, ha="right")
        draw_text(axes, left, 0.52, depth, size=9, ha="left")
        draw_text(axes, left, 0.73, counts_of(model), size=9, ha="left")
        projections = {layer.name for layer in model.layers if "_0_conv" in layer.name}
        for row, y, height in zip(rows, tops, heights):
            words = "; ".join(map(words_of_layer, network[row][-1]))
            if not _is_stage(row):
                end = draw_bars(axes, left, y + height / 2 - 0.15, network[row][0])
                draw_text(axes, end + 0.12, y + height / 2, words, ha="left")
                continue
            draw_text(axes, left, y + 0.14, f"{len(network[row])} x ({words})", ha="left")
            for i, layers in enumerate(network[row]):
                x, low = left + pitch * (i % per_line), y + 0.4 + line * (i // per_line)
                end = draw_bars(axes, x, low, layers)
                projected = layers[0].name.replace("_1_conv", "_0_conv") in projections
                style = {"edgecolor": RED, "linestyle": DASHES if projected else "solid"}
                shortcut = Arc(((x + end) / 2, low - 0.02), end - x, 0.18, theta1=180, **style)
                axes.add_patch(shortcut)
        left += width + 0.22
    kinds = {
        "convolution, narrow for 1 x 1": keras.layers.Conv2D,
        "dense": keras.layers.Dense,
        "pool": keras.layers.MaxPooling2D,
    }
    arcs = {"shortcut": "solid", "with a projection": DASHES}
    arcs = [Line2D([], [], color=RED, linestyle=v, label=k) for k, v in arcs.items()]
    add_legend(figure, kinds, [_HALVED, *arcs])
    return figure


_HALVED = Patch(facecolor="white", edgecolor=RED, linewidth=1.5, label="stride 2: half the map")

_BLOCK = re.compile(r"(conv\d+)_block(\d+)_")


def _check_residual(models):
    others = [m.name for m in models if not any(_BLOCK.match(x.name) for x in m.layers)]
    if others or not models:
        received = others or "none"
        raise ValueError(f"`models` must be built by `ResNet`. Received: {received}")


@dataclasses.dataclass(frozen=True)
class _BlockParts:
    """A residual block: what comes before the shortcut leaves, and after the sum."""

    before: list
    main: list
    shortcut: list
    after: list
    source: keras.KerasTensor
    result: keras.KerasTensor

    @property
    def kind(self):
        convolutions = sum(isinstance(layer, keras.layers.Conv2D) for layer in self.main)
        kind = "basic block" if convolutions == 2 else "bottleneck"
        return kind if self.after else f"pre-activation {kind}"


def _block_parts(model, block):
    layers = [layer for layer in model.layers if layer.name.startswith(f"{block}_")]
    sums = [layer for layer in layers if isinstance(layer, keras.layers.Add)]
    if not sums:
        found = (_BLOCK.match(layer.name) for layer in model.layers)
        names = list(dict.fromkeys(match[0][:-1] for match in found if match))
        raise ValueError(f"`block` must be one of {names}, in {model.name}. Received: {block!r}")
    (x, source), (y, _) = (path_to(layers, tensor) for tensor in sums[0].input)
    shared = sum(a is b for a, b in zip(x, y))
    shortcut, main = sorted((x[shared:], y[shared:]), key=len)
    after = [layer for layer in layers if layer.input is sums[0].output]
    return _BlockParts(x[:shared], main, shortcut, after, source, sums[0].output)


def _rows(model):
    """Rows of the diagram of a residual network: name to blocks, a block being a list of layers."""
    rows = {}
    for layer in model.layers:
        match = _BLOCK.match(layer.name)
        if match and isinstance(layer, keras.layers.Conv2D) and "_0_conv" not in layer.name:
            blocks = rows.setdefault(f"{match[1]}_x", [])
            if not blocks or not blocks[-1][0].name.startswith(match[0]):
                blocks.append([])
            blocks[-1].append(layer)
        elif not match and isinstance(layer, (*WEIGHTED, keras.layers.MaxPooling2D)):
            rows[layer.name.split("_")[0].replace("predictions", "classes")] = [[layer]]
        elif isinstance(layer, keras.layers.GlobalAveragePooling2D):
            rows["mean"] = [[layer]]
    return rows


def _is_stage(row):
    return row.endswith("_x")
