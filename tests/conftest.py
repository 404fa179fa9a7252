"""What the tests share. Keras and TensorFlow are imported where they are used: it takes seconds."""

import contextlib
import os
import time

import numpy as np
import pytest

SMALL = {"image_size": 64, "width": 0.1, "epochs": 2, "batch_size": 8, "dropout": 0.1}


@pytest.fixture(scope="session")
def write_pictures():
    """A function that writes class folders of JPEG pictures: noise, and a colour for a class."""
    import tensorflow as tf

    def write(folder, counts, size=(80, 70), noise=60, color=180):
        rng = np.random.default_rng(0)
        for label, (class_name, count) in enumerate(counts.items()):
            (folder / class_name).mkdir(parents=True)
            for i in range(count):
                image = rng.integers(0, noise, (*size, 3))
                image[:, :, label % 3] += color
                encoded = tf.io.encode_jpeg(image.astype("uint8")).numpy()
                (folder / class_name / f"{i}.jpg").write_bytes(encoded)
        return folder

    return write


@pytest.fixture
def make_folder(tmp_path, write_pictures):
    """A function that writes a folder of class folders in the test's own."""

    def make(name="pictures", counts=None, size=(80, 70)):
        return write_pictures(tmp_path / name, counts or {"blue": 6, "red": 8}, size)

    return make


def without_times(log):
    """What `Run.log` gives of a run but its times, which are never twice the same."""
    from alexnet_keras.training.timing import COLUMNS

    return {name: column for name, column in log.items() if name not in COLUMNS}


@contextlib.contextmanager
def one_process(folder):
    """Holds a folder that only one of the processes can make at a time."""
    end = time.monotonic() + 600
    while True:
        try:
            folder.mkdir()
            break
        except FileExistsError:
            assert time.monotonic() < end, f"{folder} is there for ten minutes"
            time.sleep(0.2)
    try:
        yield
    finally:
        folder.rmdir()


@pytest.fixture(scope="session")
def run(tmp_path_factory, write_pictures):
    """Three classes that differ in colour, learned in two epochs, by one process for all."""
    from alexnet_keras import TrainingConfig, load_run, train

    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    with one_process(base / "at-work"):
        if not (base / "shared-run").exists():
            counts = {"blue": 20, "green": 20, "red": 20}
            folder = write_pictures(base / "shared-data", counts)
            config = TrainingConfig(data=str(folder), **SMALL, schedule="constant")
            train(config, base / "shared-run", verbose=0)
    return load_run(base / "shared-run")


@pytest.fixture
def no_gradients():
    """Numpy takes PyTorch's tensors only where no gradients are kept."""
    import keras

    if keras.backend.backend() != "torch":
        yield
        return
    import torch

    with torch.no_grad():
        yield


def check_figure(figure, tmp_path):
    """Every figure has a title, and every colour bar a label; it can be written."""
    titles = [axes.get_title() for axes in figure.axes]
    assert figure.get_suptitle() or any(titles)
    for axes in figure.axes:
        if axes.get_label() == "<colorbar>":
            assert axes.get_ylabel()
        elif axes.axison and axes.has_data() and (axes.lines or axes.patches or axes.collections):
            if len(axes.get_xticks()):
                assert axes.get_ylabel()
    figure.savefig(tmp_path / "figure.png", dpi=20)


def colorbars(figure):
    return [axes for axes in figure.axes if axes.get_label() == "<colorbar>"]
