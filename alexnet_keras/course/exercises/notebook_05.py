"""Checks of notebook 05; see `check`."""

from collections.abc import Sequence

import keras
import numpy as np

_POOLS = (keras.layers.MaxPooling2D, keras.layers.AveragePooling2D)


def exercise_1(answer: tuple[int, int]) -> str | None:
    """Sides of a map of 112 after plain and after overlapping pooling."""
    plain, overlapping = answer
    if plain != 56:
        return "how many windows of two fit side by side into 112?"
    if overlapping == 55:
        return None
    return "the last window of three must fit into the map: (112 - 3) / 2 is not whole"


def exercise_2(answer: keras.layers.Layer) -> str | None:
    """A layer that pools by 2 x 2, stride 2, without a loop."""
    if not isinstance(answer, keras.layers.Layer):
        return "hand over a layer, not its class and not a function: `PlainPooling()`"
    if isinstance(answer, _POOLS):
        return "this is Keras's own; write one with `keras.ops.reshape` and `keras.ops.max`"
    maps = np.random.default_rng(2).normal(size=(3, 6, 10, 4)).astype("float32")
    expected = np.asarray(keras.layers.MaxPooling2D(2)(maps))
    pooled = np.asarray(answer(maps))
    if pooled.shape != expected.shape:
        return f"maps of {maps.shape} must become {expected.shape}, not {pooled.shape}"
    if not np.array_equal(pooled, expected):
        return "the shape is right, the values are not: which axes hold one window?"
    symbolic = answer(keras.Input((6, 10, 4)))  # as in a model, where the batch is not known yet
    if tuple(symbolic.shape) != (None, 3, 5, 4):
        return f"in a model the shape must be (None, 3, 5, 4), not {tuple(symbolic.shape)}"
    return None


def exercise_3(answer: tuple[int, int]) -> str | None:
    """Size and stride of a max pool of 3 and stride 1 with one of 3 and stride 2 behind it."""
    size, stride = answer
    if stride != 2:
        return "the first pool does not skip anything, the second moves by two"
    return None if size == 5 else "draw three windows of three, each one further, and their span"


def exercise_4(answer: Sequence | np.ndarray) -> str | None:
    """The kernel that averages 3 x 3 values."""
    kernel = np.asarray(answer, "float32")
    if kernel.shape != (3, 3, 1, 1):
        return f"the kernel's shape must be (3, 3, 1, 1), not {kernel.shape}"
    if np.allclose(kernel, 1 / 9):
        return None
    if np.allclose(kernel, 1):
        return "this one sums"
    return "in a mean all nine values have the same weight, and the weights add up to 1"


def exercise_5(answer: keras.Model, *, original: keras.Model) -> str | None:
    """AlexNet with a convolution of stride 2 in the place of each pool, trained."""
    if any(isinstance(layer, _POOLS) for layer in answer.layers):
        return "there is still a pooling layer in it"
    for pool in (layer for layer in original.layers if isinstance(layer, _POOLS)):
        if pool.name not in {layer.name for layer in answer.layers}:
            return f"a layer named {pool.name} must be where the pool of that name was"
        layer = answer.get_layer(pool.name)
        if not isinstance(layer, keras.layers.Conv2D):
            return f"{pool.name} must be a `keras.layers.Conv2D`"
        if layer.output.shape != pool.output.shape:
            return (
                f"the maps of {pool.name} must be {tuple(pool.output.shape[1:])}, "
                f"not {tuple(layer.output.shape[1:])}"
            )
    if getattr(answer, "optimizer", None) is None:
        return "compile the model"
    return None if int(answer.optimizer.iterations) > 0 else "now train it with `fit`"
