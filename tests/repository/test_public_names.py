"""What every public name must have."""

import ast
import inspect
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

import alexnet_keras
from alexnet_keras import evaluation, inspection

PUBLIC = {
    **{name: getattr(alexnet_keras, name) for name in alexnet_keras.__all__},
    **{
        name: x
        for name, x in {**vars(evaluation), **vars(inspection)}.items()
        if name.startswith("plot_")
    },
}


ROOT = Path(__file__).parents[2]
NAMES = set(dir(alexnet_keras))  # and rooms


def test_stub_has_the_public_names():
    stub = ast.parse((ROOT / "alexnet_keras" / "__init__.pyi").read_text(encoding="utf-8"))
    assert {alias.asname for node in stub.body for alias in node.names} == NAMES
    paths = (ROOT / "alexnet_keras").glob("[a-z]*")
    rooms = {path.stem for path in paths if path.suffix in ("", ".py")}
    assert rooms == NAMES - set(alexnet_keras.__all__)


def test_types_of_the_public_names():
    """As in a project that uses the package; keras and TensorFlow are not looked into."""
    examples = ROOT / "tests" / "typing_examples.py"
    used = ast.walk(ast.parse(examples.read_text(encoding="utf-8")))
    assert NAMES <= {node.attr for node in used if isinstance(node, ast.Attribute)}
    done = subprocess.run(
        [sys.executable, "-m", "mypy"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_rooms_are_there_without_an_import_of_their_own():
    """Each as the first of the package's to be used."""
    script = (
        "import sys, alexnet_keras\n"
        "for room in sorted(set(dir(alexnet_keras)) - set(alexnet_keras.__all__)):\n"
        "    for name in [n for n in sys.modules if n.split('.')[0] == 'alexnet_keras']:\n"
        "        del sys.modules[name]\n"
        "    import alexnet_keras\n"
        "    assert getattr(alexnet_keras, room).__name__ == f'alexnet_keras.{room}'\n"
        "assert alexnet_keras.inspection.grad_cam\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", [n for n, x in PUBLIC.items() if callable(x)])
def test_docstring_has_an_example(name):
    """Doctest runs it."""
    assert ">>>" in inspect.getdoc(PUBLIC[name])


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() == "torch", reason="the backend needs torch")
def test_the_rest_of_the_package_does_without_torch():
    script = (
        "import sys\n"
        "class Without:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'torch': raise ImportError('none here')\n"
        "sys.meta_path.insert(0, Without())\n"
        "import alexnet_keras\n"
        "for name in alexnet_keras.__all__: getattr(alexnet_keras, name)\n"
        "print('the rest does')\n"
        "import alexnet_keras.exchange.torch_twin"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "the rest does\n"
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(
        'ImportError: The PyTorch twin needs torch: pip install "alexnet-keras[torch]"'
    )
