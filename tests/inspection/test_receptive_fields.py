import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from alexnet_keras import VARIANTS, AlexNet
from alexnet_keras.inspection import (
    receptive_field,
)
from alexnet_keras.layers import LocalResponseNormalization, WithinMapNormalization
from tests.inspection.conftest import small


def linear_twin(model):
    """The same geometry with weights of one, means in place of maxima, and nothing else."""

    def twin(layer):
        name = layer.name
        if isinstance(layer, keras.layers.Conv2D):
            config = {**layer.get_config(), "activation": "linear", "use_bias": False}
            return type(layer).from_config({**config, "kernel_initializer": "ones"})
        if isinstance(layer, keras.layers.MaxPooling2D):
            return keras.layers.AveragePooling2D(
                layer.pool_size, layer.strides, layer.padding, name=name
            )
        if isinstance(layer, WithinMapNormalization):
            return keras.layers.AveragePooling2D(layer.size, 1, "same", name=name)
        if isinstance(
            layer,
            (
                keras.layers.Activation,
                keras.layers.Dropout,
                LocalResponseNormalization,
            ),
        ):
            return keras.layers.Activation("linear", name=name)
        if isinstance(layer, keras.layers.Dense):
            return keras.layers.Dense(
                layer.units, kernel_initializer="ones", use_bias=False, name=name
            )
        return type(layer).from_config(layer.get_config())

    return keras.models.clone_model(model, clone_function=twin)


def pixels_with_a_gradient(model, layer, position):
    """Top, left, bottom, right of the pixels that one unit depends on; `None` if on none."""
    until = keras.Model(model.input, model.get_layer(layer).output)
    x = tf.ones((1, *model.input_shape[1:]))
    with tf.GradientTape() as tape:
        tape.watch(x)
        unit = until(x)[(0, *position, 0)]
    seen = np.abs(tape.gradient(unit, x).numpy()[0]).sum(axis=-1) > 0
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    if not seen.any():
        return None
    assert seen[np.ix_(rows, columns)].all()  # a rectangle without holes
    assert len(rows) == np.ptp(rows) + 1 and len(columns) == np.ptp(columns) + 1
    return [rows[0], columns[0], rows[-1] + 1, columns[-1] + 1]


def check_against_gradients(model, layer):
    field = receptive_field(model, layer)
    height, width = model.input_shape[1:3]
    shape = model.get_layer(layer).output.shape[1:-1]
    for position in {tuple(int(f * (n - 1)) for n in shape) for f in (0, 0.5, 0.9, 1)}:
        pixels, box = field.pixels(*position), np.array(field.box(*position))
        if pixels[2] == 0 or pixels[3] == 0:
            assert pixels_with_a_gradient(model, layer, position) is None
            continue
        assert list(pixels) == pixels_with_a_gradient(model, layer, position)
        # Away from the borders, that is the box.
        if (box[:2] >= 0).all() and (box[2:] < (height - 32, width - 32)).all():
            assert box.tolist() == list(pixels)
        assert (box[:2] <= pixels[:2]).all() and (box[2:] >= pixels[2:]).all()


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(227, 227, 3), (226, 129, 3)])
@pytest.mark.parametrize("variant", VARIANTS)
def test_receptive_fields_are_where_the_gradients_are(variant, shape):
    """226 and 129 leave 3 and 2 pixels to be padded before conv1, and the pools drop some."""
    # The inference of batch normalization is linear, but Keras cannot clone it into something else.
    normalization = "none" if variant == "batchnorm" else None
    network = AlexNet(
        False, variant=variant, width=0.02, input_shape=shape, normalization=normalization
    )
    model = linear_twin(network)
    for layer in model.layers[1:]:
        check_against_gradients(model, layer.name)


def test_receptive_fields_of_the_paper():
    """As everybody works them out for 227, and once by hand here."""
    model = AlexNet(include_top=False, width=0.05)
    size, jump = 1, 1
    for name, kernel, stride in (
        ("conv1", 11, 4),
        ("pool1", 3, 2),
        ("conv2", 5, 1),
        ("pool2", 3, 2),
        ("conv3", 3, 1),
        ("conv4", 3, 1),
        ("conv5", 3, 1),
        ("pool5", 3, 2),
    ):
        size, jump = size + (kernel - 1) * jump, jump * stride
        field = receptive_field(model, name)
        assert field.size == (size, size) and field.stride == (jump, jump)
    published = {"conv1": 11, "pool1": 19, "conv2": 51, "pool2": 67, "conv3": 99, "conv4": 131}
    for name, side in {**published, "conv5": 163, "pool5": 195}.items():
        assert receptive_field(model, name).size == (side, side)
    assert field.stride == (32, 32)


def test_dense_units_see_all_that_pool5_sees():
    model = linear_twin(small())
    for layer in ("flatten", "fc6", "fc8"):
        assert receptive_field(model, layer).stride == (0, 0)
        check_against_gradients(model, layer)


LAYERS = st.tuples(
    st.sampled_from(["conv", "pool", "pad"]),
    st.integers(1, 4),
    st.integers(1, 3),
    st.sampled_from(["same", "valid"]),
)


@settings(deadline=None, max_examples=15)
@given(st.lists(LAYERS, min_size=1, max_size=4), st.integers(30, 34))
def test_receptive_fields_of_any_stack(stack, side):
    x = image = keras.Input((side, side + 1, 2))
    for kind, kernel, stride, padding in stack:
        if kind == "pad":
            x = keras.layers.ZeroPadding2D(((kernel, stride), (0, kernel)))(x)
            continue
        if padding == "valid" and min(x.shape[1:3]) < kernel:
            continue
        stride = min(stride, kernel)  # else pixels between the windows are seen by no unit
        if kind == "conv":
            x = keras.layers.Conv2D(2, kernel, stride, padding, kernel_initializer="ones")(x)
        else:
            x = keras.layers.AveragePooling2D(kernel, stride, padding)(x)
    model = keras.Model(image, x)
    check_against_gradients(model, model.layers[-1].name)


def test_receptive_field_of_branches():
    """As in GoogLeNet's and ResNet's blocks: the widest path counts."""
    image = keras.Input((40, 40, 3))
    options = {"padding": "same", "kernel_initializer": "ones"}
    stem = keras.layers.Conv2D(4, 3, 2, **options)(image)
    paths = [keras.layers.Conv2D(4, size, **options)(stem) for size in (1, 3, 5)]
    x = keras.layers.Concatenate()([*paths, keras.layers.AveragePooling2D(3, 1, "same")(stem)])
    x = keras.layers.Conv2D(4, 3, **options)(x)
    x = keras.layers.Add(name="sum")([x, stem])
    model = keras.Model(image, x)
    assert receptive_field(model, "sum").size == (3 + 2 * 4 + 2 * 2,) * 2
    check_against_gradients(model, "sum")


def test_receptive_field_that_is_not_known():
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, keras.layers.Resizing(4, 4, name="resized")(image))
    with pytest.raises(ValueError, match="Received: layer resized of type Resizing"):
        receptive_field(model, "resized")
    dilated = keras.Model(image, keras.layers.Conv2D(1, 3, dilation_rate=2, name="d")(image))
    with pytest.raises(ValueError, match="without dilation.* Received: layer d of type Conv2D"):
        receptive_field(dilated, "d")
    with pytest.raises(ValueError, match="No such layer: conv9"):
        receptive_field(model, "conv9")
