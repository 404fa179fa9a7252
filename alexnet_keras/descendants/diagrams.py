"""Diagrams of the networks, drawn from built models. Each function returns a matplotlib figure.

The colours are the same everywhere: blue for convolutions, wheat for dense layers, grey for pools,
and red for what the diagram is about: shortcuts, and strides that halve the map.
"""

import keras
from matplotlib.figure import Figure

from alexnet_keras.descendants.drawing import (
    WEIGHTED,
    add_legend,
    counts_of,
    draw_arrow,
    draw_box,
    draw_rectangle,
    draw_text,
    draw_volume,
    extent,
    kernel_of,
    new_canvas,
    path_to,
    shape_of,
    strides_of,
    title_of,
    words_of_group,
)


def draw_inception(model: keras.Model, module: str = "3a") -> Figure:
    """One inception module: four paths from the same maps, and their results side by side.

    Args:
        model: built by `GoogLeNet`.
        module: 3a, 3b, 4a to 4e, 5a or 5b.

    Returns:
        A figure; at its foot each path has a share as wide as its number of maps.

    Raises:
        ValueError: if the model has no such module.

    Example:

    >>> from alexnet_keras import GoogLeNet
    >>> from alexnet_keras.descendants import draw_inception
    >>> draw_inception(GoogLeNet(width=0.25)).axes[0].texts[0].get_text()
    'GoogLeNet: inception module 3a'
    """
    joins = {
        layer.name.removeprefix("inception_"): layer
        for layer in model.layers
        if isinstance(layer, keras.layers.Concatenate)
    }
    if module not in joins:
        raise ValueError(f"`module` must be one of {list(joins)}. Received: {module!r}")
    join = joins[module]
    layers = [layer for layer in model.layers if layer.name.startswith(f"{join.name}_")]
    paths, (source, *_) = zip(*(path_to(layers, tensor) for tensor in join.input))
    maps = [path[-1].output.shape[-1] for path in paths]
    longest = max(map(len, paths))

    pitch, step, top, wide = 2.0, 0.9, 0.75, 1.6
    figure, axes = new_canvas(pitch * len(paths), top + step * (longest + 1) + 0.85)
    middle, full = pitch * len(paths) / 2, pitch * (len(paths) - 1) + wide
    left, bottom = middle - full / 2, top + step * (longest + 1)
    draw_text(
        axes, middle, 0.25, f"{title_of(model)}: inception module {module}", size=11, weight="bold"
    )
    axes.add_patch(draw_rectangle(left, top - 0.17, full, 0.34, "white"))
    draw_text(axes, middle, top, shape_of(source), size=9)
    for column, (path, count) in enumerate(zip(paths, maps)):
        x, end = pitch * (column + 0.5), top + 0.17
        for row, layer in enumerate(path, longest - len(path) + 1):
            y = top + step * row
            words = f"{kernel_of(layer)} max pool\nstride {strides_of(layer)}"
            if isinstance(layer, keras.layers.Conv2D):
                words = f"{kernel_of(layer)} convolution\n{layer.filters} maps"
            draw_arrow(axes, (x, end), (x, y - 0.22))
            draw_box(axes, x, y, wide, 0.44, layer, words)
            end = y + 0.22
        share = full * count / sum(maps)
        axes.add_patch(draw_rectangle(left, bottom - 0.17, share, 0.34, "white"))
        draw_text(axes, left + share / 2, bottom, count, size=9)
        draw_arrow(axes, (x, end), (left + share / 2, bottom - 0.17))
        left += share
    words = f"{' + '.join(map(str, maps))} maps: {shape_of(join.output)}"
    draw_text(axes, middle, bottom + 0.33, words, size=9)
    kinds = {
        "convolution, then ReLU": keras.layers.Conv2D,
        "max pool": keras.layers.MaxPooling2D,
    }
    add_legend(figure, kinds)
    return figure


def draw_chains(*models: keras.Model) -> Figure:
    """Networks without branches as rows of their maps, in one scale: AlexNet, VGG.

    Args:
        models: one or more whose layers form a chain.

    Returns:
        A figure. A block is the output of a layer: as high as the square root of the side of its
        maps or of its number of units, as thick as the square root of its number of maps.

    Raises:
        ValueError: if a model has branches.

    Example:

    >>> from alexnet_keras import VGG, AlexNet
    >>> from alexnet_keras.descendants import draw_chains
    >>> figure = draw_chains(AlexNet(width=0.25), VGG(11, width=0.25))
    """
    for model in models:
        joins = (keras.layers.Add, keras.layers.Concatenate)
        branches = [layer.name for layer in model.layers if isinstance(layer, joins)]
        if branches:
            raise ValueError(
                f"`models` must be chains of layers. Received: {model.name}, which has branches "
                f"that meet in {branches[0]}"
            )
    width, row, back = 8.0, 3.2, 0.6
    figure, axes = new_canvas(width, row * len(models) + 0.3)
    for i, model in enumerate(models):
        groups = [[model.layers[0]], []]  # the image, then what lies between two pools
        for layer in model.layers:
            if isinstance(layer, (*WEIGHTED, keras.layers.MaxPooling2D)):
                groups[-1].append(layer)
                if isinstance(layer, keras.layers.MaxPooling2D):
                    groups.append([])
        sizes = [[extent(layer) for layer in group] for group in groups]
        # Each block hides a part of the side of the one before.
        used = [
            sum(w + back * d for w, _, d in group) + (1 - back) * group[-1][2] for group in sizes
        ]
        spans = [max(0.65, length) for length in used]
        space = (width - 0.3 - sum(spans)) / (len(groups) - 1)
        draw_text(axes, 0.15, row * i + 0.25, title_of(model), size=11, weight="bold", ha="left")
        draw_text(axes, width - 0.15, row * i + 0.25, counts_of(model), size=9, ha="right")
        left, middle, foot, end = 0.15, row * i + 1.55, row * i + 2.45, 0.0
        for group, extents, length, span in zip(groups, sizes, used, spans):
            x = left + (span - length) / 2
            if group is not groups[0]:
                draw_arrow(axes, (end, middle), (x - 0.05, middle))
            end = x + length + 0.05
            for layer, (wide, high, deep) in zip(group, extents):
                draw_volume(axes, x, middle, wide, high, deep, layer)
                x += wide + back * deep
            for n, words in enumerate(words_of_group(group)):
                weight = "bold" if n == 0 else "normal"
                draw_text(axes, left + span / 2, foot + 0.16 * n, words, weight=weight)
            left += span + space
    kinds = {
        "convolution": keras.layers.Conv2D,
        "max pool": keras.layers.MaxPooling2D,
        "dense": keras.layers.Dense,
    }
    add_legend(figure, kinds)
    return figure
