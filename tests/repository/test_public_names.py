"""What every public name must have."""

import inspect
import subprocess
import sys

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
