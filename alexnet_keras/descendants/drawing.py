"""The strokes that the diagrams are made of: boxes, arrows, volumes, words."""

import math
import re

import keras
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle

from alexnet_keras.costs import layer_costs

RED = "C3"

DASHES = (0, (1.5, 1))

WEIGHTED = (keras.layers.Conv2D, keras.layers.Dense)

_COLORS = {
    keras.layers.Conv2D: "lightsteelblue",
    keras.layers.Dense: "wheat",
    keras.layers.MaxPooling2D: "gainsboro",
    keras.layers.GlobalAveragePooling2D: "gainsboro",
    keras.layers.BatchNormalization: "honeydew",
    keras.layers.Activation: "mistyrose",
}


def path_to(layers, tensor):
    """Those of the layers that lead to a tensor, less padding, and the tensor they start from."""
    made_by = {id(layer.output): layer for layer in layers}
    path = []
    while id(tensor) in made_by:
        path.insert(0, made_by[id(tensor)])
        tensor = path[0].input
    return [layer for layer in path if not isinstance(layer, keras.layers.ZeroPadding2D)], tensor


def counts_of(model):
    parameters = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    multiply_adds = sum(cost.multiply_adds for cost in layer_costs(model))
    return f"{rounded(parameters)} parameters, {rounded(multiply_adds)} multiply-adds"


def rounded(n):
    for unit, size in (("G", 1e9), ("M", 1e6)):
        if n >= size:
            return f"{n / size:.1f} {unit}"
    return f"{n / 1e3:.1f} k"


def title_of(model):
    names = {"alexnet": "AlexNet", "vgg": "VGG-", "googlenet": "GoogLeNet", "resnet": "ResNet-"}
    word, depth = re.fullmatch(r"(.*?)(\d*)", model.name).groups()
    return names.get(word, word) + depth


def shape_of(tensor):
    return " x ".join(map(str, tensor.shape[1:]))


def size_of(layer):
    return " x ".join(map(str, layer.output.shape[1:3]))


def kernel_of(layer):
    window = getattr(layer, "kernel_size", None) or layer.pool_size
    return " x ".join(map(str, window))


def strides_of(layer):
    return layer.strides[0] if hasattr(layer, "strides") else 1


def words_of_layer(layer):
    if isinstance(layer, keras.layers.Conv2D):
        return f"{kernel_of(layer)}, {layer.filters}"
    if isinstance(layer, keras.layers.MaxPooling2D):
        return f"{kernel_of(layer)} max pool"
    if isinstance(layer, keras.layers.Dense):
        return f"dense, {layer.units}"
    if isinstance(layer, keras.layers.BatchNormalization):
        return "batch norm"
    return "ReLU" if isinstance(layer, keras.layers.Activation) else "mean over the map"


def words_of_group(group):
    """The lines under a group of layers of a chain: name, number, kernels, maps, size."""
    layers = [layer for layer in group if isinstance(layer, WEIGHTED)]
    if not layers:
        return ["image", "", "", f"{group[0].output.shape[-1]} maps", size_of(group[0])]
    number = f"{len(layers)} layers" if len(layers) > 1 else "1 layer"
    if isinstance(layers[0], keras.layers.Dense):
        return ["dense", number, *(f"{layer.units} units" for layer in layers)]
    maps = [layer.filters for layer in layers]
    maps = ", ".join(map(str, maps if len(set(maps)) > 1 else maps[:1]))
    kernels = ", ".join(dict.fromkeys(map(kernel_of, layers)))
    if strides_of(layers[0]) > 1:
        kernels += f", stride {strides_of(layers[0])}"
    first, last = (layers[i].name.split("_")[0] for i in (0, -1))
    name = first if first == last else f"{first} to {last}"
    return [name, number, kernels, f"{maps} maps", size_of(layers[0])]


def extent(layer):
    """Width, height and depth of a layer's output in the drawing, in inches."""
    _, *sides, maps = layer.output.shape
    if not sides:
        return 0.1, 0.021 * math.sqrt(maps), 0.0
    return 0.0105 * math.sqrt(maps), 0.085 * math.sqrt(sides[0]), 0.018 * math.sqrt(sides[0])


def new_canvas(width, height):
    """A figure of so many inches, and axes in inches from its upper left corner."""
    figure = Figure(figsize=(width, height), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.axis("off")
    return figure, axes


def draw_text(axes, x, y, words, size=8, ha="center", **style):
    axes.text(x, y, words, ha=ha, va="center", fontsize=size, **style)


def _color(layer):
    return next((color for kind, color in _COLORS.items() if isinstance(layer, kind)), "white")


def draw_rectangle(left, top, width, height, color, **style):
    style = {"edgecolor": "black", "linewidth": 0.8, **style}
    return Rectangle((left, top), width, height, facecolor=color, **style)


def _layer_rectangle(left, top, width, height, layer):
    style = {"edgecolor": RED, "linewidth": 1.5} if strides_of(layer) > 1 else {}
    return draw_rectangle(left, top, width, height, _color(layer), gid=layer.name, **style)


def draw_box(axes, x, y, width, height, layer, words):
    """A layer as a box around its words."""
    axes.add_patch(_layer_rectangle(x - width / 2, y - height / 2, width, height, layer))
    draw_text(axes, x, y, words)


def draw_bars(axes, x, y, layers):
    """The layers of a block as upright bars side by side; returns where they end."""
    for layer in layers:
        kernel = layer.kernel_size[0] if isinstance(layer, keras.layers.Conv2D) else 3
        width = {1: 0.05, 3: 0.1}.get(kernel, 0.16)
        axes.add_patch(_layer_rectangle(x, y, width, 0.3, layer))
        x += width + 0.02
    return x - 0.02


def draw_volume(axes, x, middle, width, height, depth, layer):
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


def draw_arrow(axes, tail, tip, color="black"):
    style = {"arrowstyle": "-|>", "color": color, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 8}
    axes.annotate("", tip, tail, arrowprops=style)


def add_legend(figure, kinds, others=()):
    handles = [
        draw_rectangle(0, 0, 1, 1, _COLORS[kind], label=label) for label, kind in kinds.items()
    ]
    handles += others
    columns = len(handles) if len(handles) <= 4 else 3
    style = {"loc": "lower center", "frameon": False, "fontsize": 8}
    figure.legend(handles=handles, ncols=columns, **style)
