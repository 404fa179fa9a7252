import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from alexnet_keras.experiments import (
    CONDITIONS,
    compare,
    markdown_table,
    plot_comparisons,
    read_results,
)
from tests.experiments.conftest import result


def results(condition, base, errors):
    return [result("base", s, e) for s, e in enumerate(base)] + [
        result(condition, s, e) for s, e in enumerate(errors)
    ]


def test_comparison_is_scipys_paired_test():
    rng = np.random.default_rng(0)
    base, other = rng.uniform(0.3, 0.5, (2, 5))
    row = compare(results("tanh", base, other))[1]
    expected = stats.ttest_rel(other, base)
    interval = expected.confidence_interval(0.95)
    assert row.interval == pytest.approx((interval.low, interval.high))
    assert row.mean == pytest.approx(other.mean())
    assert row.deviation == pytest.approx(other.std(ddof=1))
    assert row.difference == pytest.approx((other - base).mean())
    assert row.difference / row.standard_error == pytest.approx(expected.statistic)


def test_seeds_are_paired():
    runs = [result("base", s, 0.1 * s) for s in range(3)]
    runs += [result("half", s, 0.1 * s + 0.02) for s in (2, 1, 7)]  # another order, another seed
    row = compare(runs)[1]
    assert row.differences == pytest.approx({1: 0.02, 2: 0.02}) and len(row.errors) == 3
    assert row.interval == pytest.approx((0.02, 0.02), abs=1e-9)


NOISE = "within the noise"


@pytest.mark.parametrize(
    ("condition", "errors", "verdict"),
    [
        ("tanh", [0.5, 0.51, 0.52], "agrees"),
        ("tanh", [0.2, 0.21, 0.22], "differs"),
        ("batch-norm", [0.5, 0.51, 0.52], "higher"),
        ("batch-norm", [0.2, 0.21, 0.22], "lower"),
        ("tanh", [0.41, 0.41, 0.42], NOISE),  # the mean is higher, by less than the noise
        ("tanh", [0.40, 0.40, 0.42], NOISE),
        ("batch-norm", [0.40, 0.44, 0.42], NOISE),
        ("tanh", [0.6], "noise unknown: fewer than two pairs"),
    ],
)
def test_verdict(condition, errors, verdict):
    runs = results(condition, [0.4, 0.41, 0.42], errors)
    assert compare(runs)[1].verdict == verdict
    row = markdown_table(runs).splitlines()[3]
    assert row.startswith(f"| {CONDITIONS[condition].label} |") and row.endswith(f"{verdict} |")


def test_noise_is_the_t_interval():
    # 3 seeds, differences 1 +- d points: the interval reaches 4.303 d / sqrt(3) to both sides.
    limit = math.sqrt(3) / stats.t.ppf(0.975, 2)
    for factor, verdict in ((0.99, "agrees"), (1.01, NOISE)):
        d = factor * limit
        errors = [0.41 - d / 100, 0.41, 0.41 + d / 100]
        assert compare(results("tanh", [0.4] * 3, errors))[1].verdict == verdict


def test_table():
    base, other = [0.40, 0.41, 0.42], [0.50, 0.51, 0.55]
    row = markdown_table(results("no-lrn", base, other)).splitlines()[3].split(" | ")
    mean, reach = 11.0, stats.t.ppf(0.975, 2) * np.std([10, 10, 13], ddof=1) / math.sqrt(3)
    assert row[1:4] == ["3", "25.0", "57.0 ± 2.6"]
    assert row[4:6] == ["52.0 ± 2.6", "+11.0"]
    assert row[6] == f"{mean - reach:+.1f} to {mean + reach:+.1f}"
    assert "1.4 / 1.2" in row[7] and row[8] == "higher"


def test_plot_shows_intervals_and_the_papers_figures():
    rows = compare(results("no-lrn", [0.40, 0.41, 0.42], [0.50, 0.51, 0.55]))
    axes = plot_comparisons(rows).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == [CONDITIONS["no-lrn"].label]
    bar, _ = axes.containers
    (ends,) = bar.lines[2][0].get_segments()
    assert ends[:, 0] / 100 == pytest.approx(rows[1].interval)
    diamond = [line for line in axes.lines if line.get_marker() == "D"]
    assert [list(line.get_xdata()) for line in diamond] == [[1.4]]


def test_compare_needs_the_base():
    with pytest.raises(ValueError, match="must have runs of the base"):
        compare([result("tanh", 0, 0.5)])


def test_table_in_the_readme_is_that_of_the_results():
    root = Path(__file__).parents[2]
    committed = read_results(root / "benchmarks" / "results" / "ablations.jsonl")
    assert markdown_table(committed) in (root / "README.md").read_text(encoding="utf-8")
