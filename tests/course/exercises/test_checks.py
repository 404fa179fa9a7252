"""What holds for the checks of all notebooks."""

import re
from pathlib import Path

import nbformat
import pytest

from alexnet_keras.course import check, verdict

ROOT = Path(__file__).parents[3]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def exercises_of(path):
    cells = nbformat.read(path, as_version=4).cells
    return [
        name
        for cell in cells
        if cell.cell_type == "code"
        for name in re.findall(r'^check\("([\d.]+)"', cell.source, flags=re.MULTILINE)
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_exercise_has_its_check(path):
    for name in exercises_of(path):
        assert name.startswith(path.stem[:2])
        # An answer of no sensible kind is wrong in every exercise.
        assert verdict(name, object()), name


def test_nothing_is_said_of_no_answer(capsys):
    check("99.1", ...)
    assert capsys.readouterr().out == ""


def test_no_such_exercise():
    for name in ("99.1", "01.99", "first"):
        with pytest.raises(ValueError, match="is not there"):
            verdict(name, 1)
