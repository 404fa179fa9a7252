"""Checks of notebook 00; see `check`."""

import keras
import numpy as np


def exercise_1(answer):
    if answer == 55:
        return None
    if answer == 54:
        return "the first window stands at the left edge before any step is made"
    return "the last window must end within the 227 pixels: how far can its left edge move?"


def exercise_2(answer):
    if not callable(answer):
        return "a function is asked for"
    probabilities = np.random.default_rng(0).dirichlet(np.ones(12), size=40).astype("float32")
    ranks = np.argsort(np.argsort(-probabilities, axis=1), axis=1)
    labels = np.arange(40) % 12
    rank = ranks[np.arange(40), labels]
    error = float(answer(probabilities, labels))
    expected = (rank >= 5).mean()
    if np.isclose(error, expected):
        return None
    if np.isclose(error, 1 - expected):
        return "this is the share of the right ones; the error is that of the others"
    if np.isclose(error, 100 * expected):
        return "this is in per cent; a number from 0 to 1 is asked for"
    if np.isclose(error, (rank >= 1).mean()):
        return "this is the top-1 error: five guesses are allowed"
    smallest = np.argsort(np.argsort(probabilities, axis=1), axis=1)[np.arange(40), labels] >= 5
    if np.isclose(error, smallest.mean()):
        return "these are the five least probable classes; np.argsort sorts upwards"
    return "a picture is right if its class is among the five most probable ones"


def exercise_3(answer):
    if not isinstance(answer, keras.Model):
        return f"a keras.Model is asked for; this is of type {type(answer).__name__}"
    for what, found, expected in (
        ("input", answer.input_shape, (None, 64, 64, 3)),
        ("output", answer.output_shape, (None, 10)),
    ):
        if found != expected:
            return f"the {what} should be {expected}; it is {found}"
    layers = answer.layers
    maps = [(la.filters, la.kernel_size) for la in layers if isinstance(la, keras.layers.Conv2D)]
    if maps != [(6, (5, 5)), (16, (5, 5))]:
        return f"two convolutions of 5 x 5 with 6 and 16 maps are asked for; these are {maps}"
    if sum(isinstance(la, keras.layers.MaxPooling2D) for la in layers) != 2:
        return "each of the two convolutions should be followed by a max pool"
    units = [la.units for la in layers if isinstance(la, keras.layers.Dense)]
    if units != [120, 84, 10]:
        return f"dense layers of 120, 84 and 10 units are asked for; these are {units}"
    of_layers = [getattr(la, "activation", None) for la in layers]
    functions = [each for each in of_layers if each is not None]
    rectified = functions.count(keras.activations.relu)
    rectified += sum(isinstance(la, keras.layers.ReLU) for la in layers)
    if rectified != 4 or functions[-1] is not keras.activations.softmax:
        return "all the layers with weights should have ReLU, but for the softmax of the last"
    if answer.count_params() != 338_486:
        return "the maps should be neither padded nor shrunk further: 60, 30, 26 and 13 pixels"
    if not answer.compiled:
        return "it is built as asked; compile it, too"
    images = np.random.default_rng(0).uniform(0, 1, (20, 64, 64, 3)).astype("float32")
    labels = np.arange(20) % 10
    losses = [float(np.ravel(answer.train_on_batch(images, labels))[0]) for _ in range(5)]
    if not np.isfinite(losses).all():
        return "it is built as asked, but its loss becomes infinite; try a smaller learning rate"
    return None
