"""Which part of one picture speaks for a class."""

import dataclasses
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from alexnet_keras.common import check_integer
from alexnet_keras.inspection.maps import as_numpy, check_image


@dataclasses.dataclass(frozen=True, eq=False)
class Occlusion:
    """The probability of a class while part of the picture is hidden.

    Attributes:
        probability: of the whole picture.
        probabilities: float32 `(rows, columns)`; with a square hidden whose top left pixel is
            `(row * stride, column * stride)`.
        size, stride: of the square, in pixels.
    """

    probability: float
    probabilities: np.ndarray
    size: int
    stride: int


def occlusion_map(
    model: keras.Model,
    image: np.ndarray,
    class_index: int,
    *,
    size: int | None = None,
    stride: int | None = None,
    batch_size: int = 64,
) -> Occlusion:
    """Hides one square of the picture after the other behind the mean colour.

    Source: Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", 2013.

    Args:
        model: gives `(batch, classes)`.
        image: of the model's input shape.
        class_index: whose probability is wanted.
        size: side of the square, in pixels; `None` for an eighth of the picture's.
        stride: from one square to the next; `None` for half of the square's side.
        batch_size: pictures a step.

    Returns:
        The `Occlusion`.

    Raises:
        ValueError: if the picture has another shape, the class is not there, or `size` or `stride`
            is not an integer from 1 to the picture's side.

    Example:

    >>> import numpy as np
    >>> from alexnet_keras import AlexNet
    >>> model = AlexNet(classes=3, width=0.05, input_shape=(64, 64, 3))
    >>> occlusion_map(model, np.ones((64, 64, 3)), 2, size=16, stride=12).probabilities.shape
    (5, 5)
    """
    check_image(model, image)
    check_integer("class_index", class_index, minimum=0, maximum=model.output_shape[-1] - 1)
    height, width = model.input_shape[1:3]
    side = min(height, width)
    size = max(1, side // 8) if size is None else size
    size = check_integer("size", size, minimum=1, maximum=side)
    stride = max(1, size // 2) if stride is None else stride
    stride = check_integer("stride", stride, minimum=1, maximum=side)
    image = np.asarray(image, "float32")
    tops, lefts = range(0, height - size + 1, stride), range(0, width - size + 1, stride)
    corners = [(top, left) for top in tops for left in lefts]
    values = []
    for first in range(0, len(corners), batch_size):
        batch = np.stack([image] * len(corners[first : first + batch_size]))
        for hidden, (top, left) in zip(batch, corners[first:]):
            hidden[top : top + size, left : left + size] = 0
        values.append(model.predict_on_batch(batch)[:, class_index])
    return Occlusion(
        float(model.predict_on_batch(image[None])[0, class_index]),
        np.concatenate(values).reshape(len(tops), len(lefts)).astype("float32"),
        size,
        stride,
    )


def grad_cam(
    model: keras.Model, image: np.ndarray, class_index: int, layer: str | None = None
) -> np.ndarray:
    """Where the maps of a layer speak for a class.

    With A[k] the maps and y the class's score before the softmax, it is the positive part of
    sum_k (mean over the positions of dy / dA[k]) A[k]. Needs the TensorFlow backend.

    Source: Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
    Localization", 2017.

    Args:
        model: a functional model that ends in a dense layer.
        image: of the model's input shape.
        class_index: the class.
        layer: the name of a layer that gives maps; `None` for the last convolution's activation,
            relu5.

    Returns:
        float32 `(height, width)` of the layer's maps, at least 0.

    Raises:
        ValueError: if there is no such layer or class, the layer gives no maps, the picture has
            another shape, or Keras runs on another backend.

    Example:

    >>> import numpy as np
    >>> from alexnet_keras import AlexNet
    >>> model = AlexNet(classes=3, width=0.05, input_shape=(99, 99, 3))
    >>> grad_cam(model, np.ones((99, 99, 3)), 2).shape
    (5, 5)
    """
    check_image(model, image)
    check_integer("class_index", class_index, minimum=0, maximum=model.output_shape[-1] - 1)
    maps = _last_maps(model) if layer is None else model.get_layer(layer).output
    if len(maps.shape) != 4:
        raise ValueError(
            f"`layer` must give maps (batch, height, width, channels). Received: {layer!r}, which "
            f"gives {maps.shape}"
        )
    _require_tensorflow()
    until = keras.Model(model.input, [maps, _score_output(model)])
    image = tf.constant(np.asarray(image, "float32")[None])
    with tf.GradientTape() as tape:
        tape.watch(image)
        maps, scores = until(image, training=False)
        score = scores[0, class_index]
    weights = as_numpy(tape.gradient(score, maps))[0].mean(axis=(0, 1))
    return np.maximum(0, as_numpy(maps)[0] @ weights)


def integrated_gradients(
    model: keras.Model,
    image: np.ndarray,
    class_index: int,
    baseline: np.ndarray | None = None,
    steps: int = 64,
) -> np.ndarray:
    """How much each pixel adds to the score of a class.

    The gradient of the score before the softmax, averaged along the straight line from the baseline
    to the picture, times their difference. The attributions sum to the score's own difference
    between the two, up to what the average over `steps` points is from the integral. Needs the
    TensorFlow backend.

    Source: Sundararajan, Taly and Yan, "Axiomatic Attribution for Deep Networks", 2017.

    Args:
        model: a functional model that ends in a dense layer.
        image: of the model's input shape.
        class_index: the class.
        baseline: of the same shape; `None` for zeros, the mean colour.
        steps: points on the line, each in the middle of its part.

    Returns:
        float32 of the picture's shape.

    Raises:
        ValueError: if there is no such class, the picture or the baseline has another shape,
            `steps` is below 1, or Keras runs on another backend.

    Example:

    >>> import numpy as np
    >>> from alexnet_keras import AlexNet
    >>> model = AlexNet(classes=3, width=0.05, input_shape=(64, 64, 3))
    >>> integrated_gradients(model, np.ones((64, 64, 3)), 2, steps=4).shape
    (64, 64, 3)
    """
    baseline = np.zeros(model.input_shape[1:]) if baseline is None else baseline
    check_image(model, image)
    check_image(model, baseline, "baseline")
    check_integer("class_index", class_index, minimum=0, maximum=model.output_shape[-1] - 1)
    steps = check_integer("steps", steps, minimum=1)
    _require_tensorflow()
    scores = keras.Model(model.input, _score_output(model))
    baseline = np.asarray(baseline, "float32")
    difference = np.asarray(image, "float32") - baseline
    total = np.zeros(difference.shape)
    for places in np.array_split((np.arange(steps) + 0.5) / steps, -(-steps // 32)):
        points = tf.constant(
            (baseline + places[:, None, None, None] * difference).astype("float32")
        )
        with tf.GradientTape() as tape:
            tape.watch(points)
            score = tf.reduce_sum(scores(points, training=False)[:, class_index])
        total += as_numpy(tape.gradient(score, points)).sum(axis=0)
    return (difference * total / steps).astype("float32")


def _require_tensorflow() -> None:
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise ValueError(
            "Gradients are taken with TensorFlow: Keras must run on the 'tensorflow' backend "
            f"(KERAS_BACKEND). Received: {backend!r}"
        )


def _last_maps(model: keras.Model) -> Any:
    """What the last convolution gives, after its activation where that follows at once."""
    convolutions = [a for a in model.layers if isinstance(a, keras.layers.Conv2D)]
    if not convolutions:
        raise ValueError(f"The model must have a convolution. Received: {model.name} without one")
    maps = convolutions[-1].output
    kinds = (keras.layers.Activation, keras.layers.ReLU)
    after = [a.output for a in model.layers if isinstance(a, kinds) and a.input is maps]
    return after[0] if after else maps


def _score_output(model: keras.Model) -> Any:
    """The scores of the classes before the softmax."""
    last = model.layers[-1]
    if not isinstance(last, keras.layers.Dense):
        raise ValueError(
            "The model must end in a dense layer. Received: one that ends in "
            f"{last.name} of type {type(last).__name__}"
        )
    linear = keras.layers.Dense.from_config({**last.get_config(), "activation": "linear"})
    scores = linear(last.input)
    linear.set_weights(last.get_weights())
    return scores
