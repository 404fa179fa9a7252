import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from alexnet_keras.layers import (
    GroupedConv2D,
    LocalResponseNormalization,
    WithinMapNormalization,
)

tensorflow_only = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="in float64, by TensorFlow's gradients"
)
pytestmark = [pytest.mark.portable, pytest.mark.usefixtures("no_gradients")]


def lrn_loops(x, size, k, alpha, beta, groups=1):
    """The formula, in float64, a channel at a time; channels last."""
    x = np.asarray(x, "float64")
    y = np.empty_like(x)
    per_group = x.shape[-1] // groups
    for i in range(x.shape[-1]):
        start = i // per_group * per_group
        total = 0.0
        for j in range(i - size // 2, i + (size - 1) // 2 + 1):
            if start <= j < start + per_group:
                total = total + x[..., j] ** 2
        y[..., i] = x[..., i] / (k + alpha * total) ** beta
    return y


def random_maps(*shape, scale=30.0, dtype="float32"):
    return (scale * np.random.default_rng(0).standard_normal(shape)).astype(dtype)


@pytest.mark.parametrize("radius", [0, 1, 2, 7])
@pytest.mark.parametrize("channels", [1, 3, 96, 160])
def test_lrn_equals_tensorflow(radius, channels):
    x = random_maps(2, 3, 4, channels)
    ours = LocalResponseNormalization(2 * radius + 1, 2.0, 1e-4, 0.75)(x)
    theirs = tf.nn.local_response_normalization(x, radius, 2.0, 1e-4, 0.75)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


@pytest.mark.parametrize("size", [1, 2, 4, 5, 9])
@pytest.mark.parametrize("channels", [3, 10])
def test_lrn_equals_torch(size, channels):
    torch = pytest.importorskip("torch")
    x = random_maps(2, channels, 4, 3)
    ours = LocalResponseNormalization(
        size, 1.0, 1e-2, 0.75, divide_alpha_by_size=True, data_format="channels_first"
    )(x)
    theirs = torch.nn.LocalResponseNorm(size, 1e-2, 0.75, 1.0)(torch.from_numpy(x))
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-5)


@settings(deadline=None, max_examples=50)
@given(
    x=hnp.arrays("float64", (2, 6), elements=st.floats(-1e3, 1e3, allow_subnormal=False)),
    size=st.integers(1, 9),
    k=st.floats(0.1, 10),
    alpha=st.floats(0, 1),
    beta=st.sampled_from([0.0, 0.5, 0.75, 1.0, 1.3]),
    divide=st.booleans(),
    groups=st.sampled_from([1, 2, 3]),
)
def test_lrn_equals_loops(x, size, k, alpha, beta, divide, groups):
    layer = LocalResponseNormalization(size, k, alpha, beta, divide, groups=groups, dtype="float64")
    expected = lrn_loops(x, size, k, alpha / size if divide else alpha, beta, groups)
    # JAX and PyTorch take the numbers in float32.
    rtol, atol = (1e-12, 1e-300) if keras.backend.backend() == "tensorflow" else (1e-5, 1e-30)
    np.testing.assert_allclose(layer(x), expected, rtol=rtol, atol=atol)


def test_lrn_of_zeros_is_zero():
    assert not np.asarray(LocalResponseNormalization()(np.zeros((1, 2, 2, 3), "float32"))).any()


@tensorflow_only
@pytest.mark.parametrize("layer", [LocalResponseNormalization, WithinMapNormalization])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_gradient_equals_numerical(layer, data_format):
    layer = layer(size=3, k=1.0, alpha=0.3, beta=0.75, data_format=data_format, dtype="float64")
    x = random_maps(1, 3, 4, 5, scale=1.0, dtype="float64")
    theoretical, numerical = tf.test.compute_gradient(layer, [tf.constant(x)], delta=1e-5)
    np.testing.assert_allclose(theoretical[0], numerical[0], atol=1e-7)


@tensorflow_only
@pytest.mark.slow
@pytest.mark.parametrize("size", [4, 5])
@pytest.mark.parametrize("channels", [130, 160])  # the second is summed in blocks
def test_wide_lrn_equals_loops_and_its_gradient_is_numerical(channels, size):
    layer = LocalResponseNormalization(size, 1.0, 0.3, 0.75, dtype="float64")
    x = random_maps(2, channels, scale=1.0, dtype="float64")
    np.testing.assert_allclose(layer(x), lrn_loops(x, size, 1.0, 0.3, 0.75), rtol=1e-12)
    theoretical, numerical = tf.test.compute_gradient(layer, [tf.constant(x[:1])], delta=1e-5)
    np.testing.assert_allclose(theoretical[0], numerical[0], atol=1e-7)


@pytest.mark.parametrize("layer", [LocalResponseNormalization, WithinMapNormalization])
@pytest.mark.parametrize("policy, precision", [("mixed_float16", 1e-3), ("mixed_bfloat16", 8e-3)])
def test_half_precision_does_not_overflow(layer, policy, precision):
    x = np.full((1, 4, 4, 8), 1e3, "float32")
    x[..., ::2] = 700
    half = layer(dtype=policy)(x)
    assert keras.backend.standardize_dtype(half.dtype) == policy.removeprefix("mixed_")
    half = keras.ops.cast(half, "float32")
    np.testing.assert_allclose(half, layer()(x), rtol=precision)


@pytest.mark.parametrize("even", [2, 4])
def test_even_window_reaches_one_further_down(even):
    x = np.zeros((1, 8))
    x[0, 4] = 1.0
    y = LocalResponseNormalization(even, 1.0, 1.0, 1.0, dtype="float64")(x + 1e-9)
    touched = np.flatnonzero(np.asarray(y)[0] < 0.9e-9)
    # Channel 4 lies in the windows of 4 - (n - 1) // 2 to 4 + n // 2; its own value is larger.
    assert set(touched) | {4} == set(range(4 - (even - 1) // 2, 4 + even // 2 + 1))


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("size", [3, 4, 5])
def test_within_map_equals_loops(size, data_format):
    x = random_maps(2, 6, 7, 3, dtype="float64")
    total = np.zeros_like(x)
    for row in range(6):
        for column in range(7):
            top, left = max(0, row - size // 2), max(0, column - size // 2)
            window = x[:, top : row + (size - 1) // 2 + 1, left : column + (size - 1) // 2 + 1]
            total[:, row, column] = (window**2).sum(axis=(1, 2))
    expected = x / (1 + 0.001 / size**2 * total) ** 0.75
    layer = WithinMapNormalization(size, dtype="float64", data_format=data_format)
    if data_format == "channels_first":
        ours = np.moveaxis(np.asarray(layer(np.moveaxis(x, -1, 1))), 1, -1)
    else:
        ours = layer(x)
    in_float32 = keras.backend.backend() == "jax"  # which has no float64 unless it is told to
    np.testing.assert_allclose(ours, expected, rtol=1e-6 if in_float32 else 1e-10)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"size": 0}, "`size` must be an integer of at least 1. Received: size=0"),
        ({"size": 2.5}, "`size` must be an integer of at least 1. Received: size=2.5"),
        ({"k": 0}, "`k` must be a finite number greater than 0. Received: k=0"),
        ({"k": -1.0}, "`k` must be a finite number greater than 0. Received: k=-1.0"),
        (
            {"alpha": float("nan")},
            "`alpha` must be .* at least 0. Received: alpha=nan",
        ),
        ({"beta": -0.5}, "`beta` must be a finite number of at least 0. Received: beta=-0.5"),
        ({"groups": 0}, "`groups` must be an integer of at least 1. Received: groups=0"),
        ({"data_format": "NHWC"}, "Received: data_format='NHWC'"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=f".*{message}".replace("(", r"\(")):
        LocalResponseNormalization(**arguments)


def test_undefined_channel_axis():
    with pytest.raises(ValueError, match=r"channel axis .* must be defined.*\(None, 4, 4, None\)"):
        LocalResponseNormalization()(keras.Input((4, 4, None)))


def test_groups_must_divide_channels():
    with pytest.raises(ValueError, match="groups=2 and 7 channels"):
        LocalResponseNormalization(groups=2)(np.zeros((1, 1, 1, 7)))


def test_grouped_convolution_equals_keras():
    x = random_maps(2, 9, 9, 6, scale=1.0)
    arguments = {"strides": 2, "padding": "same", "groups": 2, "activation": "tanh"}
    ours, theirs = GroupedConv2D(8, 3, **arguments), keras.layers.Conv2D(8, 3, **arguments)
    expected = theirs(x)
    ours.build(x.shape)
    ours.set_weights([theirs.get_weights()[0], random_maps(8, scale=1.0)])
    theirs.set_weights(ours.get_weights())
    expected = theirs(x)
    np.testing.assert_allclose(ours(x), expected, atol=1e-5)
    assert ours.compute_output_shape(x.shape) == tuple(expected.shape)


@pytest.mark.parametrize("height, width", [(6, 6), (3, 5), (13, 9), (1, 1)])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_adaptive_pooling_equals_torch(height, width, data_format):
    """Keras's layer, which the variant "torchvision" uses."""
    torch = pytest.importorskip("torch")
    x = random_maps(2, 4, height, width, scale=1.0)
    theirs = torch.nn.AdaptiveAvgPool2d(6)(torch.from_numpy(x)).numpy()
    if data_format == "channels_last":
        x, theirs = np.moveaxis(x, 1, -1), np.moveaxis(theirs, 1, -1)
    layer = keras.layers.AdaptiveAveragePooling2D(6, data_format=data_format)
    np.testing.assert_allclose(layer(x), theirs, atol=1e-6)


@pytest.mark.parametrize(
    "layer",
    [
        LocalResponseNormalization(4, 1.5, 0.1, 0.5, True, groups=2, name="n"),
        WithinMapNormalization(3, 2.0, 0.2, 1.0, False, name="w"),
        GroupedConv2D(4, 3, groups=2, name="c"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_serialize(layer):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(again) is type(layer)
    assert again.get_config() == layer.get_config()
