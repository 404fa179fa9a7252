"""Files that are either whole or not there."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


def write_file(path: Path, write: Callable[[Path], Any]) -> None:
    """Lets `write` make a temporary file beside `path`, then renames it.

    The temporary name keeps the suffix, which `write` may go by.
    """
    partial = path.with_name(f"partial-{path.name}")
    try:
        write(partial)
        with open(partial, "rb+") as file:  # a name must not come to the disk before its content
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Writes indented JSON."""
    text = json.dumps(value, indent=2) + "\n"
    write_file(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def shipped(path: str) -> Path:
    """A file or folder that comes with the package.

    Args:
        path: in `data/`, or in `results/`, which is `benchmarks/results/` in the repository.

    Raises:
        FileNotFoundError: if it is not there.

    Example:

    >>> from alexnet_keras.files import shipped
    >>> shipped("data/openclipart").is_dir()
    True
    """
    here = Path(__file__).parent
    for root in (here, here.parent, here.parent / "benchmarks"):  # installed, or checked out
        if (root / path).exists():
            return root / path
    raise FileNotFoundError(f"{path} must come with the package. Received: none beside {here}")
