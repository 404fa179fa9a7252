import dataclasses
import json
import math

import pytest

from alexnet_keras.common import RunError
from alexnet_keras.experiments import (
    append_line,
    read_lines,
    read_results,
)
from tests.experiments.conftest import result


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": "0"}, "line 2 of .*seed: Input should be a valid integer, not '0'"),
        ({"seed": True}, "seed: Input should be a valid integer, not True"),
        ({"top1_error": True}, "top1_error: Input should be a valid number, not True"),
        ({"top1_error": math.nan}, "top1_error: Input should be a finite number"),
        ({"more": 1}, "more: Unexpected keyword argument"),
    ],
)
def test_lines_of_another_schema_are_refused(tmp_path, change, said):
    lines = [dataclasses.asdict(result("base", 0, 0.5)) for _ in range(2)]
    lines[1].update(change)
    (tmp_path / "results.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    with pytest.raises(RunError, match=said):
        read_results(tmp_path)


@dataclasses.dataclass(frozen=True)
class Line:
    name: str | None
    errors: list[float]
    right: bool = True


def test_types_of_lines(tmp_path):
    path = tmp_path / "lines.jsonl"
    good = [Line(None, [0.5, 1]), Line("a", [])]
    for line in good:
        append_line(path, line)
    assert read_lines(path, Line) == good
    said = "must have the fields of Line. Received: line 1 of"
    for bad in (Line(1, []), Line("a", ["3"]), Line("a", [True]), Line("a", {}), Line("a", [], 1)):
        path.unlink()
        append_line(path, bad)
        with pytest.raises(RunError, match=said):
            read_lines(path, Line)
    path.write_text('{"name": "a"}\n')
    with pytest.raises(RunError, match=rf"{said} .*\(errors: Field required\)"):
        read_lines(path, Line)
    path.write_text('{"name": "a", "err')  # cut off
    with pytest.raises(RunError, match=rf"{said} .*\(Invalid JSON: "):
        read_lines(path, Line)


def test_lines_come_back(tmp_path):
    runs = [result("base", s, 0.5, config={"width": 0.05}) for s in range(2)]
    for run in runs:
        append_line(tmp_path / "results.jsonl", run)
    assert read_results(tmp_path) == read_results(tmp_path / "results.jsonl") == runs
    append_line(tmp_path / "results.jsonl", dataclasses.replace(runs[0], condition="other"))
    with pytest.raises(RunError, match="known conditions. Received: .'other'."):
        read_results(tmp_path)
