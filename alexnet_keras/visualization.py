"""Pictures of runs, of results and of what goes on in a network.

Each function returns a matplotlib figure: a notebook shows it, `savefig` keeps it. What they draw
is computed by `evaluation` and `inspection`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from alexnet_keras.augmentation import central_square
from alexnet_keras.datasets import ImageDataset, decode_image
from alexnet_keras.evaluation import Evaluation, wilson_interval
from alexnet_keras.inspection import Embedding, Neighbors, Occlusion, Patch


def plot_curves(log: Mapping[str, np.ndarray], title: str = "") -> Figure:
    """Loss and errors by epoch.

    Args:
        log: columns `loss`, `top1`, `top5` and the same with `val_`, as from `Run.log`.
        title: of the figure.

    Example:

    >>> from alexnet_keras import load_run
    >>> figure = plot_curves(load_run("runs/openclipart-paper").log())
    >>> [axes.get_ylabel() for axes in figure.axes]
    ['loss, nats', 'error, %']
    """
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = np.arange(1, len(log["loss"]) + 1)
    marker = "o" if len(epochs) == 1 else None
    for prefix, style, name in (("", "--", "training"), ("val_", "-", "validation")):
        left.plot(epochs, log[f"{prefix}loss"], style, color="C0", label=name, marker=marker)
        for top, color in (("top1", "C1"), ("top5", "C2")):
            label = f"{top.replace('top', 'top-')}, {name}"
            error = 100 * (1 - log[f"{prefix}{top}"])
            right.plot(epochs, error, style, color=color, label=label, marker=marker)
    left.set(title="Cross-entropy", xlabel="epoch", ylabel="loss, nats", ylim=(0, None))
    right.set(title="Error", xlabel="epoch", ylabel="error, %", ylim=(0, 100))
    for axes in (left, right):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(title)
    return figure


def plot_confusion(evaluation: Evaluation, title: str = "") -> Figure:
    """The confusion matrix, as shares of each label's pictures; counts written in up to 20 classes.

    Args:
        evaluation: from `evaluate`.
        title: of the figure.

    Example:

    >>> from alexnet_keras import evaluate, load_run
    >>> run = load_run("runs/openclipart-paper")
    >>> result = evaluate(run.model, run.open_dataset(), run.statistics)
    >>> plot_confusion(result, "Validation").savefig("confusion.png")
    """
    names, counts = evaluation.class_names, evaluation.confusion
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(4 + 0.35 * len(names), 14)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(100 * shares, cmap="Blues", vmin=0, vmax=100)
    figure.colorbar(image, label="% of the label's pictures", shrink=0.8)
    if len(names) <= 20:
        for (row, column), count in np.ndenumerate(counts):
            if count:
                color = "white" if shares[row, column] > 0.5 else "black"
                axes.text(column, row, count, ha="center", va="center", color=color, fontsize=8)
    if len(names) <= 50:
        axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
        axes.set_yticks(range(len(names)), names)
    axes.set(title=title or "Confusion matrix", xlabel="predicted", ylabel="label")
    return figure


def plot_classes(evaluation: Evaluation, title: str = "", most: int = 40) -> Figure:
    """Recall and precision of each class with their 95 % intervals, lowest recall on top.

    Args:
        evaluation: from `evaluate`.
        title: of the figure.
        most: of more classes, only those of the lowest recall are shown.

    Example:

    >>> from alexnet_keras import evaluate, load_run
    >>> run = load_run("runs/openclipart-paper")
    >>> result = evaluate(run.model, run.open_dataset(), run.statistics)
    >>> plot_classes(result, "Validation").savefig("per_class.png")
    """
    labelled = np.flatnonzero(evaluation.confusion.sum(axis=1))
    order = labelled[np.argsort(evaluation.recall[labelled], kind="stable")][:most]
    right = evaluation.confusion.diagonal()
    figure = Figure(figsize=(8, 2 + 0.32 * len(order)), layout="constrained")
    axes = figure.subplots()
    for axis, values, offset, marker, name in (
        (1, evaluation.recall, -0.15, "o", "recall: of the label's pictures, those named so"),
        (0, evaluation.precision, 0.15, "s", "precision: of those named so, the right ones"),
    ):
        low, high = wilson_interval(right, evaluation.confusion.sum(axis=axis))
        axes.errorbar(
            100 * values[order],
            np.arange(len(order)) + offset,
            # An end may lie on the value itself, and rounding beyond it.
            xerr=100 * np.maximum(0, [(values - low)[order], (high - values)[order]]),
            fmt=marker,
            color=f"C{axis}",
            capsize=2,
            label=name,
        )
    pictures = evaluation.confusion.sum(axis=1)
    axes.set_yticks(
        range(len(order)), [f"{evaluation.class_names[i]} ({pictures[i]:,})" for i in order]
    )
    shown = f", {len(order)} of {len(labelled)}" if len(order) < len(labelled) else ""
    axes.set(
        title=title or "Recall and precision",
        xlabel="%, with 95 % intervals",
        ylabel=f"class (pictures){shown}",
        xlim=(-2, 102),
    )
    axes.invert_yaxis()
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, fontsize=9)
    return figure


def plot_reliability(evaluation: Evaluation, title: str = "") -> Figure:
    """How often the network is right where it is how sure, and how many pictures that is.

    Source: Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", 2017.

    Args:
        evaluation: from `evaluate`.
        title: of the figure.

    Example:

    >>> from alexnet_keras import evaluate, load_run
    >>> run = load_run("runs/openclipart-paper")
    >>> result = evaluate(run.model, run.open_dataset(), run.statistics)
    >>> plot_reliability(result, "Validation").savefig("reliability.png")
    """
    calibration = evaluation.calibration
    some = calibration.pictures > 0
    low, high = 100 * wilson_interval(calibration.right, calibration.pictures)[:, some]
    confidence, accuracy = 100 * calibration.confidence[some], 100 * calibration.accuracy[some]
    left, width = 100 * calibration.edges[:-1], 100 / len(calibration.pictures)
    figure = Figure(figsize=(6.4, 6.8), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    top.plot([0, 100], [0, 100], "--", color="gray", label="as sure as right")
    top.errorbar(
        confidence,
        accuracy,
        yerr=np.maximum(0, [accuracy - low, high - accuracy]),
        fmt="o-",
        color="C0",
        capsize=2,
        label="network, with 95 % intervals",
    )
    top.set(
        title=f"Expected calibration error {calibration.expected_error:.1%}",
        ylabel="accuracy, %",
        ylim=(-2, 102),
    )
    top.legend(loc="upper left")
    bottom.bar(left, calibration.pictures, width, align="edge", color="C0", edgecolor="white")
    bottom.set(
        xlabel="probability of the most probable class, %", ylabel="pictures", xlim=(-2, 102)
    )
    for axes in (top, bottom):
        axes.grid(alpha=0.3)
    figure.suptitle(title or "Reliability")
    return figure


def plot_mistakes(
    evaluation: Evaluation, dataset: ImageDataset, split: str = "validation", title: str = ""
) -> Figure:
    """The most confident wrong predictions, worst first.

    Args:
        evaluation: of this split of this data set.
        dataset, split: where the pictures are.
        title: of the figure.

    Example:

    >>> from alexnet_keras import evaluate, load_run
    >>> run = load_run("runs/openclipart-paper")
    >>> data = run.open_dataset()
    >>> result = evaluate(run.model, data, run.statistics, mistakes=4)
    >>> plot_mistakes(result, data).savefig("mistakes.png")
    """
    examples = dataset.examples_at(split, [mistake.index for mistake in evaluation.mistakes])
    captions = [
        f"{evaluation.class_names[m.label]}, taken for\n"
        f"{evaluation.class_names[m.predicted]} ({m.probability:.0%})"
        for m in evaluation.mistakes
    ]
    pictures = [decode_image(example["image"]).numpy() for example in examples]
    return plot_pictures(pictures, captions, title or "Most confident mistakes")


def plot_pictures(
    pictures: Sequence[np.ndarray], captions: Sequence[str], title: str = "", columns: int = 4
) -> Figure:
    """Pictures in a grid, each under its caption.

    Args:
        pictures: uint8, or float from 0 to 255 (cut off there), each `(height, width, 3)`.
        captions: as many.
        title: of the figure.
        columns: pictures a row.

    Example:

    >>> pictures = [np.zeros((8, 8, 3), "uint8")] * 4
    >>> len(plot_pictures(pictures, ["a", "b", "c", "d"], columns=2).axes)
    4
    """
    rows = max(1, -(-len(pictures) // columns))
    figure = Figure(figsize=(2.2 * columns, 2.5 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, picture, caption in zip(grid.flat, pictures, captions):
        axes.imshow(np.clip(picture, 0, 255).astype("uint8"))
        axes.set_title(caption, fontsize=9)
    figure.suptitle(title)
    return figure


def _mosaic(maps: np.ndarray, columns: int, gap: int, background: float) -> np.ndarray:
    """`(maps, height, width, ...)` side by side, `gap` pixels apart, row by row."""
    count, height, width, *colors = maps.shape
    rows = -(-count // columns)
    size = (rows * (height + gap) - gap, columns * (width + gap) - gap, *colors)
    mosaic = np.full(size, background)
    for i, one in enumerate(maps):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        mosaic[top : top + height, left : left + width] = one
    return mosaic


def _number_mosaic(axes, count: int, columns: int, pitch: tuple[float, float], first: int = 0):
    """Ticks from which a map's number can be read: that of its row plus that of its column."""
    rows = -(-count // columns)
    x, y = np.arange(0, columns, -(-columns // 20)), np.arange(0, rows, -(-rows // 40))
    axes.set_xticks(x * pitch[1] + (pitch[1] - 1) / 2, [f"+{i}" for i in x])
    axes.set_yticks(y * pitch[0] + (pitch[0] - 1) / 2, first + y * columns)
    axes.tick_params(length=0, labelsize=8)
    axes.spines[:].set_visible(False)


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
    columns = min(16, max(len(column) for column in filters))
    rows = sum(-(-len(column) // columns) for column in filters)
    figure = Figure(
        figsize=(9, 0.9 + 0.5 * len(filters) + 8 / columns * rows), layout="constrained"
    )
    heights = [-(-len(column) // columns) for column in filters]
    grid = figure.subplots(len(filters), 1, squeeze=False, height_ratios=heights)[:, 0]
    first = 0
    for axes, column, letter in zip(grid, filters, "abcdefgh"):
        axes.imshow(_mosaic(0.5 + column / (2 * strongest), columns, 1, 1.0), vmin=0, vmax=1)
        _number_mosaic(axes, len(column), columns, [side + 1 for side in column.shape[1:3]], first)
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


def plot_feature_maps(maps: np.ndarray, title: str = "", columns: int | None = None) -> Figure:
    """The maps of a layer for a picture, on one scale.

    Args:
        maps: from `feature_maps`; `(height, width, channels)`, or `(units,)` of a dense layer.
        title: of the figure; name the layer.
        columns: maps a row; `None` for about twice as many as rows.

    Example:

    >>> import numpy as np
    >>> plot_feature_maps(np.zeros((13, 13, 256)), "conv5").axes[0].get_xlabel()
    'channel: the number at the row plus that at the column'
    """
    maps = maps[None, None] if maps.ndim == 1 else maps
    height, width, count = maps.shape
    columns = columns or min(count, max(1, round(np.sqrt(1.6 * count * height / width))))
    gap = 0 if height == width == 1 else 1
    figure = Figure(
        figsize=(9, 1 + 7.2 * -(-count // columns) * (height + gap) / (columns * (width + gap))),
        layout="constrained",
    )
    axes = figure.subplots()
    mosaic = _mosaic(np.moveaxis(maps, -1, 0), columns, gap, np.nan)
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
    _number_mosaic(axes, count, columns, (height + gap, width + gap))
    axes.set(
        title=title or "Feature maps",
        xlabel="channel: the number at the row plus that at the column",
        ylabel="channel",
    )
    figure.colorbar(image, label="activation", shrink=0.8)
    return figure


def _short(value: float) -> str:
    """Three digits: 0.0123, 4.56, 1,230."""
    return f"{float(f'{value:.3g}'):,g}"


def plot_patches(
    patches: Sequence[Patch], class_names: Sequence[str], title: str = "", columns: int = 3
) -> Figure:
    """What excites a unit most, the strongest first; light gray is outside of the picture.

    Args:
        patches: from `strongest_patches`.
        class_names: in the order of the labels.
        title: of the figure; name the layer and the channel.
        columns: patches a row.

    Example:

    >>> import numpy as np
    >>> patch = Patch(0, 1, 0, 0, 3.5, (-2, -2, 9, 9), (0, 0, 9, 9), np.zeros((9, 9, 3)))
    >>> plot_patches([patch], ["cat", "dog"]).axes[0].get_title()
    'dog: 3.5'
    """
    rows = max(1, -(-len(patches) // columns))
    figure = Figure(figsize=(2.4 * columns, 0.6 + 2.6 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
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
        axes.set_title(f"{class_names[patch.label]}: {_short(patch.activation)}", fontsize=9)
    figure.suptitle(title or "Strongest patches and their activations")
    return figure


def _on_picture(picture: np.ndarray, title: str) -> tuple[Figure, Any]:
    """A figure with the picture on the left, and the axes on the right."""
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.imshow(np.clip(picture, 0, 255).astype("uint8"))
    left.set_title("the picture", fontsize=10)
    for axes in (left, right):
        axes.set(xticks=[], yticks=[])
    figure.suptitle(title)
    return figure, right


def _pale(picture: np.ndarray) -> np.ndarray:
    """In light grays, so that colours laid over it keep their meaning; RGB from 0 to 1."""
    gray = np.clip(picture, 0, 255) @ np.array([0.299, 0.587, 0.114]) / 255
    return np.repeat(0.6 + 0.4 * gray[..., None], 3, axis=-1)


def plot_occlusion(picture: np.ndarray, occlusion: Occlusion, title: str = "") -> Figure:
    """How the probability of a class changes while a square of the picture is hidden, by its place:
    red where the class needs what is there.

    Args:
        picture: what the network saw, with the mean added: `(height, width, 3)`, 0 to 255.
        occlusion: from `occlusion_map`, of the same picture.
        title: of the figure; name the class.

    Example:

    >>> import numpy as np
    >>> occlusion = Occlusion(0.9, np.full((3, 3), 0.5), size=16, stride=8)
    >>> plot_occlusion(np.zeros((32, 32, 3)), occlusion).axes[2].get_ylabel()
    'change of the probability, percentage points'
    """
    figure, axes = _on_picture(picture, title or "Occlusion")
    size, stride = occlusion.size, occlusion.stride
    rows, columns = occlusion.probabilities.shape
    # Each value lies at the centre of its square.
    first = (size - stride) / 2 - 0.5
    axes.imshow(_pale(picture))
    change = 100 * (occlusion.probabilities - occlusion.probability)
    reach = np.abs(change).max() or 1.0
    image = axes.imshow(
        change,
        cmap="RdBu",
        vmin=-reach,
        vmax=reach,
        alpha=0.7,
        extent=(first, first + columns * stride, first + rows * stride, first),
    )
    axes.add_patch(Rectangle((-0.5, -0.5), size, size, fill=False, lw=1.5))
    height, width = picture.shape[:2]
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    axes.set_title(
        f"{occlusion.probability:.1%} with nothing hidden;\nthe square's size at the top left",
        fontsize=10,
    )
    figure.colorbar(image, label="change of the probability, percentage points", shrink=0.8)
    return figure


def plot_grad_cam(picture: np.ndarray, heat: np.ndarray, title: str = "") -> Figure:
    """Where the maps of a layer speak for a class, stretched over the picture.

    Args:
        picture: what the network saw, with the mean added: `(height, width, 3)`, 0 to 255.
        heat: from `grad_cam`, `(rows, columns)`.
        title: of the figure; name the class.

    Example:

    >>> import numpy as np
    >>> plot_grad_cam(np.zeros((99, 99, 3)), np.eye(5)).axes[1].get_title()
    '5 x 5 positions'
    """
    figure, axes = _on_picture(picture, title or "Grad-CAM")
    height, width = picture.shape[:2]
    axes.imshow(_pale(picture))
    image = axes.imshow(
        heat,
        cmap="Reds",
        vmin=0,
        vmax=heat.max() or 1.0,
        alpha=0.7,
        extent=(-0.5, width - 0.5, height - 0.5, -0.5),
        interpolation="bilinear",
    )
    axes.set_title(f"{heat.shape[0]} x {heat.shape[1]} positions", fontsize=10)
    figure.colorbar(image, label="Grad-CAM: weighted sum of the maps", shrink=0.8)
    return figure


def plot_attributions(picture: np.ndarray, attributions: np.ndarray, title: str = "") -> Figure:
    """What each pixel adds to the score of a class.

    The colours end at the 99th percentile of the absolute values: a few pixels have far more.

    Args:
        picture: what the network saw, with the mean added: `(height, width, 3)`, 0 to 255.
        attributions: from `integrated_gradients`, of that shape; summed over the colours here.
        title: of the figure; name the class.

    Example:

    >>> import numpy as np
    >>> figure = plot_attributions(np.zeros((64, 64, 3)), np.full((64, 64, 3), 0.001))
    >>> figure.axes[1].get_title()
    'sum: +12.29'
    """
    figure, axes = _on_picture(picture, title or "Integrated gradients")
    values = attributions.sum(axis=-1)
    reach = np.percentile(np.abs(values), 99) or 1.0
    image = axes.imshow(values, cmap="RdBu_r", vmin=-reach, vmax=reach)
    axes.set_title(f"sum: {values.sum():+.2f}", fontsize=10)
    label = "added to the score, by pixel"
    figure.colorbar(image, label=label, shrink=0.8, extend="both")
    return figure


def plot_neighbors(neighbors: Neighbors, dataset: ImageDataset, title: str = "") -> Figure:
    """Pictures in the first column, and those nearest to them, as in the paper's figure 4.

    Of each, the central square is shown: the network sees no more.

    Args:
        neighbors: from `nearest_neighbors`.
        dataset: where the pictures are.
        title: of the figure.

    Example:

    >>> from alexnet_keras import load_run, nearest_neighbors
    >>> run = load_run("runs/openclipart-paper")
    >>> data = run.open_dataset()
    >>> neighbors = nearest_neighbors(run.model, data, run.statistics, [0, 5])
    >>> plot_neighbors(neighbors, data).savefig("neighbors.png")
    """
    count = neighbors.indices.shape[1]
    figure = Figure(
        figsize=(1.6 * count + 2, 0.6 + 2 * len(neighbors.queries)), layout="constrained"
    )
    # An empty column sets the queries apart.
    grid = figure.subplots(
        len(neighbors.queries), count + 2, squeeze=False, width_ratios=[1, 0.2, *[1] * count]
    )
    for axes in grid.flat:
        axes.axis("off")
    queries = dataset.examples_at(neighbors.query_split, neighbors.queries.tolist())
    found = dataset.examples_at(neighbors.split, neighbors.indices.ravel().tolist())
    for row, (line, query) in enumerate(zip(grid, queries)):
        examples = [query, *found[row * count : (row + 1) * count]]
        captions = ["", *(f"\n{_short(distance)}" for distance in neighbors.distances[row])]
        for axes, example, caption in zip([line[0], *line[2:]], examples, captions):
            square = central_square(decode_image(example["image"]), 256).numpy()
            axes.imshow(square.astype("uint8"))
            axes.set_title(f"{dataset.class_names[example['label']]}{caption}", fontsize=9)
    near = {"train": "training"}.get(neighbors.split, neighbors.split)
    figure.suptitle(title or f"Pictures and the nearest {near} pictures, with their distances")
    return figure


def plot_embedding(
    embedding: Embedding, labels: np.ndarray, class_names: Sequence[str], title: str = ""
) -> Figure:
    """Pictures as points of a plane, a colour and a marker for a class; up to 20 are named.

    Args:
        embedding: from `embedding`.
        labels: of the pictures, `(pictures,)`.
        class_names: in the order of the labels.
        title: of the figure.

    Example:

    >>> import numpy as np
    >>> plane = Embedding(np.eye(2), "pca", (0.5, 0.25))
    >>> plot_embedding(plane, np.array([0, 1]), ["cat", "dog"]).axes[0].get_xlabel()
    'first principal component (50% of the variance)'
    """
    figure = Figure(figsize=(8, 6), layout="constrained")
    axes = figure.subplots()
    colors = matplotlib.colormaps["tab10" if len(class_names) <= 20 else "hsv"]
    for label in np.unique(labels):
        points = embedding.points[labels == label]
        axes.scatter(
            *points.T,
            s=16,
            marker="o^"[label // 10 % 2] if len(class_names) <= 20 else "o",
            color=colors(label % 10 if len(class_names) <= 20 else label / len(class_names)),
            label=class_names[label],
            alpha=0.8,
        )
    if len(class_names) <= 20:
        figure.legend(loc="outside right center", fontsize=9)
    if embedding.shares:
        x, y = (
            f"{place} principal component ({share:.0%} of the variance)"
            for place, share in zip(("first", "second"), embedding.shares)
        )
    else:
        x, y = "t-SNE, first axis", "t-SNE, second axis"
    axes.set(title=title or "Features", xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)
    return figure


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
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    return figure
