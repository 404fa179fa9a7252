"""What the networks that came after AlexNet share."""

import keras

from alexnet_keras.alexnet import channel_axis, classifier_dtype, image_input
from alexnet_keras.common import check_choice, check_integer, check_number


def check_options(pooling, classes, width):
    """Checks what all of them take; returns `classes` and `width` as plain numbers."""
    check_choice("pooling", pooling, (None, "avg", "max"))
    return check_integer("classes", classes, minimum=1), check_number("width", width, above=0)


def network_input(input_tensor, input_shape):
    if input_tensor is None and input_shape is None:
        input_shape = (224, 224, 3) if channel_axis() == -1 else (3, 224, 224)
    return image_input(input_tensor, input_shape)


def scaled(n, width):
    return max(1, round(n * width))


def sides(x):
    return x.shape[1:3] if channel_axis() == -1 else x.shape[2:4]


def convolution(x, maps, kernel, name, strides=1, **arguments):
    """A convolution padded by half its kernel, on both sides alike."""
    padding = "same"
    if strides > 1 and kernel > 1:
        x = keras.layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
        padding = "valid"
    return keras.layers.Conv2D(maps, kernel, strides, padding, name=name, **arguments)(x)


def pooled(x, pooling):
    if pooling == "avg":
        return keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
    if pooling == "max":
        return keras.layers.GlobalMaxPooling2D(name="max_pool")(x)
    return x


def classifier(x, classes, activation, name, start):
    return keras.layers.Dense(
        classes,
        activation=activation,
        kernel_initializer=start,
        dtype=classifier_dtype(),
        name=name,
    )(x)


def finished_model(input_tensor, image, outputs, name, weights):
    inputs = image if input_tensor is None else keras.utils.get_source_inputs(input_tensor)
    model = keras.Model(inputs, outputs, name=name)
    if weights is not None:
        from alexnet_keras.weights import load_weights

        load_weights(model, weights, name)
    return model
