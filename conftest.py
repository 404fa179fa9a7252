"""What the examples in docstrings need: a folder of their own to write to."""

import pytest
from _pytest.doctest import DoctestItem


@pytest.fixture(autouse=True)
def _folder_for_examples(request, monkeypatch):
    if isinstance(request.node, DoctestItem):
        monkeypatch.chdir(request.getfixturevalue("tmp_path"))
