"""Checks of notebook 06; see `check`."""

import math

import keras
import numpy as np

from alexnet_keras.pictures import ten_views


def exercise_1(answer):
    share = ((227 - 29) / 227) ** 2
    if math.isclose(answer, share, abs_tol=0.002):
        return None
    if math.isclose(answer, share * 100, abs_tol=0.2):
        return "right in per cent; give the share, a number from 0 to 1"
    if math.isclose(answer, 198 / 227, abs_tol=0.002):
        return "that is the share along one side; a picture has two"
    return "the two crops are shifted by 256 - 227 pixels, to the right and downwards"


def exercise_2(answer):
    if math.isclose(answer, 1800 * (1 - (1 - 1 / 1800) ** 90), abs_tol=0.15):
        return None
    if math.isclose(answer, 90):
        return "now and then a crop does come twice; how often?"
    return "with what probability is a given one of the 1,800 never drawn in 90 draws?"


def exercise_3(answer, *, deviation):
    right = math.erfc(10 / (0.1 * deviation) / 2**0.5)
    if math.isclose(answer, right, abs_tol=0.005):
        return None
    if math.isclose(answer, right / 2, abs_tol=0.005):
        return "that is one direction; both were asked for"
    if math.isclose(answer, math.erfc(10 / deviation / 2**0.5), abs_tol=0.005):
        return "the noise has a tenth of the standard deviation of the pixels"
    return "the noise along the first component has a standard deviation of 0.1 * deviations[0]"


def exercise_4(answer):
    if isinstance(answer, keras.layers.Layer):
        return "hand over the class itself, without calling it"
    if not (isinstance(answer, type) and issubclass(answer, keras.layers.Layer)):
        return "the answer must be a class derived from `keras.layers.Layer`"
    layer = answer(size=5, seed=0)
    images = np.random.default_rng(0).uniform(1, 2, (2, 12, 16, 3)).astype("float32")
    if not (_numpy(layer(images, training=False)) == images).all():
        return "with training=False the pictures must stay as they are"
    corners = set()
    for _ in range(60):
        erased = _numpy(layer(images, training=True))
        if erased.shape != images.shape:
            return f"the shape has changed from {images.shape} to {erased.shape}"
        gone = (erased == 0).all(axis=-1)
        if (erased[~gone] != images[~gone]).any():
            return "the pixels outside of the square must stay as they are"
        for each in gone:
            rows, columns = np.flatnonzero(each.any(axis=1)), np.flatnonzero(each.any(axis=0))
            if each.sum() != 25 or np.ptp(rows) != 4 or np.ptp(columns) != 4:
                return f"with size=5 a square of 25 pixels must be 0; there are {each.sum()}"
            corners.add((rows[0], columns[0]))
    tops, lefts = (set(each) for each in zip(*corners))
    if len(corners) == 1:
        return "the square is always at the same place"
    if max(tops) < 6 or max(lefts) < 9:
        return "the square never comes near the bottom or the right edge"
    return None


def exercise_5(answer, *, network):
    if not isinstance(answer, keras.Model):
        return "the answer must be a `keras.Model`"
    if tuple(answer.input_shape) != (None, 72, 72, 3):
        return f"its input must be (None, 72, 72, 3) and is {answer.input_shape}"
    squares = np.random.default_rng(0).uniform(0, 255, (3, 72, 72, 3)).astype("float32")
    found = answer.predict(squares, verbose=0)
    if found.shape != (3, 10):
        return f"for 3 pictures the output must be (3, 10) and is {found.shape}"
    single = np.stack([network.predict(ten_views(each, 64), verbose=0) for each in squares])
    if np.allclose(found, single.mean(axis=1), atol=1e-4):
        return None
    if np.allclose(found, single.sum(axis=1), atol=1e-3):
        return "that is the sum; the mean is a tenth of it"
    for view in range(10):
        if np.allclose(found, single[:, view], atol=1e-4):
            return "that is the prediction for one view"
    return "compare with `network.predict(ten_views(square, 64)).mean(axis=0)` for a single picture"


def _numpy(x):
    return keras.ops.convert_to_numpy(x)
