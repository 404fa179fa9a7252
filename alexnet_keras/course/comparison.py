"""Two conditions of an experiment, compared in pairs of the same seed."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from alexnet_keras.common import check_number


def plot_comparison(
    runs: Sequence[Mapping[str, Any]],
    base: str,
    other: str,
    *,
    names: tuple[str, str] | None = None,
    confidence: float = 0.95,
):
    """The validation errors of two conditions by epoch, and their differences after the last one.

    Args:
        runs: lines of `results`, with `condition`, `seed` and the list `val_error` of errors as
            shares, one for every `measured_every` epochs (without it, for each epoch).
        base, other: the two conditions.
        names: what to call them in the legend; `None` for their own names.
        confidence: of the interval, above 0 and below 1.

    Returns:
        The figure: on the left a thin line for each run and a thick one for the mean, on the right
        a dot for each seed, and the mean difference with its paired t interval.

    Raises:
        ValueError: if fewer than two seeds have both conditions.
    """
    import matplotlib.pyplot as plt
    from scipy import stats

    confidence = check_number("confidence", confidence, above=0, below=1)
    errors = {
        condition: {
            run["seed"]: 100 * np.asarray(run["val_error"], "float64")
            for run in runs
            if run["condition"] == condition
        }
        for condition in (base, other)
    }
    seeds = sorted(errors[base].keys() & errors[other].keys())
    if len(seeds) < 2:
        raise ValueError(
            f"At least two seeds must have both {base!r} and {other!r}. Received: seeds {seeds}"
        )
    every = runs[0].get("measured_every", 1)
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(9, 3.6), gridspec_kw={"width_ratios": [1.6, 1]}
    )
    for color, condition, name in zip(("C0", "C1"), (base, other), names or (base, other)):
        curves = np.stack([errors[condition][seed] for seed in seeds])
        epochs = every * np.arange(1, curves.shape[1] + 1)
        left.plot(epochs, curves.T, color=color, linewidth=0.7, alpha=0.5)
        left.plot(epochs, curves.mean(axis=0), color=color, linewidth=2.2, label=name)
    left.set(title=f"Validation error, {len(seeds)} seeds each", xlabel="epoch", ylabel="error, %")
    left.legend()

    last = [[errors[condition][seed][-1] for seed in seeds] for condition in (other, base)]
    differences = np.subtract(*last)
    low, high = stats.ttest_rel(*last).confidence_interval(confidence)
    mean = differences.mean()
    right.axvline(0, color="0.4", linewidth=1)
    right.plot(differences, [1] * len(seeds), "o", color="C7", alpha=0.8)
    right.errorbar(mean, 0, xerr=[[mean - low], [high - mean]], fmt="D", color="C6", capsize=5)
    right.set_yticks([1, 0], ["each seed", f"mean and\n{confidence:.0%} interval"])
    right.set(title="Difference after the last epoch", ylim=(-0.7, 1.5))
    other_name, base_name = (names or (base, other))[::-1]
    right.set(xlabel=f"{other_name} less {base_name}, points")
    right.grid(axis="y", visible=False)
    return figure
