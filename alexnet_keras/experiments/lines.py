"""Files of results: one JSON line a run, its schema a dataclass."""

import dataclasses
import json
from pathlib import Path
from typing import Any, TypeVar

from alexnet_keras.common import RunError, write_file

Line = TypeVar("Line")


def read_lines(path: str | Path, kind: type[Line]) -> list[Line]:
    """Reads a file of JSON lines, each the fields of a dataclass.

    Nothing is converted but whole numbers to floats: `true` is no integer and `"3"` no number.

    Args:
        path: of the file.
        kind: the dataclass; its annotations are the schema.

    Raises:
        RunError: if a line has other fields, or a value is of another type or not finite.
    """
    from pydantic import TypeAdapter, ValidationError, with_config  # takes 70 ms to import

    schema = TypeAdapter(
        with_config({"strict": True, "extra": "forbid", "allow_inf_nan": False})(kind)
    )
    lines = []
    for number, text in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        try:
            lines.append(schema.validate_json(text))
        except ValidationError as error:
            raise RunError(
                f"Each line must have the fields of {kind.__name__}. "
                f"Received: line {number} of {path} ({_problem(error.errors()[0])})"
            ) from None
    return lines


def _problem(problem: Any) -> str:
    where = "".join(f"{place}: " for place in problem["loc"])
    received = "" if problem["type"] == "missing" else f", not {problem['input']!r:.60}"
    return f"{where}{problem['msg']}{received}"


def append_line(path: Path, line: Any) -> None:
    """Adds a dataclass to a file of JSON lines; the file is whole at any time."""
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    text = before + json.dumps(dataclasses.asdict(line)) + "\n"
    write_file(path, lambda partial: partial.write_text(text, encoding="utf-8"))
