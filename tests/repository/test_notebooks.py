"""What can be checked of the notebooks without running them; nbval runs them."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def cells(path, kind):
    notebook = nbformat.read(path, as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == kind]


def test_links_agree_with_pyproject():
    done = subprocess.run(
        [sys.executable, ROOT / "notebooks" / "links.py", "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_other_address_is_noticed():
    spec = importlib.util.spec_from_file_location("links", ROOT / "notebooks" / "links.py")
    links = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(links)
    for path in NOTEBOOKS:
        text = path.read_text(encoding="utf-8")
        moved = links.with_links(text, "someone/else", f"notebooks/{path.name}")
        assert "github.com/someone/else" in moved and "/github/someone/else/blob" in moved
        name = links.repository_name((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
        assert links.with_links(moved, name, f"notebooks/{path.name}") == text


def texts_of(output):
    """What of an output is read, not looked at."""
    data = output.get("data", {})
    return [output.get("text", ""), *(data[kind] for kind in data if kind.startswith("text/"))]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestNotebook:
    def test_begins_and_ends_as_the_others(self, path):
        first, *_, last = cells(path, "markdown")
        assert first.source.startswith("# ")
        assert "Time:" in first.source and "You will" in first.source
        headings = [c.source for c in cells(path, "markdown") if c.source.startswith("# ")]
        assert len(headings) == 1
        assert "<details>" in "".join(c.source for c in cells(path, "markdown"))

    def test_set_up_cell_is_the_same_in_all(self, path):
        assert cells(path, "code")[0].source == cells(NOTEBOOKS[0], "code")[0].source

    def test_outputs_are_kept_and_clean(self, path):
        outputs = [output for cell in cells(path, "code") for output in cell.outputs]
        assert outputs
        assert not [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"]
        assert path.stat().st_size < 1_000_000
        texts = [text for output in outputs for text in texts_of(output)]
        text = "".join(texts)
        assert "\x1b" not in text
        assert not re.findall(r"(?:/home|/root|/tmp|/Users|/var|/work|/content)/\S+", text)

    def test_some_outputs_are_checked(self, path):
        tags = [tag for cell in cells(path, "code") for tag in cell.metadata.get("tags", [])]
        assert tags.count("nbval-check-output") >= 2


def test_cells_that_need_torch_are_not_checked():
    """Without PyTorch the notebook passes over each cell with that word, so it prints nothing."""
    for cell in cells(ROOT / "notebooks" / "13_pytorch_twin.ipynb", "code"):
        assert "torch" not in cell.source or "nbval-check-output" not in cell.metadata.get(
            "tags", []
        ), cell.source
