"""Draws the plots in `results/` again from the raw results: `python -m benchmarks.plots`."""

import argparse
import csv
import functools
import importlib
import json
from pathlib import Path

from benchmarks.common import RESULTS


def _ablations(source: Path, path: Path) -> None:
    from alexnet_keras.experiments import compare, plot_comparisons, read_results

    plot_comparisons(compare(read_results(source))).savefig(path, dpi=100)


def _lines(module: str, source: Path, path: Path) -> None:
    from alexnet_keras.experiments import read_lines

    script = importlib.import_module(f"benchmarks.claims.{module}")
    script.plot(read_lines(source, script.Run), path)


def _filters(source: Path, path: Path) -> None:
    from benchmarks.claims.trained import plot_filters

    plot_filters(source, path)


def _scaling(source: Path, path: Path) -> None:
    from benchmarks.speed.scaling import plot

    plot(json.loads(source.read_text(encoding="utf-8")), path)


def _curves(source: Path, path: Path) -> None:
    import numpy as np

    from alexnet_keras.evaluation import plot_curves

    with open(source, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    log = {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}
    plot_curves(log, source.stem).savefig(path, dpi=100)


DRAWN_BY = {
    "ablations.jsonl": _ablations,
    "comparison.jsonl": functools.partial(_lines, "comparison"),
    "relu.jsonl": functools.partial(_lines, "relu"),
    "overfitting.jsonl": functools.partial(_lines, "overfitting"),
    "lrn_claim.jsonl": functools.partial(_lines, "lrn"),
    "transfer.jsonl": functools.partial(_lines, "transfer"),
    "trained.jsonl": functools.partial(_lines, "trained"),
    "trained_filters.npz": _filters,
    "scaling.json": _scaling,
    "imagenette-160px.csv": _curves,
}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=RESULTS, help="of results and plots")
    args = parser.parse_args(argv)
    for name, draw in DRAWN_BY.items():
        source = args.folder / name
        if source.exists():
            draw(source, source.with_suffix(".png"))
            print(source.with_suffix(".png"))


if __name__ == "__main__":
    main()
