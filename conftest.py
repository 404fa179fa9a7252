"""What the examples in docstrings need: a folder to write to, and a small run in it."""

import pytest
from _pytest.doctest import DoctestItem


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
