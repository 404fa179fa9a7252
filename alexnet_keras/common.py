"""What every room needs: errors, checks of arguments, whole files, what comes with the package."""

import json
import math
import numbers
import os
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

__version__ = "0.1.0"

EMBEDDED = "openclipart"
"""The name of the data set that comes with the project; see `data/README.md`."""


class DataError(ValueError):
    """Data that cannot be opened or trained on; the message is one sentence for the user."""


class RunError(ValueError):
    """A run's folder or one of its files, or a file of runs' results, that is broken or does not
    fit; the message is one sentence for the user."""


class DivergedError(ValueError):
    """The loss, or a weight, is no longer a finite number."""


class Interrupted(Exception):  # noqa: N818 (nothing went wrong)
    """Training was told to stop by a signal, and has kept its state.

    Attributes:
        number: of the signal.
        folder: of the run, to go on with `resume`.
    """

    def __init__(self, number: int, folder: Path):
        going_on = f"`resume({str(folder)!r})` goes on"
        super().__init__(f"stopped by {signal.Signals(number).name}; {going_on}")
        self.number, self.folder = number, folder


def check_integer(name: str, value: Any, *, minimum: int, maximum: int | None = None) -> int:
    """Checks an argument that must be a whole number.

    Args:
        name: of the argument, for the message.
        value: an `int` or an integer of numpy's; no `bool`, and no float such as 2.0.
        minimum, maximum: the smallest and the largest number that will do.

    Returns:
        The number as an `int`.

    Raises:
        ValueError: if it is none, or out of the range.

    Example:

    >>> check_integer("epochs", True, minimum=1)
    Traceback (most recent call last):
    ValueError: `epochs` must be an integer of at least 1. Received: epochs=True
    """
    if (
        isinstance(value, numbers.Integral)
        and not isinstance(value, bool)
        and minimum <= value
        and (maximum is None or value <= maximum)
    ):
        return int(value)
    span = f"of at least {minimum}" if maximum is None else f"from {minimum} to {maximum}"
    raise ValueError(f"`{name}` must be an integer {span}. Received: {name}={value!r}")


def check_number(
    name: str,
    value: Any,
    *,
    minimum: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> float:
    """Checks an argument that must be a finite number within some limits.

    Args:
        name: of the argument, for the message.
        value: a number of Python's or numpy's; no `bool`, NaN or infinity.
        minimum: the smallest number that will do.
        above, below: limits that will not do themselves.

    Returns:
        The number as a `float`.

    Raises:
        ValueError: if it is none, or out of the range.

    Example:

    >>> check_number("width", 0, above=0)
    Traceback (most recent call last):
    ValueError: `width` must be a finite number greater than 0. Received: width=0
    """
    number = math.nan
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:  # an integer of more than 308 digits
            number = math.inf
    if (
        math.isfinite(number)
        and (minimum is None or number >= minimum)
        and (above is None or number > above)
        and (below is None or number < below)
    ):
        return number
    limits = {"of at least": minimum, "greater than": above, "less than": below}
    span = " and ".join(f"{text} {limit}" for text, limit in limits.items() if limit is not None)
    raise ValueError(f"`{name}` must be a finite number {span}. Received: {name}={value!r}")


def check_choice(name: str, value: Any, allowed: Iterable[Any]) -> Any:
    """Checks an argument that must be one of some strings and integers, or `None`.

    Args:
        name: of the argument, for the message.
        value: may be a string or an integer of numpy's.
        allowed: the choices.

    Returns:
        The choice that is equal to the value.

    Raises:
        ValueError: if there is none.

    Example:

    >>> check_choice("views", 3, (1, 10))
    Traceback (most recent call last):
    ValueError: `views` must be one of (1, 10). Received: views=3
    """
    allowed = tuple(allowed)
    # Not by `in`: True is equal to 1, and comparing an array gives an array.
    comparable = isinstance(value, (str, numbers.Integral)) and not isinstance(value, bool)
    for choice in allowed:
        if choice is value or (comparable and choice == value):
            return choice
    raise ValueError(f"`{name}` must be one of {allowed}. Received: {name}={value!r}")


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


def packaged_runs() -> list[str]:
    """The names of the trained networks that come with the package, see `data/README.md`.

    Example:

    >>> "openclipart" in packaged_runs()
    True
    """
    return sorted(path.parent.name for path in packaged_path("data/trained").glob("*/config.json"))


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
