"""Networks drawn in the manner of the paper's figure 2, from built models."""

import dataclasses
import math

import keras
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from alexnet_keras.course.figures import new_figure
from alexnet_keras.course.tables import LAYER_COLORS

PAGE = 10.0  # inches
_CROSSING = "#D00000"
_POOLS = (keras.layers.MaxPooling2D, keras.layers.AveragePooling2D)
_SLANT = (0.24, 0.2)  # to the right and up, of the height of a map
_TOP, _FOOT, _ROW_GAP = 0.4, 0.62, 0.42
_WIDEST_GAP = 0.7


@dataclasses.dataclass
class _Box:
    """The output of one layer."""

    name: str
    color: str
    shape: tuple[int, ...]
    columns: int = 1
    window: int | None = None  # of the layer, on the box before
    stride: int = 1
    crosses: bool = False
    pool: bool = False
    x: float = 0.0

    @property
    def maps(self) -> int:
        return self.shape[-1] // self.columns

    @property
    def size(self) -> tuple[float, float]:
        """Thickness and height in inches: square roots, or conv1 would hide all the others."""
        if len(self.shape) == 1:
            return 0.12, 0.028 * math.sqrt(self.maps)
        return 0.034 * math.sqrt(self.maps), 0.205 * math.sqrt(self.shape[0])

    @property
    def slant(self) -> tuple[float, float]:
        if len(self.shape) == 1:
            return 0.0, 0.0
        return tuple(share * self.size[1] for share in _SLANT)


def draw_network(*models: keras.Model) -> Figure:
    """Draws networks without branches one below the other, in one scale.

    A block is the output of a convolution or of a pool, a bar that of a dense layer. The side of
    the maps and the number of units give the height, the number of maps the thickness, both by
    their square roots. The dark spot on a block is the window of the next layer, in proportion to
    the maps it lies on, and its cone leads to the place that is computed from it. A network with
    grouped convolutions is drawn in two columns, and what passes from one to the other is red.

    Args:
        models: built from `Conv2D`, pooling and `Dense` layers and those that change no shape;
            channels last.

    Returns:
        A figure as wide as a page.

    Raises:
        ValueError: if there is no model, or one has more than two groups.

    Example:

    >>> from alexnet_keras import AlexNet
    >>> from alexnet_keras.course import draw_network
    >>> draw_network(AlexNet()).axes[0].get_title("left")
    'AlexNet: 60,965,224 parameters'
    """
    if not models:
        raise ValueError("`models` must be at least one network. Received: none")
    chains = [_boxes(model) for model in models]
    # One scale for all, smaller than 1 where the widest would not fit the page.
    room = min((PAGE - 0.3 * len(chain)) / sum(map(_width, chain)) for chain in chains)
    unit = min(1.0, room)
    heights = [_TOP + _FOOT + _row_height(chain, unit) for chain in chains]
    figure = new_figure(figsize=(PAGE, sum(heights)), dpi=100, layout="none")
    top = sum(heights)
    for model, chain, height in zip(models, chains, heights):
        top -= height
        axes = figure.add_axes((0, top / sum(heights), 1, height / sum(heights)))
        axes.set(xlim=(0, PAGE), ylim=(0, height))
        axes.axis("off")
        name = "AlexNet" if model.name == "alexnet" else model.name
        title = f"{name}: {model.count_params():,} parameters"
        axes.set_title(title, loc="left", x=0.012, y=1, pad=-14, weight="bold")
        _draw_chain(axes, chain, unit)
    return figure


def _boxes(model):
    """What there is to draw, from the layers of a model."""
    groups = {getattr(layer, "groups", 1) for layer in model.layers}
    columns = max(groups)
    if columns > 2:
        raise ValueError(f"`models` must have one or two columns. Received: {columns} groups")
    boxes = [_Box("image", LAYER_COLORS["image"], tuple(model.input_shape[1:]))]
    convolutions = [la for la in model.layers if isinstance(la, keras.layers.Conv2D)]
    dense = [la for la in model.layers if isinstance(la, keras.layers.Dense)]
    for layer in model.layers:
        if not isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense, *_POOLS)):
            continue
        box = _Box(layer.name, boxes[-1].color, tuple(layer.output.shape[1:]), columns)
        if isinstance(layer, keras.layers.Dense):
            # Counted from the end, so that the classifier has the same colour in all networks.
            box.color = LAYER_COLORS[f"fc{8 - (len(dense) - 1 - dense.index(layer))}"]
            box.crosses = True
        else:
            pool = isinstance(layer, _POOLS)
            box.window = (layer.pool_size if pool else layer.kernel_size)[0]
            box.stride, box.pool = layer.strides[0], pool
            if not pool:
                box.color = LAYER_COLORS[f"conv{convolutions.index(layer) + 1}"]
                box.crosses = layer.groups == 1 and len(boxes) > 1
        boxes.append(box)
    boxes[-1].columns = 1  # the classes belong to both columns
    return boxes


def _width(box):
    return box.size[0] + box.slant[0]


def _row_height(chain, unit):
    columns = max(box.columns for box in chain)
    inner = max(box.size[1] + box.slant[1] for box in chain if box.columns == columns)
    outer = max(box.size[1] + box.slant[1] for box in chain)
    return max(columns * (unit * inner + _ROW_GAP), unit * outer + _ROW_GAP)


def _draw_chain(axes: Axes, chain: list[_Box], unit: float) -> None:
    columns = max(box.columns for box in chain)
    height = _row_height(chain, unit)
    middles = {1: [_FOOT + height / 2]}
    middles[2] = [_FOOT + height * share for share in (0.75, 0.25)]
    gap = min(_WIDEST_GAP, (PAGE - 0.3 - unit * sum(map(_width, chain))) / len(chain))
    x = 0.15 + gap / 2
    for box in chain:
        box.x = x
        x += unit * _width(box) + gap
    for before, box in zip([None, *chain], chain):
        for column, y in enumerate(middles[box.columns]):
            if before is not None:
                for other, source in enumerate(middles[before.columns]):
                    same = other == column or 1 in (before.columns, box.columns)
                    if same or box.crosses:
                        _draw_cone(axes, before, source, box, y, unit, crossing=not same)
    for box in chain:
        for y in middles[box.columns]:
            _draw_box(axes, box, y, unit)
        _label(axes, box, middles[box.columns], unit)
    for before, box in zip(chain, chain[1:]):
        if box.window is not None:
            for y in middles[before.columns]:
                window = _window(before, y, box.window, unit)
                axes.add_patch(Polygon(window, facecolor="black", alpha=0.55, zorder=4))
    if columns == 2:
        place = {"ha": "right", "va": "center", "fontsize": 9, "style": "italic"}
        for letter, y, away in zip("ab", middles[2], (1, -1)):
            axes.text(PAGE - 0.1, y + 0.95 * away, f"column {letter}", **place)


def _corners(box, y, unit):
    """Left, right, bottom and top of the front of a block, and its slant, in inches."""
    width, height = (unit * length for length in box.size)
    right, up = (unit * length for length in box.slant)
    bottom = y - (height + up) / 2
    return box.x, box.x + width, bottom, bottom + height, right, up


def _draw_box(axes, box, y, unit):
    left, right, bottom, top, across, up = _corners(box, y, unit)
    faces = [[(left, bottom), (right, bottom), (right, top), (left, top)]]
    if across:
        far = right + across
        faces.append([(left, top), (right, top), (far, top + up), (left + across, top + up)])
        faces.append([(right, bottom), (far, bottom + up), (far, top + up), (right, top)])
    for face, shade in zip(faces, (0.75, 0.35, 0.55)):
        light = 0.45 * shade if box.pool else shade
        for color, alpha in (("white", 1.0), (box.color, light)):
            style = {"edgecolor": "none", "facecolor": color, "alpha": alpha}
            axes.add_patch(Polygon(face, zorder=3, gid=box.name, **style))
        axes.add_patch(
            Polygon(face, fill=False, edgecolor="black", linewidth=0.7, joinstyle="round", zorder=3)
        )


def _window(box, y, side, unit):
    """The window of the next layer, in the middle of the face on which a map lies."""
    _, right, bottom, top, across, up = _corners(box, y, unit)
    share = min(1.0, side / box.shape[0])
    low, high = 0.5 - share / 2, 0.5 + share / 2

    def place(column, row):
        return right + across * column, bottom + up * column + (top - bottom) * row

    return [place(low, low), place(high, low), place(high, high), place(low, high)]


def _draw_cone(axes, before, source, box, y, unit, crossing):
    """From a window to the one place in the next block that is computed from it."""
    left, _, bottom, top, _, up = _corners(box, y, unit)
    if box.window is None:  # a dense layer sees all there is
        _, right, low, high, across, rise = _corners(before, source, unit)
        face = [(right + across, low + rise), (right + across, high + rise)]
        face += [(left, top), (left, bottom)]
    else:
        window = _window(before, source, box.window, unit)
        face = [window[1], window[2], (left, (bottom + top) / 2)]
    color = _CROSSING if crossing else "black"
    style = {"facecolor": color, "alpha": 0.09, "edgecolor": "none", "zorder": 4}
    axes.add_patch(Polygon(face, **style))
    line = {"color": color, "linewidth": 0.7, "alpha": 0.75, "zorder": 4}
    pairs = [(face[0], face[-1]), (face[1], face[2])]
    for tail, tip in pairs:
        axes.plot(*zip(tail, tip), linestyle="--" if crossing else "-", **line)


def _label(axes, box, ys, unit):
    width = unit * _width(box)
    middle = box.x + width / 2
    for y in ys:
        _, _, _, top, _, up = _corners(box, y, unit)
        sides = " x ".join(map(str, box.shape[:-1]))
        text = f"{sides}\nx {box.maps}" if sides else f"{box.maps}"
        back = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.5}
        place = {"ha": "center", "va": "bottom", "fontsize": 8, "zorder": 5, "bbox": back}
        axes.text(middle, top + up + 0.05, text, **place)
    words = ""
    if box.window is not None:
        words = f"{box.window} x {box.window}" + (
            f"\nstride {box.stride}" if box.stride > 1 else ""
        )
    elif len(box.shape) == 1:
        words = "dense"
    axes.text(middle, 0.5, box.name, ha="center", weight="bold", fontsize=9)
    axes.text(middle, 0.44, words, ha="center", va="top", fontsize=8)
