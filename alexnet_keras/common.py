"""What every room needs: errors, checks of arguments, whole files, what comes with the package."""

import json
import numbers
import os
import shlex
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

__version__ = "0.1.0"

EMBEDDED = "openclipart"
"""The name of the data set that comes with the project; see `data/README.md`."""


class DataError(ValueError):
    """Data that cannot be opened or trained on; the message is one sentence for the user."""


class DivergedError(ValueError):
    """The loss, or a weight, is no longer a finite number."""


class Interrupted(Exception):  # noqa: N818 (nothing went wrong)
    """Training was told to stop by a signal, and has kept its state.

    Attributes:
        number: of the signal.
        folder: of the run, to go on with `resume`.
    """

    def __init__(self, number: int, folder: Path):
        command = f"alexnet-keras train --resume {shlex.quote(str(folder))}"
        super().__init__(f"stopped by {signal.Signals(number).name}; go on with: {command}")
        self.number, self.folder = number, folder


def check_index(name: str, index: int, count: int) -> None:
    if not isinstance(index, numbers.Integral) or not 0 <= index < count:
        raise ValueError(f"`{name}` must be an integer from 0 to {count - 1}. Received: {index!r}")


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


def packaged_path(path: str) -> Path:
    """A file or folder that comes with the package.

    Args:
        path: in `data/`, or in `results/`, which is `benchmarks/results/` in the repository.

    Raises:
        FileNotFoundError: if it is not there.

    Example:

    >>> from alexnet_keras.common import packaged_path
    >>> packaged_path("data/openclipart").is_dir()
    True
    """
    here = Path(__file__).parent
    for root in (here, here.parent, here.parent / "benchmarks"):  # installed, or checked out
        if (root / path).exists():
            return root / path
    raise FileNotFoundError(f"{path} must come with the package. Received: none beside {here}")
