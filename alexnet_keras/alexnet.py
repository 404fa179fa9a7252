"""AlexNet in the Keras functional API: the paper's network and its named variants."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from alexnet_keras.common import check_choice, check_integer, check_number
from alexnet_keras.layers import (
    GroupedConv2D,
    LocalResponseNormalization,
    WithinMapNormalization,
)
from alexnet_keras.variants import LAYERS, MINIMUM_SIZE, VARIANTS


def AlexNet(
    include_top: bool = True,
    weights: str | Path | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int, int, int] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | None = "softmax",
    name: str = "alexnet",
    *,
    variant: str = "paper",
    width: float = 1.0,
    activation: str = "relu",
    normalization: str | None = None,
    overlapping: bool = True,
    dropout: float = 0.5,
    columns: int | None = None,
    initialization: str = "variant",
) -> keras.Model:
    """Builds AlexNet.

    Reference: Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep Convolutional
    Neural Networks", NIPS 2012. Each variant's own source and its deviations from the paper stand
    in `VARIANTS[variant].source`; the variants are

    - `"paper"`: two columns, ReLU, response normalization, overlapping pooling.
    - `"2012"`: the network of the source code that produced the paper's figures.
    - `"caffe"`, `"caffenet"`: BVLC's AlexNet and reference CaffeNet.
    - `"single"`: one column, as most courses print it.
    - `"torchvision"`: the narrower network of "One weird trick", without normalization.
    - `"batchnorm"`: `"single"` with batch normalization in place of response normalization.

    Pixels come in as `preprocess_input` leaves them: RGB, 0 to 255 less the mean colour. The two
    columns are computed inside grouped layers (`GroupedConv2D`): maps 0 to n/2 - 1 are column a.

    conv1 is padded at the bottom and right until its last window is complete, as the 2012 code
    rounds its size up: 227 needs nothing, 224 gets 3 pixels and has the same 55 x 55 maps.
    (`torchvision` pads by 2 on every side and drops the rest.)

    Args:
        include_top: whether fc6 to fc8 stand at the end.
        weights: `None` for random ones, or the path of a file: torchvision's `.pth` or its copy in
            `.safetensors`, Caffe's `.caffemodel`, `bvlc_alexnet.npy`, or Keras's `.weights.h5` or
            `.keras`; see `load_weights`. The published ones are for `variant="torchvision"`,
            `"caffe"` or `"caffenet"`, and for pixels less `PUBLISHED_MEANS[variant]`.
        input_tensor: optional Keras tensor to build on; its shape must be that of an image.
        input_shape: `(height, width, 3)`, or `(3, height, width)` where Keras is set to
            `channels_first`; at least 64 pixels each way. Default 227 x 227.
        pooling: with `include_top=False`: `None` for the maps of pool5, `"avg"` or `"max"` for
            their mean or maximum over the positions.
        classes: number of classes, with `include_top`.
        classifier_activation: activation of fc8; `None` for logits.
        name: name of the model.
        variant: one of `VARIANTS`.
        width: factor of the number of maps and hidden units, rounded to even numbers.
        activation: of all the hidden layers.
        normalization: `"lrn"`, `"batch"` or `"none"`; `None` for the variant's own.
        overlapping: pools of 3 x 3 with stride 2 if true, else of 2 x 2 with stride 2.
        dropout: share of the hidden units of fc6 and fc7 that is dropped in training.
        columns: 1 or 2; `None` for the variant's own.
        initialization: `"variant"` for the variant's own, made for the full width and a million
            pictures; `"he"` for a start from which narrow networks learn at once: biases of zero
            and standard deviations of `sqrt(2 / fan_in)` (He et al. 2015) in conv2 to conv5, with
            the paper's 0.01 in conv1 and, since pixels are not scaled to unit size, a quarter of
            He's in fc6 and fc7 and half of it in fc8.

    Returns:
        A `keras.Model` with layers named conv1 ... fc8, from float images `(batch, height, width,
        3)` to `(batch, classes)`.

    Raises:
        ValueError: for an unknown variant or option, `classes` below 1, an input below 64 pixels or
            without three channels, and for weights that do not fit.
        ImportError: for weights in `.pth`, if PyTorch is not installed.

    Example:

    >>> from alexnet_keras import AlexNet
    >>> AlexNet().count_params()
    60965224
    """
    v = VARIANTS[check_choice("variant", variant, VARIANTS)]
    normalization = v.normalization if normalization is None else normalization
    columns = v.columns if columns is None else columns
    check_choice("pooling", pooling, (None, "avg", "max"))
    check_choice("normalization", normalization, ("lrn", "batch", "none"))
    check_choice("initialization", initialization, ("variant", "he"))
    columns = check_choice("columns", columns, (1, 2))
    classes = check_integer("classes", classes, minimum=1)
    width = check_number("width", width, above=0)
    dropout = check_number("dropout", dropout, minimum=0, below=1)
    image = image_input(input_tensor, input_shape)

    def scaled(n):  # even, so that two columns can share it
        return n if width == 1 else 2 * max(1, round(n * width / 2))

    def start(layer, fan_in):
        return _initializers(v, initialization, LAYERS.index(layer), fan_in)

    def conv(x, layer, kernel, strides=1, padding="same", grouped=False):
        groups = columns if grouped else 1
        filters = scaled(v.filters[LAYERS.index(layer)])
        fan_in = kernel * kernel * x.shape[channel_axis()] // groups
        return GroupedConv2D(
            filters, kernel, strides, padding, groups=groups, name=layer, **start(layer, fan_in)
        )(x)

    def dense(x, layer):
        units = scaled(4096)
        return keras.layers.Dense(units, name=layer, **start(layer, x.shape[-1]))(x)

    def relu(x, n):
        label = activation if isinstance(activation, str) and activation.isalpha() else "act"
        return keras.layers.Activation(activation, name=f"{label}{n}")(x)

    def norm(x, n):
        if normalization == "lrn":
            groups = 1 if v.lrn_across_columns else columns
            return LocalResponseNormalization(**v.lrn, groups=groups, name=f"norm{n}")(x)
        if normalization == "batch":
            return keras.layers.BatchNormalization(axis=channel_axis(), name=f"norm{n}")(x)
        return x

    def within(x, n):
        return x if normalization != "lrn" else WithinMapNormalization(name=f"within{n}")(x)

    def pool(x, n):
        size = 3 if overlapping else 2
        return keras.layers.MaxPooling2D(size, strides=2, name=f"pool{n}")(x)

    def drop(x, n):
        return keras.layers.Dropout(dropout, name=f"drop{n}")(x)

    steps = {"relu": relu, "norm": norm, "within": within, "pool": pool}

    # Shapes for 227 x 227 input and full width.
    x = _pad_first(image, v)
    x = conv(x, "conv1", 11, strides=4, padding="valid")  # 55 x 55 x 96
    for step in v.block1:
        x = steps[step](x, 1)  # 27 x 27 x 96

    x = conv(x, "conv2", 5, grouped=True)  # 27 x 27 x 256
    for step in v.block2:
        x = steps[step](x, 2)  # 13 x 13 x 256

    x = relu(conv(x, "conv3", 3), 3)  # 13 x 13 x 384, the one convolution across the columns
    x = relu(conv(x, "conv4", 3, grouped=True), 4)  # 13 x 13 x 384
    x = relu(conv(x, "conv5", 3, grouped=True), 5)  # 13 x 13 x 256
    x = pool(x, 5)  # 6 x 6 x 256

    if include_top:
        if v.adaptive_pool:
            x = keras.layers.AdaptiveAveragePooling2D(6, name="avgpool")(_repeat_single(x))
        x = keras.layers.Flatten(name="flatten")(x)  # 9216
        if v.adaptive_pool:
            x = relu(dense(drop(x, 6), "fc6"), 6)
            x = relu(dense(drop(x, 7), "fc7"), 7)
        else:
            x = drop(relu(dense(x, "fc6"), 6), 6)  # 4096
            x = drop(relu(dense(x, "fc7"), 7), 7)  # 4096
        x = keras.layers.Dense(
            classes,
            activation=classifier_activation,
            name="fc8",
            dtype=classifier_dtype(),
            **start("fc8", x.shape[-1]),
        )(x)
    elif pooling == "avg":
        x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
    elif pooling == "max":
        x = keras.layers.GlobalMaxPooling2D(name="max_pool")(x)

    inputs = image if input_tensor is None else keras.utils.get_source_inputs(input_tensor)
    model = keras.Model(inputs, x, name=name)
    if weights is not None:
        from alexnet_keras.weights import load_weights  # which knows files, and no model

        load_weights(model, weights, variant)
    return model


def channel_axis() -> int:
    return -1 if keras.config.image_data_format() == "channels_last" else 1


def classifier_dtype() -> str | None:
    """The type of fc8: a softmax in 16 bits loses the small probabilities."""
    compute = keras.config.dtype_policy().compute_dtype
    return "float32" if compute in ("float16", "bfloat16") else None


def image_input(input_tensor, input_shape):
    """The input tensor, its shape checked."""
    if input_tensor is not None:
        if not keras.utils.is_keras_tensor(input_tensor):
            raise ValueError(f"`input_tensor` must be a Keras tensor. Received: {input_tensor!r}")
        shape = tuple(input_tensor.shape[1:])
        if input_shape is not None and tuple(input_shape) != shape:
            raise ValueError(
                "`input_shape` must be that of `input_tensor`. "
                f"Received: input_shape={tuple(input_shape)} and a tensor of {shape}"
            )
    else:
        default = (227, 227, 3) if channel_axis() == -1 else (3, 227, 227)
        shape = default if input_shape is None else tuple(input_shape)
    expected = "(height, width, 3)" if channel_axis() == -1 else "(3, height, width)"
    whole = len(shape) == 3 and all(isinstance(n, (int, np.integer)) for n in shape)
    if not whole or shape[2 if channel_axis() == -1 else 0] != 3:
        raise ValueError(f"`input_shape` must be {expected}, all defined. Received: {shape}")
    sides = shape[:2] if channel_axis() == -1 else shape[1:]
    if min(sides) < MINIMUM_SIZE:
        raise ValueError(
            f"`input_shape` must be at least {MINIMUM_SIZE} pixels high and wide. Received: {shape}"
        )
    return keras.Input(shape, name="image") if input_tensor is None else input_tensor


def _sides(maps):
    return maps.shape[1:3] if channel_axis() == -1 else maps.shape[2:4]


def _pad_first(image, v):
    """Pads for conv1: until its last window is complete, or by 2 all around (torchvision)."""
    pads = [(2, 2) if v.adaptive_pool else (0, -(side - 11) % 4) for side in _sides(image)]
    if not any(map(any, pads)):
        return image
    return keras.layers.ZeroPadding2D(pads, name="pad1")(image)


def _repeat_single(maps):
    """A side of one position repeated six times, as the averaging to 6 x 6 leaves it.

    In a TensorFlow graph Keras's layer would fail on it: it averages over windows of 1 and of 2.
    """
    size = tuple(6 if side == 1 else 1 for side in _sides(maps))
    return maps if size == (1, 1) else keras.layers.UpSampling2D(size, name="repeat5")(maps)


def _initializers(v, initialization, index, fan_in):
    if initialization == "he":
        factor = {"fc6": 0.25, "fc7": 0.25, "fc8": 0.5}.get(LAYERS[index], 1.0)
        std = 0.01 if LAYERS[index] == "conv1" else factor * math.sqrt(2 / fan_in)
        bias = 0
    elif v.stds is None:  # PyTorch's default for convolutions and dense layers
        bound = 1 / math.sqrt(fan_in)
        uniform = keras.initializers.RandomUniform
        return {
            "kernel_initializer": uniform(-bound, bound),
            "bias_initializer": uniform(-bound, bound),
        }
    else:
        std, bias = v.stds[index], v.biases[index]
    return {
        "kernel_initializer": keras.initializers.RandomNormal(0.0, std),
        "bias_initializer": keras.initializers.Constant(bias),
    }


IMAGENET_MEAN = (123.68, 116.779, 103.939)
"""Mean colour of ImageNet's training set, RGB, 0 to 255 (Caffe's `imagenet_mean`)."""


def preprocess_input(x: Any, mean: Sequence[float] | np.ndarray = IMAGENET_MEAN) -> Any:
    """Subtracts the mean colour, as in section 2 of the paper. Nothing is divided.

    Args:
        x: RGB images, 0 to 255, of shape `(..., 3)`, or `(..., 3, height, width)` where Keras is
            set to `channels_first`; an array or a tensor.
        mean: three numbers, RGB, 0 to 255.

    Returns:
        The same shape, float32.

    Raises:
        ValueError: if `mean` is not three numbers.

    Example:

    >>> import numpy as np
    >>> from alexnet_keras import preprocess_input
    >>> np.asarray(preprocess_input(np.full((1, 1, 1, 3), 128), mean=(100, 128, 200))).tolist()
    [[[[28.0, 0.0, -72.0]]]]
    """
    mean = np.asarray(mean, "float32")
    if mean.shape != (3,):
        raise ValueError(f"`mean` must be three numbers. Received: mean={mean.tolist()}")
    if channel_axis() == 1:
        mean = mean[:, None, None]
    return keras.ops.cast(x, "float32") - mean


def decode_predictions(
    preds: Any, top: int = 5, class_names: Sequence[str] | None = None
) -> list[list[tuple[str | int, str, float]]]:
    """The most probable classes of each picture.

    Args:
        preds: probabilities of shape `(pictures, classes)`.
        top: how many classes to give at most.
        class_names: names in the order of the classes; `None` for ImageNet's 1,000, which
            `keras.applications` downloads once.

    Returns:
        For each picture a list of `(class id, class name, probability)`, most probable first, as
        from `keras.applications`. The id is ImageNet's, such as `"n02124075"`; with `class_names`
        it is the place of the class among them.

    Raises:
        ValueError: if `preds` is not of that shape or does not have as many classes as names.

    Example:

    >>> import numpy as np
    >>> from alexnet_keras import decode_predictions
    >>> decode_predictions(np.array([[0.25, 0.75]]), class_names=["cat", "dog"])
    [[(1, 'dog', 0.75), (0, 'cat', 0.25)]]
    """
    preds = keras.ops.convert_to_numpy(preds)
    if class_names is None:
        decoded = keras.applications.imagenet_utils.decode_predictions(preds, top)
        return [[(i, name, float(p)) for i, name, p in picture] for picture in decoded]
    if preds.ndim != 2 or preds.shape[1] != len(class_names):
        raise ValueError(
            f"`preds` must have shape (pictures, {len(class_names)}), one column for each of "
            f"`class_names`. Received: {preds.shape}"
        )
    order = np.argsort(-preds, axis=1, kind="stable")[:, :top].tolist()
    return [[(i, class_names[i], float(p[i])) for i in best] for p, best in zip(preds, order)]
