"""What the tests share."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest
import tensorflow as tf


@pytest.fixture
def make_folder(tmp_path):
    """A function that writes a folder of class folders, a colour for a class."""

    def make(name="pictures", counts=None, size=(80, 70)):
        rng = np.random.default_rng(0)
        folder = tmp_path / name
        for label, (class_name, count) in enumerate((counts or {"blue": 6, "red": 8}).items()):
            (folder / class_name).mkdir(parents=True)
            for i in range(count):
                image = rng.integers(0, 60, (*size, 3))
                image[:, :, label % 3] += 180
                encoded = tf.io.encode_jpeg(image.astype("uint8"))
                (folder / class_name / f"{i}.jpg").write_bytes(encoded.numpy())
        return folder

    return make
