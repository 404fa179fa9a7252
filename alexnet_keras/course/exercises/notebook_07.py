"""Checks of notebook 07; see `check`."""

import math

import keras
import numpy as np


def exercise_1(answer):
    if math.isclose(answer, 5, rel_tol=1e-3):
        return None
    if math.isclose(answer, 1 / 0.8):
        return "the rate is the share that is dropped, not the share that is left"
    if math.isclose(answer, 2):
        return "2 belongs to a rate of 0.5. What share of the values is left here?"
    return "the mean must stay the same; what share of the values is left?"


def exercise_2(answer):
    if math.isclose(answer, math.comb(10, 5) / 2**10, rel_tol=1e-3):
        return None
    if answer == math.comb(10, 5):
        return "that is how many masks there are; the question is which share of all"
    if answer == 0.5:
        return "a unit is left with probability one half, but five of ten are not left that often"
    return "the masks are in `masks`, one a row: count those with a sum of five"


def exercise_3(answer):
    half, fifth = answer
    expected = [3 * math.sqrt(rate / (1 - rate)) for rate in (0.5, 0.2)]
    if np.allclose((half, fifth), expected, rtol=0.02):
        return None
    if np.allclose((half, fifth), np.square(expected), rtol=0.02):
        return "those are the variances"
    unscaled = [3 * math.sqrt(rate * (1 - rate)) for rate in (0.5, 0.2)]
    if np.allclose((half, fifth), unscaled, rtol=0.02):
        return "what is left is not 3: Keras scales it"
    if np.allclose((half, fifth), expected[::-1], rtol=0.02):
        return "the rate of 0.5 comes first"
    if math.isclose(half, expected[0], rel_tol=0.02):
        return "the first is right; for the second, which values can come out, and how often?"
    return "which two values can come out, and how often each? Or draw many and measure"


def exercise_4(answer, paper):
    rates = [layer.rate for layer in answer.layers if isinstance(layer, keras.layers.Dropout)]
    if rates != [layer.rate for layer in paper.layers if hasattr(layer, "rate")]:
        return f"it should have Keras's Dropout where `paper` has its own. Found rates: {rates}"
    if any(type(layer).__name__ == "PaperDropout" for layer in answer.layers):
        return "there is still a PaperDropout in it"
    pictures = np.random.default_rng(7).normal(size=(64, *paper.input_shape[1:]))
    wanted, found = (np.array(model(pictures, training=False)) for model in (paper, answer))
    if found.shape != wanted.shape:
        return f"its outputs have the shape {found.shape}, those of `paper` {wanted.shape}"
    if not np.allclose(found, wanted, rtol=1e-3, atol=1e-4):
        return (
            "its outputs are not those of `paper` in testing. By which factor does what the last "
            "layer sees differ between the two, and which of its weights meet it?"
        )
    return None


def exercise_5(answer, validation, patience=3):
    model, history = answer
    history = getattr(history, "history", history)
    rates = [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    if any(rates):
        return f"the network should be without dropout. Its rates are {rates}"
    if "val_loss" not in history:
        return "`fit` needs `validation_data`, so that there is something to stop by"
    losses = history["val_loss"]
    best, after = min(losses), len(losses) - 1 - int(np.argmin(losses))
    if after > patience:
        return f"it went on for {after} epochs after its lowest validation loss"
    loss = model.evaluate(validation, verbose=0, return_dict=True)["loss"]
    if not math.isclose(loss, best, rel_tol=0.01):
        return (
            f"its validation loss is {loss:.2f}, and was {best:.2f} at the best epoch: does it "
            "have that epoch's weights? EarlyStopping has an argument for it"
        )
    return None
