"""Writes `results/README.md` from the result files: `python -m benchmarks.summary`."""

import json
from pathlib import Path

from benchmarks import precision
from benchmarks.harness import RESULTS, about_run, saved_tables

COMMANDS = {
    "training": "python -m benchmarks.training",
    "inference": "python -m benchmarks.inference",
    "lrn": "python -m benchmarks.lrn",
    "pipeline": "python -m benchmarks.pipeline",
    "memory": "python -m benchmarks.memory",
    "scaling": "python -m benchmarks.scaling",
    "comparison": "python -m benchmarks.comparison --data imagenette-72 --seconds 100",
    "precision": "python -m benchmarks.precision",
}


def summary(folder: Path) -> str:
    """The page, in Markdown."""
    lines = [
        "# What was measured",
        "",
        "Written by `python -m benchmarks.summary` from the JSON files in this folder. A table has",
        "the median rate, its range, the peak resident memory, and how many times as fast the",
        "first row is (the median over pairs measured in turn). `benchmarks.precision` has means",
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
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    (RESULTS / "README.md").write_text(summary(RESULTS), encoding="utf-8")
