"""What all the scripts share: where results are, the options, the machine, Markdown tables."""

import argparse
import contextlib
import importlib.metadata
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def argument_parser(description: str, repetitions: int | None = None) -> argparse.ArgumentParser:
    """What all the scripts take.

    Args:
        description: the script's docstring.
        repetitions: default of an option of this name; `None` for none.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    if repetitions:
        text = f"of each measurement (default: {repetitions})"
        parser.add_argument("--repetitions", type=int, default=repetitions, help=text)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument(
        "--miniature", action="store_true", help="only show that the script runs: a tiny size"
    )
    return parser


def fresh_file(folder: Path, name: str) -> Path:
    """Path of a file of results, without the lines of an earlier run."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.unlink(missing_ok=True)
    return path


def machine() -> dict[str, Any]:
    """Processor, cores, system and the versions of what is measured."""
    model = platform.processor()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    versions = {}
    for name in ("alexnet-keras", "tensorflow", "keras", "torch", "jax", "onnxruntime", "numpy"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": model,
        "cores": cores,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions,
    }


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]], texts: int = 1) -> str:
    """A Markdown table, its first columns of text, the others of numbers.

    Args:
        head: of the columns.
        rows: a cell for each of `head`.
        texts: how many columns are aligned to the left.
    """
    rule = ["---"] * texts + ["---:"] * (len(head) - texts)
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, rule, *rows))
