"""Runs the notebooks and keeps of their outputs what a reader needs.

`python -m notebooks.refresh` runs every notebook of this folder in place, or those that are named,
and fails if one raises an error or grows beyond a megabyte. Outputs on stderr, the state of widgets
and the times of execution are removed, so that a second run changes little; large pictures are
kept as JPEG.

`--solutions` runs each with the folded solutions in the place of the exercises' dots and writes
nothing; it fails unless every check then says that the answer is right.
"""

import argparse
import base64
import io
import os
import re
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import nbclient
import nbformat
from PIL import Image

HERE = Path(__file__).parent
MAXIMUM_BYTES = 1_000_000
LARGE_PICTURE = 100_000  # characters of base64


def main() -> int:
    """Runs the notebooks that are named on the command line, or all."""
    parser = argparse.ArgumentParser(description="Run notebooks in place and clean their outputs.")
    parser.add_argument("notebooks", type=Path, nargs="*", help="files (default: all)")
    parser.add_argument("--timeout", type=int, default=1200, help="seconds a cell may take")
    parser.add_argument(
        "--solutions", action="store_true", help="try the solutions of the exercises, write nothing"
    )
    arguments = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    failed = False
    for path in arguments.notebooks or sorted(HERE.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        exercises = fill_in_solutions(notebook) if arguments.solutions else []
        seconds = execute(notebook, path.parent, arguments.timeout)
        if arguments.solutions:
            wrong = [cell.source for cell in exercises if "Correct." not in str(cell.outputs)]
            print(f"{path.name}: {len(exercises)} solutions, {len(wrong)} of them wrong")
            print(*wrong, sep="\n\n")
            failed |= bool(wrong)
            continue
        clean(notebook)
        nbformat.write(notebook, path)
        size = path.stat().st_size
        if size > MAXIMUM_BYTES:
            print(f"{path.name} must not be larger than {MAXIMUM_BYTES:,} bytes.", file=sys.stderr)
            failed = True
        print(f"{path.name}: {seconds:.0f} s, {size / 1e3:.0f} kB")
    return int(failed)


def execute(notebook: Any, folder: Path, timeout: int) -> float:
    """Runs a notebook.

    Args:
        notebook: an `nbformat` notebook; its outputs are changed in place.
        folder: in which the kernel starts.
        timeout: seconds that a cell may take.

    Returns:
        The seconds that it took.

    Raises:
        nbclient.exceptions.CellExecutionError: if a cell fails; the outputs up to it are there.
    """
    started = time.perf_counter()
    nbclient.NotebookClient(
        notebook,
        timeout=timeout,
        coalesce_streams=True,
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    ).execute()
    return time.perf_counter() - started


def fill_in_solutions(notebook: Any) -> list[Any]:
    """Puts the solutions in the place of the dots, in a notebook that is not written back.

    An exercise is a code cell that calls `check("NN.N", ...)`. Its solution is the Python code that
    is folded into the next Markdown cell; it takes the place of what stands before the check.

    Args:
        notebook: an `nbformat` notebook; changed in place.

    Returns:
        The cells of the exercises that have a solution.
    """
    exercises = []
    for cell, following in pairwise(notebook.cells):
        call = re.search(r"^check\(", cell.source, re.MULTILINE)
        solution = re.search(r"<details>.*?```python\n(.*?)```", following.source, re.DOTALL)
        if cell.cell_type == "code" and call and solution:
            cell.source = solution.group(1) + cell.source[call.start() :]
            exercises.append(cell)
    return exercises


def clean(notebook: Any) -> None:
    """Removes what differs from run to run or is of no use to a reader.

    Args:
        notebook: an `nbformat` notebook; changed in place.
    """
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    number = 0
    for cell in notebook.cells:
        cell.metadata = {key: value for key, value in cell.metadata.items() if key == "tags"}
        if cell.cell_type != "code":
            continue
        number += 1
        cell.execution_count = number
        cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
        for output in cell.outputs:
            data = output.get("data", {})
            data.pop("application/vnd.jupyter.widget-view+json", None)
            if "text/plain" in data:  # of `model.summary()`, whose colours the HTML has, too
                data["text/plain"] = re.sub(r"\x1b\[[0-9;]*m", "", data["text/plain"])
            if len(data.get("image/png", "")) > LARGE_PICTURE:
                output.data["image/jpeg"] = _as_jpeg(output.data.pop("image/png"))
            if "execution_count" in output:
                output.execution_count = number


def _as_jpeg(png: str) -> str:
    jpeg = io.BytesIO()
    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    picture.save(jpeg, "JPEG", quality=80, optimize=True)
    return base64.b64encode(jpeg.getvalue()).decode()


if __name__ == "__main__":
    sys.exit(main())
