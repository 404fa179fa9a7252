"""Checks of notebook 03; see `check`."""

import numpy as np


def exercise_1(answer):
    """The largest product of ten slopes of the sigmoid."""
    if isinstance(answer, bool) or not np.isscalar(answer):
        return "the answer is one number"
    if np.isclose(answer, 0.25**10, rtol=1e-3, atol=0):
        return None
    if np.isclose(answer, 0.25, rtol=1e-3):
        return "that is one slope; the gradient passes through ten of them"
    if np.isclose(answer, 2.5):
        return "slopes on the way of a gradient are multiplied, not added"
    if answer > 1:
        return "the factor is what is left of the gradient, which is less than all of it"
    return "read the largest slope of the sigmoid from the table, and multiply ten of them"


def exercise_2(answer):
    """The backward pass of ReLU."""
    x, upstream = np.random.default_rng(1).normal(size=(2, 4, 5))
    x[0, 0] = 0.0
    found = np.asarray(answer(x, upstream))
    right = upstream * (x > 0)
    if found.shape != x.shape:
        return f"the gradient for the inputs has their shape, {x.shape}, not {found.shape}"
    if np.allclose(found, right):
        return None
    if np.allclose(found, x > 0):
        return "that is the slope; the gradient that comes from above is multiplied by it"
    if np.allclose(found, np.maximum(0, upstream)):
        return "the sign of the input decides, not that of the gradient"
    if np.allclose(found, np.maximum(0, x) * upstream):
        return "the gradient is multiplied by ReLU's slope, not by its value"
    if np.allclose(found, upstream * (x >= 0)):
        return "at an input of exactly 0 TensorFlow takes the slope 0"
    return "the gradient passes where the input was above 0, unchanged, and nowhere else"


def exercise_3(answer, unit_after):
    """The rates that leave the single unit dead after one step."""
    tried = [n / 10 for n in range(1, 21)]
    right = {rate for rate in tried if unit_after(1, rate)[2].max() == 0}
    given = {round(float(rate), 3) for rate in answer}
    if given - set(tried):
        return "only the rates 0.1, 0.2, ... 2.0 are asked for"
    if given == right:
        return None
    if given == set(tried) - right:
        return "those are the rates that leave it alive"
    if not given:
        return "the table above shows one that kills"
    missed, wrong = sorted(right - given), sorted(given - right)
    if wrong:
        return f"after one step at a rate of {wrong[0]} some output is still above 0"
    return f"{len(missed)} more of the rates leave nothing but zeros"


def exercise_4(answer):
    """The slope of leaky ReLU."""
    points = np.array([-300.0, -2.0, -0.5, 0.5, 2.0, 300.0])
    found = np.asarray(answer(points), dtype=float)
    if found.shape != points.shape:
        return f"for an array of shape {points.shape} the slopes have that shape, too"
    if np.allclose(found, np.where(points > 0, 1.0, 0.1)):
        return None
    if np.allclose(found, np.where(points > 0, points, 0.1 * points)):
        return "that is the function; its slope is asked for"
    if np.allclose(found, np.where(points > 0, 0.1, 1.0)):
        return "the two slopes have changed places"
    if np.allclose(found, points > 0):
        return "that is the slope of ReLU itself; on the negative side leaky ReLU has one, too"
    return "x has one slope wherever x is positive, and 0.1 x another wherever it is negative"


def exercise_5(answer, pictures, labels):
    """A trained network with tanh whose first convolution is not saturated by raw pixels."""
    import keras

    if not isinstance(answer, keras.Model):
        return "hand over the `keras.Model`, after `fit`"
    convolutions = [x for x in answer.layers if isinstance(x, keras.layers.Conv2D)]
    if not convolutions:
        return "the network has no Conv2D layer"
    first = convolutions[0]
    if not all(layer.activation is keras.activations.tanh for layer in convolutions):
        return 'every convolution has activation="tanh" here'
    if tuple(answer.input_shape[1:]) != tuple(pictures.shape[1:]):
        return f"it has to take pictures of the shape {tuple(pictures.shape[1:])}"
    outputs = _outputs(answer, first, pictures[:200])
    flat = np.mean(1 - outputs**2 < 0.05)
    if flat > 0.05:
        return (
            f"{flat:.0%} of the first convolution's units are saturated, at slopes below 0.05; "
            "what comes in has to be smaller"
        )
    if np.std(outputs) < 1e-3:
        return "the first convolution hardly tells one picture from another"
    probabilities = answer.predict(pictures, verbose=0)
    if probabilities.shape != (len(labels), labels.max() + 1):
        return f"it has to give {labels.max() + 1} probabilities for each picture"
    error = np.mean(probabilities.argmax(-1) != labels)
    if error > 0.6:
        return (
            f"nothing is saturated now, but the error on the training pictures is {error:.0%}: "
            "train it, with another learning rate or for longer"
        )
    return None


def _outputs(model, layer, pictures):
    """What one layer gives; it may stand in several models, so that we listen to this one."""
    heard, call = [], layer.call

    def listening(*args, **kwargs):
        heard.append(call(*args, **kwargs))
        return heard[-1]

    layer.call = listening
    try:
        model(pictures)
    finally:
        layer.call = call
    return np.asarray(heard[-1])
