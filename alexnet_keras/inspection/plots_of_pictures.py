"""Draws attributions on their picture, neighbours and embeddings."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.patches import Rectangle

from alexnet_keras.figures import Figure, course_style
from alexnet_keras.inspection.attribution import Occlusion
from alexnet_keras.inspection.feature_space import Embedding, Neighbors
from alexnet_keras.inspection.plots_of_maps import shortened
from alexnet_keras.pictures import ImageDataset, central_square, decode_image


def _on_picture(picture: np.ndarray, title: str) -> tuple[Figure, Any]:
    """A figure with the picture on the left, and the axes on the right."""
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.imshow(np.clip(picture, 0, 255).astype("uint8"))
    left.set_title("the picture", fontsize=10)
    for axes in (left, right):
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    figure.suptitle(title)
    return figure, right


def _pale(picture: np.ndarray) -> np.ndarray:
    """In light grays, so that colours laid over it keep their meaning; RGB from 0 to 1."""
    gray = np.clip(picture, 0, 255) @ np.array([0.299, 0.587, 0.114]) / 255
    return np.repeat(0.6 + 0.4 * gray[..., None], 3, axis=-1)


@course_style()
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


@course_style()
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


@course_style()
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


@course_style()
def plot_neighbors(neighbors: Neighbors, dataset: ImageDataset, title: str = "") -> Figure:
    """Pictures in the first column, and those nearest to them, as in the paper's figure 4.

    Of each, the central square is shown: the network sees no more.

    Args:
        neighbors: from `nearest_neighbors`.
        dataset: where the pictures are.
        title: of the figure.

    Example:

    >>> from alexnet_keras import load_run
    >>> from alexnet_keras.inspection import nearest_neighbors
    >>> run = load_run()
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
        captions = ["", *(f"\n{shortened(distance)}" for distance in neighbors.distances[row])]
        for axes, example, caption in zip([line[0], *line[2:]], examples, captions):
            square = central_square(decode_image(example["image"]), 256).numpy()
            axes.imshow(square.astype("uint8"))
            axes.set_title(f"{dataset.class_names[example['label']]}{caption}", fontsize=9)
    near = {"train": "training"}.get(neighbors.split, neighbors.split)
    figure.suptitle(title or f"Pictures and the nearest {near} pictures, with their distances")
    return figure


@course_style()
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
    shown = {}
    for label in np.unique(labels):
        points = embedding.points[labels == label]
        shown[class_names[label]] = axes.scatter(
            *points.T,
            s=16,
            marker="o^"[label // 10 % 2] if len(class_names) <= 20 else "o",
            color=colors(label % 10 if len(class_names) <= 20 else label / len(class_names)),
            alpha=0.8,
        )
    if len(class_names) <= 20:
        # Named here: matplotlib passes over labels that begin with an underscore.
        figure.legend(shown.values(), shown, loc="outside right center", fontsize=9)
    if embedding.shares:
        x, y = (
            f"{place} principal component ({share:.0%} of the variance)"
            for place, share in zip(("first", "second"), embedding.shares)
        )
    else:
        x, y = "t-SNE, first axis", "t-SNE, second axis"
    axes.set(title=title or "Features", xlabel=x, ylabel=y)
    return figure
