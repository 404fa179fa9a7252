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


@pytest.fixture(scope="session")
def folder_of_runs(tmp_path_factory):
    from alexnet_keras import TrainingConfig, train

    folder = tmp_path_factory.mktemp("examples")
    config = TrainingConfig(image_size=64, width=0.05, epochs=1)
    train(config, folder / "runs" / "openclipart-paper", verbose=0)
    return folder


@pytest.fixture(autouse=True)
def _folder_for_examples(request, monkeypatch):
    if isinstance(request.node, DoctestItem):
        with_run = "runs/" in request.node.dtest.docstring
        folder = "folder_of_runs" if with_run else "tmp_path"
        monkeypatch.chdir(request.getfixturevalue(folder))
