"""What all the scripts share: where results are, the options, the machine, Markdown tables."""

import argparse
import contextlib
import importlib.metadata
import os
import platform
import subprocess
import sys
import time
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


def run_apart(module: str, argv: Sequence[str], parts: Sequence[str], jobs: int) -> None:
    """Runs a script once for each of its parts, `--one PART`, some at the same time.

    TensorFlow takes of a GPU's memory only what each needs.

    Args:
        module: of the script.
        argv: its own arguments.
        parts: their names.
        jobs: how many at the same time.
    """
    waiting, running = list(parts), []
    environment = {**os.environ, "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
    while waiting or running:
        running = [process for process in running if process.poll() is None]
        if waiting and len(running) < jobs:
            command = [sys.executable, "-m", module, *argv, "--one", waiting.pop(0)]
            running.append(subprocess.Popen(command, env=environment))
        time.sleep(0.2)


def joined(folder: Path, parts: Sequence[str], path: Path) -> Path:
    """Joins the lines that the parts of a script wrote, `folder/PART.jsonl`, to one file."""
    files = [folder / f"{part}.jsonl" for part in parts]
    texts = [file.read_text(encoding="utf-8") for file in files if file.exists()]
    path.write_text("".join(texts), encoding="utf-8")
    return path
