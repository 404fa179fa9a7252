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
    """The last validation errors of two conditions, in pairs of one seed, and their difference.

    Args:
        runs: lines of `results`, with `condition`, `seed` and the list `val_error` of errors as
            shares, of which the last counts.
        base, other: the two conditions.
        names: what to call them; `None` for their own names.
        confidence: of the interval, above 0 and below 1.

    Returns:
        The figure: on the left each pair of runs, joined, on the right a dot for the difference of
        each, and the mean difference with its paired t interval.

    Raises:
        ValueError: if fewer than two seeds have both conditions.
    """
    import matplotlib.pyplot as plt
    from scipy import stats

    confidence = check_number("confidence", confidence, above=0, below=1)
    errors = {
        condition: {
            r["seed"]: 100 * r["val_error"][-1] for r in runs if r["condition"] == condition
        }
        for condition in (base, other)
    }
    seeds = sorted(errors[base].keys() & errors[other].keys())
    if len(seeds) < 2:
        raise ValueError(
            f"At least two seeds must have both {base!r} and {other!r}. Received: seeds {seeds}"
        )
    base_name, other_name = names or (base, other)
    pairs = np.array([[errors[condition][seed] for condition in (base, other)] for seed in seeds])
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4))
    left.plot([0, 1], pairs.T, "o-", color="C7", linewidth=1)
    left.plot([0, 1], pairs.mean(axis=0), "D-", color="C0", linewidth=2.2)
    left.annotate("mean", (1, pairs[:, 1].mean()), (8, -3), textcoords="offset points", color="C0")
    left.set_xticks([0, 1], [base_name, other_name])
    left.set(title=f"Validation error, {len(seeds)} pairs", xlim=(-0.3, 1.4), ylabel="error, %")

    differences = pairs[:, 1] - pairs[:, 0]
    low, high = stats.ttest_rel(pairs[:, 1], pairs[:, 0]).confidence_interval(confidence)
    mean = differences.mean()
    right.axvline(0, color="0.4", linewidth=1)
    right.plot(differences, [1] * len(seeds), "o", color="C7")
    right.errorbar(mean, 0, xerr=[[mean - low], [high - mean]], fmt="D", color="C0", capsize=5)
    right.set_yticks([1, 0], ["each seed", f"mean and\n{confidence:.0%} interval"])
    right.set(title="Difference within the pairs", ylim=(-0.7, 1.5))
    right.set(xlabel=f"{other_name} less {base_name}, points")
    right.grid(axis="y", visible=False)
    return figure
