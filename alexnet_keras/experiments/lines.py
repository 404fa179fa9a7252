"""Files of results: one JSON line a run, its schema a dataclass."""

import dataclasses
import json
import math
import types
import typing
from pathlib import Path
from typing import Any

from alexnet_keras.common import RunError, write_file

Line = typing.TypeVar("Line")


def read_lines(path: str | Path, kind: type[Line]) -> list[Line]:
    """Reads a file of JSON lines, each the fields of a dataclass.

    Args:
        path: of the file.
        kind: the dataclass; its annotations are the schema.

    Raises:
        RunError: if a line has other fields, or a value is of another type.
    """
    lines = []
    for number, text in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        try:
            line = kind(**json.loads(text))
            for field in dataclasses.fields(kind):
                _require_type(field.name, getattr(line, field.name), field.type)
        except (ValueError, TypeError) as error:
            raise RunError(
                f"Each line must have the fields of {kind.__name__}. "
                f"Received: line {number} of {path} ({error})"
            ) from None
        lines.append(line)
    return lines


def _require_type(name: str, value: Any, annotation: Any) -> None:
    union = isinstance(annotation, types.UnionType)
    alternatives = typing.get_args(annotation) if union else [annotation]
    kinds = [typing.get_origin(kind) or kind for kind in alternatives]
    if float in kinds:
        kinds.append(int)
    if not isinstance(value, tuple(kinds)) or (isinstance(value, bool) and bool not in kinds):
        raise TypeError(f"{name} must be of type {kinds[0].__name__}, not {value!r}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name} must be finite, not {value!r}")
    if isinstance(value, list):
        for item in value:
            _require_type(f"an item of {name}", item, *typing.get_args(annotation))


def append_line(path: Path, line: Any) -> None:
    """Adds a dataclass to a file of JSON lines; the file is whole at any time."""
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    text = before + json.dumps(dataclasses.asdict(line)) + "\n"
    write_file(path, lambda partial: partial.write_text(text, encoding="utf-8"))
