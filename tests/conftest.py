"""What the tests share."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest
import tensorflow as tf


@pytest.fixture(scope="session")
def write_pictures():
    """A function that writes class folders of JPEG pictures: noise, and a colour for a class."""

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
