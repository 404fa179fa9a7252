"""What every public name must have."""

import inspect

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
