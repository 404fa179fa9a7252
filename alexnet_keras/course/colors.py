"""A drawing of the colours of a data set."""

import numpy as np
from matplotlib.figure import Figure


def plot_components(images: np.ndarray, components: np.ndarray, deviations: np.ndarray) -> Figure:
    """Pixels by their red and green with the principal components, and strips along each of these.

    Args:
        images: `(..., 3)`, RGB, 0 to 255.
        components: principal components, one a column, `(3, 3)`.
        deviations: standard deviations along them, `(3,)`.

    Example:

    >>> import numpy as np
    >>> images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3))
    >>> figure = plot_components(images, np.eye(3), np.array([3.0, 2.0, 1.0]))
    >>> [axes.get_title() for axes in figure.axes]
    ['Some of the pixels', 'Along each component']
    """
    pixels = np.reshape(images, (-1, 3))
    mean = pixels.mean(axis=0)
    some = pixels[np.random.default_rng(0).integers(len(pixels), size=3000)]
    components = components * np.where(components[0] < 0, -1, 1)  # a sign is arbitrary
    inwards = 1 if mean.mean() < 128 else -1
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.scatter(some[:, 0], some[:, 1], c=some / 255, s=6, edgecolors="0.6", linewidths=0.2)
    for number, (deviation, component) in enumerate(zip(deviations, components.T), start=1):
        start, tip = mean[:2], (mean + 2 * inwards * deviation * component)[:2]
        left.annotate("", tip, start, arrowprops={"arrowstyle": "->", "lw": 2, "color": "black"})
        spot = tip + 14 * (tip - start) / max(1e-6, np.linalg.norm(tip - start))
        box = {"boxstyle": "circle,pad=0.15", "facecolor": "white", "edgecolor": "black"}
        left.text(*spot, str(number), fontsize=8, ha="center", va="center", bbox=box)
    left.set(title="Some of the pixels", xlabel="red", ylabel="green", aspect="equal")
    steps = np.linspace(-2, 2, 41)
    strips = mean + steps[None, :, None] * (deviations * components).T[:, None, :]
    right.imshow(np.clip(strips / 255, 0, 1), aspect="auto", extent=(-2, 2, 3.5, 0.5))
    right.set(title="Along each component", ylabel="component", yticks=(1, 2, 3))
    right.set_xlabel("standard deviations from the mean")
    right.grid(False)
    return figure
