"""Diagrams of the networks, drawn from built models. Each function returns a matplotlib figure.

The colours are the same everywhere: blue for convolutions, wheat for dense layers, grey for pools,
and red for what the diagram is about: shortcuts, and strides that halve the map.
"""

import dataclasses
import math
import re

import keras
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Arc, Circle, Patch, Polygon, Rectangle

from alexnet_keras.model import layer_costs


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

    >>> from alexnet_keras import ResNet, draw_residual_blocks
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
    figure, axes = _canvas(panel * len(models), top + step * longest + 1.15)

    def draw(path, x, y, end, color="black"):
        """Boxes from y on, each with an arrow from the one above; returns where they end."""
        for layer in path:
            _arrow(axes, (x, end), (x, y - 0.15), color)
            _box(axes, x, y, width(layer), 0.3, layer, _words(layer))
            y, end = y + step, y + 0.15
        return y, end

    for column, (model, parts, (half, side, right)) in enumerate(zip(models, blocks, places)):
        middle = panel * (column + 0.5)
        x, side = middle - right / 2 + half, middle - right / 2 + side
        _text(axes, middle, 0.25, _title(model), size=11, weight="bold")
        _text(axes, middle, 0.48, parts.kind, size=9)
        _text(axes, x, 0.8, _shape(parts.source))
        y, end = draw(parts.before, x, top, 0.88)
        split = end + 0.08
        y, end = draw(parts.main, x, y, end)
        add = y - 0.05
        _arrow(axes, (x, end), (x, add - 0.13))
        axes.plot([x, side], [split, split], color=_RED, linewidth=1.2)
        beside = top + step * (len(parts.before) + 1)
        _, turn = draw(parts.shortcut, side, beside, split, _RED)
        axes.plot([side, side], [turn, add], color=_RED, linewidth=1.2)
        _arrow(axes, (side, add), (x + 0.13, add), _RED)
        axes.add_patch(Circle((x, add), 0.13, facecolor="white", edgecolor="black", linewidth=0.8))
        _text(axes, x, add, "+", size=12)
        y, end = draw(parts.after, x, add + step, add + 0.13)
        _arrow(axes, (x, end), (x, end + 0.2))
        _text(axes, x, end + 0.28, _shape(parts.result))
    kinds = {
        "convolution": keras.layers.Conv2D,
        "batch normalization": keras.layers.BatchNormalization,
        "ReLU": keras.layers.Activation,
    }
    others = [Line2D([], [], color=_RED, label="shortcut")]
    if any(_strides(layer) > 1 for parts in blocks for layer in parts.main):
        others.append(_HALVED)
    _legend(figure, kinds, others)
    return figure


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

    >>> from alexnet_keras import GoogLeNet, draw_inception
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
    paths, (source, *_) = zip(*(_path(layers, tensor) for tensor in join.input))
    maps = [path[-1].output.shape[-1] for path in paths]
    longest = max(map(len, paths))

    pitch, step, top, wide = 2.0, 0.9, 0.75, 1.6
    figure, axes = _canvas(pitch * len(paths), top + step * (longest + 1) + 0.85)
    middle, full = pitch * len(paths) / 2, pitch * (len(paths) - 1) + wide
    left, bottom = middle - full / 2, top + step * (longest + 1)
    _text(axes, middle, 0.25, f"{_title(model)}: inception module {module}", size=11, weight="bold")
    axes.add_patch(_rectangle(left, top - 0.17, full, 0.34, "white"))
    _text(axes, middle, top, _shape(source), size=9)
    for column, (path, count) in enumerate(zip(paths, maps)):
        x, end = pitch * (column + 0.5), top + 0.17
        for row, layer in enumerate(path, longest - len(path) + 1):
            y = top + step * row
            words = f"{_kernel(layer)} max pool\nstride {_strides(layer)}"
            if isinstance(layer, keras.layers.Conv2D):
                words = f"{_kernel(layer)} convolution\n{layer.filters} maps"
            _arrow(axes, (x, end), (x, y - 0.22))
            _box(axes, x, y, wide, 0.44, layer, words)
            end = y + 0.22
        share = full * count / sum(maps)
        axes.add_patch(_rectangle(left, bottom - 0.17, share, 0.34, "white"))
        _text(axes, left + share / 2, bottom, count, size=9)
        _arrow(axes, (x, end), (left + share / 2, bottom - 0.17))
        left += share
    words = f"{' + '.join(map(str, maps))} maps: {_shape(join.output)}"
    _text(axes, middle, bottom + 0.33, words, size=9)
    kinds = {
        "convolution, then ReLU": keras.layers.Conv2D,
        "max pool": keras.layers.MaxPooling2D,
    }
    _legend(figure, kinds)
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

    >>> from alexnet_keras import ResNet, draw_resnets
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
    figure, axes = _canvas(across, top + sum(heights) + 0.55)

    _text(axes, 1.45, top - 0.19, "map", size=9, ha="right")
    for i, (row, y, height) in enumerate(zip(rows, tops, heights)):
        if i % 2 == 0:
            band = {"facecolor": "0.955", "zorder": 0}
            axes.add_patch(Rectangle((0, y), across, height, **band))
        first, *_, last = *networks[0][row][0], networks[0][row][-1][-1]
        size = _size(last) if len(last.output.shape) == 4 else "1 x 1"
        color = _RED if _strides(first) > 1 else "black"
        _text(axes, 0.12, y + height / 2, row, size=9, weight="bold", ha="left")
        _text(axes, 1.45, y + height / 2, size, size=9, color=color, ha="right")

    left = gutter
    for model, network, width in zip(models, networks, widths):
        stages = [blocks for row, blocks in network.items() if _is_stage(row)]
        count, each = sum(map(len, stages)), len(stages[0][0])
        depth = f"1 + {each} x {count} + 1 = {each * count + 2} layers with weights"
        _text(axes, left, 0.25, _title(model), size=12, weight="bold", ha="left")
        kind = _block_parts(model, "conv2_block2").kind
        _text(axes, left + width, 0.26, f"{kind}s", size=9, ha="right")
        _text(axes, left, 0.52, depth, size=9, ha="left")
        _text(axes, left, 0.73, _counts(model), size=9, ha="left")
        projections = {layer.name for layer in model.layers if "_0_conv" in layer.name}
        for row, y, height in zip(rows, tops, heights):
            words = "; ".join(map(_words, network[row][-1]))
            if not _is_stage(row):
                end = _bars(axes, left, y + height / 2 - 0.15, network[row][0])
                _text(axes, end + 0.12, y + height / 2, words, ha="left")
                continue
            _text(axes, left, y + 0.14, f"{len(network[row])} x ({words})", ha="left")
            for i, layers in enumerate(network[row]):
                x, low = left + pitch * (i % per_line), y + 0.4 + line * (i // per_line)
                end = _bars(axes, x, low, layers)
                projected = layers[0].name.replace("_1_conv", "_0_conv") in projections
                style = {"edgecolor": _RED, "linestyle": _DASHES if projected else "solid"}
                shortcut = Arc(((x + end) / 2, low - 0.02), end - x, 0.18, theta1=180, **style)
                axes.add_patch(shortcut)
        left += width + 0.22
    kinds = {
        "convolution, narrow for 1 x 1": keras.layers.Conv2D,
        "dense": keras.layers.Dense,
        "pool": keras.layers.MaxPooling2D,
    }
    arcs = {"shortcut": "solid", "with a projection": _DASHES}
    arcs = [Line2D([], [], color=_RED, linestyle=v, label=k) for k, v in arcs.items()]
    _legend(figure, kinds, [_HALVED, *arcs])
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

    >>> from alexnet_keras import VGG, AlexNet, draw_chains
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
    figure, axes = _canvas(width, row * len(models) + 0.3)
    for i, model in enumerate(models):
        groups = [[model.layers[0]], []]  # the image, then what lies between two pools
        for layer in model.layers:
            if isinstance(layer, (*_WEIGHTED, keras.layers.MaxPooling2D)):
                groups[-1].append(layer)
                if isinstance(layer, keras.layers.MaxPooling2D):
                    groups.append([])
        sizes = [[_extent(layer) for layer in group] for group in groups]
        # Each block hides a part of the side of the one before.
        used = [
            sum(w + back * d for w, _, d in group) + (1 - back) * group[-1][2] for group in sizes
        ]
        spans = [max(0.65, length) for length in used]
        space = (width - 0.3 - sum(spans)) / (len(groups) - 1)
        _text(axes, 0.15, row * i + 0.25, _title(model), size=11, weight="bold", ha="left")
        _text(axes, width - 0.15, row * i + 0.25, _counts(model), size=9, ha="right")
        left, middle, foot, end = 0.15, row * i + 1.55, row * i + 2.45, 0.0
        for group, extents, length, span in zip(groups, sizes, used, spans):
            x = left + (span - length) / 2
            if group is not groups[0]:
                _arrow(axes, (end, middle), (x - 0.05, middle))
            end = x + length + 0.05
            for layer, (wide, high, deep) in zip(group, extents):
                _volume(axes, x, middle, wide, high, deep, layer)
                x += wide + back * deep
            for n, words in enumerate(_group_words(group)):
                weight = "bold" if n == 0 else "normal"
                _text(axes, left + span / 2, foot + 0.16 * n, words, weight=weight)
            left += span + space
    kinds = {
        "convolution": keras.layers.Conv2D,
        "max pool": keras.layers.MaxPooling2D,
        "dense": keras.layers.Dense,
    }
    _legend(figure, kinds)
    return figure


_RED = "C3"
_DASHES = (0, (1.5, 1))
_HALVED = Patch(facecolor="white", edgecolor=_RED, linewidth=1.5, label="stride 2: half the map")
_BLOCK = re.compile(r"(conv\d+)_block(\d+)_")
_WEIGHTED = (keras.layers.Conv2D, keras.layers.Dense)
_COLORS = {
    keras.layers.Conv2D: "lightsteelblue",
    keras.layers.Dense: "wheat",
    keras.layers.MaxPooling2D: "gainsboro",
    keras.layers.GlobalAveragePooling2D: "gainsboro",
    keras.layers.BatchNormalization: "honeydew",
    keras.layers.Activation: "mistyrose",
}


def _check_residual(models):
    others = [m.name for m in models if not any(_BLOCK.match(x.name) for x in m.layers)]
    if others or not models:
        received = others or "none"
        raise ValueError(f"`models` must be built by `ResNet`. Received: {received}")


def _path(layers, tensor):
    """Those of the layers that lead to a tensor, less padding, and the tensor they start from."""
    made_by = {id(layer.output): layer for layer in layers}
    path = []
    while id(tensor) in made_by:
        path.insert(0, made_by[id(tensor)])
        tensor = path[0].input
    return [layer for layer in path if not isinstance(layer, keras.layers.ZeroPadding2D)], tensor


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
    (x, source), (y, _) = (_path(layers, tensor) for tensor in sums[0].input)
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
        elif not match and isinstance(layer, (*_WEIGHTED, keras.layers.MaxPooling2D)):
            rows[layer.name.split("_")[0].replace("predictions", "classes")] = [[layer]]
        elif isinstance(layer, keras.layers.GlobalAveragePooling2D):
            rows["mean"] = [[layer]]
    return rows


def _is_stage(row):
    return row.endswith("_x")


def _counts(model):
    parameters = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    multiply_adds = sum(cost.multiply_adds for cost in layer_costs(model))
    return f"{_rounded(parameters)} parameters, {_rounded(multiply_adds)} multiply-adds"


def _rounded(n):
    for unit, size in (("G", 1e9), ("M", 1e6)):
        if n >= size:
            return f"{n / size:.1f} {unit}"
    return f"{n / 1e3:.1f} k"


def _title(model):
    names = {"alexnet": "AlexNet", "vgg": "VGG-", "googlenet": "GoogLeNet", "resnet": "ResNet-"}
    word, depth = re.fullmatch(r"(.*?)(\d*)", model.name).groups()
    return names.get(word, word) + depth


def _shape(tensor):
    return " x ".join(map(str, tensor.shape[1:]))


def _size(layer):
    return " x ".join(map(str, layer.output.shape[1:3]))


def _kernel(layer):
    window = getattr(layer, "kernel_size", None) or layer.pool_size
    return " x ".join(map(str, window))


def _strides(layer):
    return layer.strides[0] if hasattr(layer, "strides") else 1


def _words(layer):
    if isinstance(layer, keras.layers.Conv2D):
        return f"{_kernel(layer)}, {layer.filters}"
    if isinstance(layer, keras.layers.MaxPooling2D):
        return f"{_kernel(layer)} max pool"
    if isinstance(layer, keras.layers.Dense):
        return f"dense, {layer.units}"
    if isinstance(layer, keras.layers.BatchNormalization):
        return "batch norm"
    return "ReLU" if isinstance(layer, keras.layers.Activation) else "mean over the map"


def _group_words(group):
    """The lines under a group of layers of a chain: name, number, kernels, maps, size."""
    layers = [layer for layer in group if isinstance(layer, _WEIGHTED)]
    if not layers:
        return ["image", "", "", f"{group[0].output.shape[-1]} maps", _size(group[0])]
    number = f"{len(layers)} layers" if len(layers) > 1 else "1 layer"
    if isinstance(layers[0], keras.layers.Dense):
        return ["dense", number, *(f"{layer.units} units" for layer in layers)]
    maps = [layer.filters for layer in layers]
    maps = ", ".join(map(str, maps if len(set(maps)) > 1 else maps[:1]))
    kernels = ", ".join(dict.fromkeys(map(_kernel, layers)))
    if _strides(layers[0]) > 1:
        kernels += f", stride {_strides(layers[0])}"
    first, last = (layers[i].name.split("_")[0] for i in (0, -1))
    name = first if first == last else f"{first} to {last}"
    return [name, number, kernels, f"{maps} maps", _size(layers[0])]


def _extent(layer):
    """Width, height and depth of a layer's output in the drawing, in inches."""
    _, *sides, maps = layer.output.shape
    if not sides:
        return 0.1, 0.021 * math.sqrt(maps), 0.0
    return 0.0105 * math.sqrt(maps), 0.085 * math.sqrt(sides[0]), 0.018 * math.sqrt(sides[0])


def _canvas(width, height):
    """A figure of so many inches, and axes in inches from its upper left corner."""
    figure = Figure(figsize=(width, height), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.axis("off")
    return figure, axes


def _text(axes, x, y, words, size=8, ha="center", **style):
    axes.text(x, y, words, ha=ha, va="center", fontsize=size, **style)


def _color(layer):
    return next((color for kind, color in _COLORS.items() if isinstance(layer, kind)), "white")


def _rectangle(left, top, width, height, color, **style):
    style = {"edgecolor": "black", "linewidth": 0.8, **style}
    return Rectangle((left, top), width, height, facecolor=color, **style)


def _layer_rectangle(left, top, width, height, layer):
    style = {"edgecolor": _RED, "linewidth": 1.5} if _strides(layer) > 1 else {}
    return _rectangle(left, top, width, height, _color(layer), gid=layer.name, **style)


def _box(axes, x, y, width, height, layer, words):
    """A layer as a box around its words."""
    axes.add_patch(_layer_rectangle(x - width / 2, y - height / 2, width, height, layer))
    _text(axes, x, y, words)


def _bars(axes, x, y, layers):
    """The layers of a block as upright bars side by side; returns where they end."""
    for layer in layers:
        kernel = layer.kernel_size[0] if isinstance(layer, keras.layers.Conv2D) else 3
        width = {1: 0.05, 3: 0.1}.get(kernel, 0.16)
        axes.add_patch(_layer_rectangle(x, y, width, 0.3, layer))
        x += width + 0.02
    return x - 0.02


def _volume(axes, x, middle, width, height, depth, layer):
    """The output of a layer as a block in perspective."""
    low, high, right = middle + height / 2, middle - height / 2, x + width
    faces = [[(x, low), (right, low), (right, high), (x, high)]]
    if depth:
        corner = (right + depth, high - depth)
        faces.append([(x, high), (right, high), corner, (x + depth, high - depth)])
        faces.append([(right, low), (right + depth, low - depth), corner, (right, high)])
    style = {"facecolor": _color(layer), "edgecolor": "black", "linewidth": 0.8}
    for face in faces:
        axes.add_patch(Polygon(face, gid=layer.name, joinstyle="round", **style))


def _arrow(axes, tail, tip, color="black"):
    style = {"arrowstyle": "-|>", "color": color, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 8}
    axes.annotate("", tip, tail, arrowprops=style)


def _legend(figure, kinds, others=()):
    handles = [_rectangle(0, 0, 1, 1, _COLORS[kind], label=label) for label, kind in kinds.items()]
    handles += others
    columns = len(handles) if len(handles) <= 4 else 3
    style = {"loc": "lower center", "frameon": False, "fontsize": 8}
    figure.legend(handles=handles, ncols=columns, **style)
