"""Checks of notebook 04; see `check`."""

import math
from typing import Any

import keras
import numpy as np

from alexnet_keras.layers import LocalResponseNormalization


def exercise_1(answer: dict[str, Any]) -> str | None:
    """`tf.nn`'s arguments for Caffe's `local_size: 7, alpha: 0.0007, k: 1, beta: 0.75`."""
    names = {"depth_radius", "bias", "alpha", "beta"}
    if set(answer) != names:
        return f"give the four arguments {sorted(names)}, no more and no fewer"
    if answer["depth_radius"] != 3:
        return "`depth_radius` counts the channels on one side; 7 is the whole window"
    if not math.isclose(answer["alpha"], 1e-4, rel_tol=1e-6):
        return "Caffe divides its alpha by the size of the window, TensorFlow does not"
    if answer["bias"] != 1:
        return "TensorFlow's `bias` is the k of the formula"
    return None if answer["beta"] == 0.75 else "the exponent means the same in both"


def exercise_2(answer: float) -> str | None:
    """The value of five equal channels for which the output is largest."""
    right = math.sqrt(2 / (5e-4 * 0.5))
    if math.isclose(answer, right, abs_tol=0.01):
        return None
    if math.isclose(answer, right**2, rel_tol=1e-3):
        return "this is the square of a"
    if math.isclose(answer, right * math.sqrt(5), rel_tol=1e-3):
        return "all n channels of the window contribute to the sum"
    return "the product rule gives two terms; divide both by what they share, then solve for a"


def exercise_3(answer: tuple[int, int, int]) -> str | None:
    """Signs of the derivatives of output 3 by inputs 5, 3 and 6."""
    by_5, by_3, by_6 = answer
    if by_6 != 0:
        return "which channels are in the window of channel 3?"
    if by_5 != -1:
        return "what does a larger neighbour do to the divisor?"
    return None if by_3 == 1 else "is 50 before or behind the peak of the curve?"


def exercise_4(answer: dict[str, Any]) -> str | None:
    """Arguments of `LocalResponseNormalization` that make it RMS normalization, 16 channels."""
    maps = np.random.default_rng(0).normal(size=(4, 16)).astype("float32")
    expected = maps / np.sqrt((maps**2).mean(axis=-1, keepdims=True) + 1e-6)
    layer = LocalResponseNormalization(**answer)
    if np.allclose(layer(maps), expected, rtol=2e-3, atol=1e-4):
        return None
    if layer.size < 31:
        return "the window of the first channel must reach to the last"
    if layer.beta != 0.5:
        return "which exponent is a root?"
    if layer.k > 1e-5:
        return "only a small constant is added to the mean of the squares"
    return "the layer sums the squares; which alpha makes a mean of 16 of them?"


def exercise_5(answer: keras.Model) -> str | None:
    """A trained model with a response normalization whose beta is learnt."""
    layer = next((one for one in answer.layers if _scalar(one) is not None), None)
    if layer is None:
        return "no layer of the model has a single number to learn; `self.add_weight` makes one"
    try:
        fresh = type(layer).from_config(layer.get_config())
    except (TypeError, NotImplementedError):
        return "the layer cannot be made anew from its `get_config`, so the model cannot be loaded"
    maps = np.random.default_rng(0).normal(0, 100, (2, 4, 4, 16)).clip(0).astype("float32")
    fresh.build(maps.shape)
    _scalar(fresh).assign(0.75)
    if not np.allclose(fresh(maps), LocalResponseNormalization()(maps), rtol=2e-3, atol=1e-3):
        return "with a beta of 0.75 the layer must give what the paper's formula gives"
    learnt = float(keras.ops.convert_to_numpy(_scalar(layer)))
    return "beta is still 0.75: has the model been trained?" if abs(learnt - 0.75) < 1e-6 else None


def _scalar(layer):
    return next((w for w in layer.trainable_weights if tuple(w.shape) == ()), None)
