"""Pictures of what a network says."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure


def plot_predictions(
    pictures: Sequence[np.ndarray],
    labels: Sequence[int],
    probabilities: np.ndarray,
    class_names: Sequence[str],
    title: str = "",
    top: int = 3,
) -> Figure:
    """Each picture above a bar for each of its most probable classes; the right one is blue.

    Args:
        pictures: at most six or so, `(height, width, 3)`, 0 to 255.
        labels: the right class of each, a number.
        probabilities: `(pictures, classes)`.
        class_names: in the order of the classes.
        title: of the figure.
        top: how many classes are shown.

    Example:

    >>> pictures = np.zeros((2, 8, 8, 3), "uint8")
    >>> probabilities = np.array([[0.75, 0.25], [0.5, 0.5]])
    >>> figure = plot_predictions(pictures, [0, 1], probabilities, ["cat", "dog"], top=2)
    >>> [text.get_text() for text in figure.axes[2].texts]
    ['cat 75 %', 'dog 25 %']
    """
    figure = Figure(figsize=(2.2 * len(pictures), 3.4), layout="constrained")
    upper, lower = figure.subplots(2, len(pictures), squeeze=False, height_ratios=(5, 3))
    for above, below, picture, label, p in zip(upper, lower, pictures, labels, probabilities):
        above.imshow(np.clip(picture, 0, 255).astype("uint8"))
        above.set_title(class_names[label], fontsize=10, loc="center")
        best = np.argsort(-p)[:top]
        colors = ["C0" if each == label else "0.7" for each in best]
        below.barh(range(len(best)), p[best], height=0.3, align="edge", color=colors)
        for place, each in enumerate(best):
            below.text(0, place - 0.08, f"{class_names[each]} {p[each]:.0%}".replace("%", " %"))
        below.set(xlim=(0, 1), ylim=(len(best) - 0.5, -0.6))
        for axes in (above, below):
            axes.axis("off")
    figure.suptitle(title)
    return figure


def plot_confusion_counts(
    counts: np.ndarray, class_names: Sequence[str], title: str = ""
) -> Figure:
    """A confusion matrix with its counts: a row for each label, a column for each prediction.

    Args:
        counts: `(classes, classes)`, as from `tf.math.confusion_matrix`.
        class_names: in the order of the classes.
        title: of the figure.

    Example:

    >>> figure = plot_confusion_counts(np.array([[3, 1], [0, 4]]), ["cat", "dog"])
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['3', '1', '0', '4']
    """
    figure = Figure(figsize=(7.5, 5.5), layout="constrained")
    axes = figure.subplots()
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        color = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, str(count), ha="center", va="center", color=color, fontsize=8)
    places = range(len(class_names))
    axes.set_xticks(places, class_names, rotation=45, ha="right")
    axes.set_yticks(places, class_names)
    axes.set(title=title, xlabel="predicted", ylabel="label")
    axes.grid(False)
    return figure
