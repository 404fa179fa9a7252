"""What the examples in docstrings need, and two logical CPUs for what needs two devices."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest
from _pytest.doctest import DoctestItem


def pytest_configure(config):
    """Splits the CPU in two in each process that runs tests, before TensorFlow starts."""
    distributed = config.getoption("numprocesses", None)
    if hasattr(config, "workerinput") or not distributed:
        from alexnet_keras import split_cpu

        split_cpu(2)


@pytest.fixture(autouse=True)
def _folder_for_examples(request, monkeypatch):
    if isinstance(request.node, DoctestItem):
        monkeypatch.chdir(request.getfixturevalue("tmp_path"))
