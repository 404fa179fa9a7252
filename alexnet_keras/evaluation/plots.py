"""Draws what an evaluation found, and the course of a training run."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.ticker import MaxNLocator

from alexnet_keras.evaluation.measures import Evaluation, wilson_interval
from alexnet_keras.figures import Figure, course_style
from alexnet_keras.pictures import ImageDataset, decode_image


@course_style()
def plot_curves(log: Mapping[str, np.ndarray], title: str = "") -> Figure:
    """Loss and errors by epoch.

    Args:
        log: columns `loss`, `top1`, `top5` and the same with `val_`, as from `Run.log`.
        title: of the figure.

    Example:

    >>> from alexnet_keras import load_run
    >>> figure = plot_curves(load_run().log())
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
        axes.legend()
    figure.suptitle(title)
    return figure


@course_style()
def plot_confusion(evaluation: Evaluation, title: str = "") -> Figure:
    """The confusion matrix, as shares of each label's pictures; counts written in up to 20 classes.

    Args:
        evaluation: from `evaluate`.
        title: of the figure.

    Example:

    >>> from alexnet_keras import evaluate, load_run
    >>> run = load_run()
    >>> result = evaluate(run.model, run.open_dataset(), run.statistics)
    >>> plot_confusion(result, "Validation").savefig("confusion.png")
    """
    names, counts = evaluation.class_names, evaluation.confusion
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(4 + 0.35 * len(names), 14)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(100 * shares, cmap="Blues", vmin=0, vmax=100)
    axes.grid(False)
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


@course_style()
def plot_classes(evaluation: Evaluation, title: str = "", most: int = 40) -> Figure:
    """Recall and precision of each class with their 95 % intervals, lowest recall on top.

    Args:
        evaluation: from `evaluate`.
        title: of the figure.
        most: of more classes, only those of the lowest recall are shown.

    Example:

    >>> from alexnet_keras import evaluate, load_run
    >>> run = load_run()
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
    figure.legend(loc="outside lower center", ncols=2, fontsize=9)
    return figure


@course_style()
def plot_reliability(evaluation: Evaluation, title: str = "") -> Figure:
    """How often the network is right where it is how sure, and how many pictures that is.

    Source: Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", 2017.

    Args:
        evaluation: from `evaluate`.
        title: of the figure.

    Example:

    >>> from alexnet_keras import evaluate, load_run
    >>> run = load_run()
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
    figure.suptitle(title or "Reliability")
    return figure


@course_style()
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
    >>> run = load_run()
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


@course_style()
def plot_pictures(
    pictures: Sequence[np.ndarray], captions: Sequence[str], title: str = "", per_row: int = 4
) -> Figure:
    """Pictures in a grid, each under its caption.

    Args:
        pictures: uint8, or float from 0 to 255 (cut off there), each `(height, width, 3)`.
        captions: as many.
        title: of the figure.
        per_row: pictures a row.

    Example:

    >>> pictures = [np.zeros((8, 8, 3), "uint8")] * 4
    >>> len(plot_pictures(pictures, ["a", "b", "c", "d"], per_row=2).axes)
    4
    """
    rows = max(1, -(-len(pictures) // per_row))
    figure = Figure(figsize=(2.2 * per_row, 2.5 * rows), layout="constrained")
    grid = figure.subplots(rows, per_row, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, picture, caption in zip(grid.flat, pictures, captions):
        axes.imshow(np.clip(picture, 0, 255).astype("uint8"))
        axes.set_title(caption, fontsize=9)
    figure.suptitle(title)
    return figure
