"""What the examples in docstrings need, and two logical CPUs for what needs two devices."""

import os
from collections import Counter
from importlib.util import find_spec

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("ALEXNET_KERAS_DATA", "openclipart")  # the notebooks download nothing

import pytest
from _pytest.doctest import DoctestItem

collect_ignore = [] if find_spec("torch") else ["alexnet_keras/exchange/torch_twin"]


def pytest_configure(config):
    """Splits the CPU in two in each process that runs tests, before TensorFlow starts."""
    distributed = config.getoption("numprocesses", None)
    if hasattr(config, "workerinput") or not distributed:
        from alexnet_keras import split_cpu

        split_cpu(2)


def pytest_collection_modifyitems(items):
    """The longest files first, so that no process is left with one at the end."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: (item.path.suffix != ".ipynb", -slow[item.path]))


@pytest.fixture(autouse=True)
def _folder_for_examples(request, monkeypatch):
    if isinstance(request.node, DoctestItem):
        monkeypatch.chdir(request.getfixturevalue("tmp_path"))
