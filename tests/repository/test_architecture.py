"""Who may import what: `[tool.importlinter]` in pyproject.toml, and the rooms' doors."""

import ast
import json
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).parents[2]


def test_imports_point_down(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert lint_imports(no_cache=True) == 0


def code_of(path):
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return text
    cells = [cell["source"] for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    lines = [line for cell in cells for line in "".join(cell).splitlines()]
    return "\n".join("pass" if line.lstrip()[:1] in ("%", "!") else line for line in lines)


def imports_from_the_package(code):
    """Module and name of each; the name of a whole module is empty."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found = [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found = [(node.module, alias.name) for alias in node.names]
        else:
            continue
        yield from (pair for pair in found if pair[0].split(".")[0] == "alexnet_keras")


def is_inner_file(module):
    """Whether it is a file of a room: not the room itself, nor a file at the top."""
    return module.count(".") > 1 and (ROOT / f"{module.replace('.', '/')}.py").is_file()


@pytest.mark.parametrize("folder", ["alexnet_keras", "benchmarks", "data", "docs", "notebooks"])
def test_rooms_are_entered_by_their_doors(folder):
    """And nothing that a file keeps to itself is imported by another."""
    paths = [path for suffix in ("py", "ipynb") for path in (ROOT / folder).rglob(f"*.{suffix}")]
    assert paths
    for path in paths:
        here = ".".join(path.relative_to(ROOT).parent.parts)
        for module, name in imports_from_the_package(code_of(path)):
            assert not name.startswith("_") or name == "__version__", f"{path}: {module}.{name}"
            for target in (module, f"{module}.{name}"):
                room = target.rpartition(".")[0]
                assert f"{here}.".startswith(f"{room}.") or not is_inner_file(target), (
                    f"{path} imports {target}, an inner file of {room}"
                )
