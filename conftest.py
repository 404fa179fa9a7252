"""What the examples in docstrings need, and two logical CPUs for what needs two devices."""

import sys

import pytest
from _pytest.doctest import DoctestItem


def pytest_collection_finish(session):
    """Splits the CPU in two: the modules are imported, but TensorFlow has not started yet."""
    if "tensorflow" in sys.modules and not session.config.option.collectonly:
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
