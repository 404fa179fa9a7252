"""Writes `results/README.md` from the result files: `python -m benchmarks.summary`."""

import argparse
import json
from pathlib import Path

from benchmarks.claims import precision
from benchmarks.common import RESULTS
from benchmarks.gpu import figures
from benchmarks.speed.harness import about_run, saved_tables

COMMANDS = {
    "training": "python -m benchmarks.speed.training",
    "inference": "python -m benchmarks.speed.inference",
    "lrn": "python -m benchmarks.speed.lrn",
    "pipeline": "python -m benchmarks.speed.pipeline",
    "memory": "python -m benchmarks.speed.memory",
    "scaling": "python -m benchmarks.speed.scaling",
    "comparison": "python -m benchmarks.claims.comparison --data imagenette-72 --seconds 100",
    "precision": "python -m benchmarks.claims.precision",
}


def summary(folder: Path) -> str:
    """The page, in Markdown."""
    lines = [
        "# What was measured",
        "",
        "Written by `python -m benchmarks.summary` from the JSON files in this folder. A table has",
        "the median rate, its range, the peak resident memory, and how many times as fast the",
        "first row is (the median over pairs measured in turn). The tables of precision have means",
        "over seeds, and paired differences.",
    ]
    for name, command in COMMANDS.items():
        path = folder / f"{name}.json"
        if not path.exists():
            continue
        saved = json.loads(path.read_text(encoding="utf-8"))
        lines += ["", f"## `{command}`", "", about_run(saved)]
        tables = precision.saved_tables(saved) if name == "precision" else saved_tables(path)
        for title, text in tables.items():
            lines += ["", f"### {title}", "", text]
        if path.with_suffix(".png").exists():
            lines += ["", f"![{name}]({name}.png)"]
    path = folder / figures.FILE
    if path.exists():
        lines += ["", "## `make gpu`", "", "By part, device and date; medians of several rounds."]
        for title, text in figures.page(figures.read_figures(path)).items():
            lines += ["", f"### {title}", "", text]
    return "\n".join(lines) + "\n"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=RESULTS, help="of the result files")
    folder = parser.parse_args(argv).folder
    (folder / "README.md").write_text(summary(folder), encoding="utf-8")


if __name__ == "__main__":
    main()
