"""Checks of notebook 01; see `check`."""

import keras
import numpy as np

from alexnet_keras.alexnet import AlexNet

_WINDOWS = ((11, 4, 0), (3, 2, 0), (5, 1, 2), (3, 2, 0), *3 * ((3, 1, 1),), (3, 2, 0))


def _last_size(side):
    for kernel, stride, padding in _WINDOWS:
        side = (side + 2 * padding - kernel) // stride + 1
    return side


def exercise_1(answer):
    if answer == 3 * 3 * 192 * 384 + 384:
        return None
    if answer == 3 * 3 * 384 * 384 + 384:
        return "conv4 has two groups: how many of conv3's maps does one of its kernels see?"
    if answer == 3 * 3 * 192 * 384:
        return "the kernels are right; what else does a filter have?"
    return "a kernel has 3 x 3 weights for each map that it sees; count those of all the filters"


def exercise_2(answer):
    if not isinstance(answer, keras.layers.Conv2D):
        return f"a keras.layers.Conv2D is asked for; this is of type {type(answer).__name__}"
    images = np.random.default_rng(0).uniform(0, 1, (2, 7, 9, 3)).astype("float32")
    maps = keras.ops.convert_to_numpy(answer(images))
    if maps.shape != (2, 7, 9, 1):
        return (
            f"images of 7 x 9 pixels should become one map of 7 x 9; they become {maps.shape[1:]}"
        )
    grey = images.mean(axis=-1, keepdims=True)
    left = np.pad(grey, [(0, 0), (0, 0), (1, 0), (0, 0)])[:, :, :-1]
    if np.allclose(maps, grey - left, atol=1e-5):
        return None
    if np.allclose(maps, left - grey, atol=1e-5):
        return "the sign is the other way round"
    if np.allclose(maps, 3 * (grey - left), atol=1e-4):
        return "this is the sum of the three colors, not their mean"
    if np.allclose(maps[:, :, 1:], (grey - left)[:, :, 1:], atol=1e-5):
        return "all but the left edge is right; which side of the image is padded?"
    return "what should the three weights be at the pixel itself, and at the one to its left?"


def exercise_3(answer):
    if len(answer) != 4:
        return f"four numbers are asked for, and here are {len(answer)}"
    *sizes, change = answer
    if list(sizes) != [27, 13, 6]:
        return "use output_size with kernel 2 and stride 2; conv2 to conv5 keep the size they get"
    return None if change == 0 else "how many weights does a pool have?"


def exercise_4(answer):
    fitting = {side for side in range(1, 1000) if side >= 11 and _last_size(side) == 6}
    given = set(answer)
    if given == fitting:
        return None
    if given - fitting:
        side = min(given - fitting)
        return f"with {side} pixels pool5 is not 6 x 6 but of size {_last_size(side)}"
    return f"these fit, but {len(fitting - given)} more do; try every side"


def exercise_5(answer):
    field, step = 1, 1
    for kernel, stride, _ in _WINDOWS:
        field, step = field + (kernel - 1) * step, step * stride
    if answer == field:
        return None
    return "go through all eight windows, conv1 first; widen the field before you change the step"


def exercise_6(answer):
    if not isinstance(answer, keras.Model):
        return f"a keras.Model is asked for; this is of type {type(answer).__name__}"
    if answer.output_shape != (None, 1000):
        return f"the output should be (None, 1000); it is {answer.output_shape}"
    of_kind = {
        kind: [la for la in answer.layers if isinstance(la, getattr(keras.layers, kind))]
        for kind in ("Conv2D", "GlobalAveragePooling2D", "Flatten", "Dense")
    }
    if len(of_kind["Conv2D"]) != 5 or [la.filters for la in of_kind["Conv2D"]][-1] != 256:
        return "the five convolutions should stay as they are"
    if not of_kind["GlobalAveragePooling2D"] or of_kind["Flatten"]:
        return "GlobalAveragePooling2D should stand where Flatten was"
    if len(of_kind["Dense"]) != 1:
        return f"one dense layer is enough, for the classes; there are {len(of_kind['Dense'])}"
    if answer.count_params() != AlexNet(include_top=False).count_params() + 257 * 1000:
        return "the number of parameters is not that of conv1 to conv5 and the one dense layer"
    if getattr(of_kind["Dense"][0].activation, "__name__", "") != "softmax":
        return "what makes probabilities of the 1,000 outputs?"
    return None
