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


@pytest.fixture(params=["this machine's", "a GPU's"])
def way(request, monkeypatch):
    """The sums as they are done here, and as they are done on a GPU."""
    if request.param == "a GPU's":
        monkeypatch.setattr(
            "alexnet_keras.layers.response_normalization._product_is_faster", lambda x: False
        )


def value_and_gradient(layer, x, g):
    """Of float32, through `keras.ops` alone, on each backend."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        y, gradient = jax.vjp(layer, jax.numpy.asarray(x))
        return np.asarray(y), np.asarray(gradient(jax.numpy.asarray(g))[0])
    if backend == "torch":
        import torch

        with torch.enable_grad():
            x = torch.tensor(x, requires_grad=True)
            y = layer(x)
            y.backward(torch.tensor(g))
        return y.detach().numpy(), x.grad.numpy()
    with tf.GradientTape() as tape:
        x = tf.constant(x)
        tape.watch(x)
        y = layer(x)
    return y.numpy(), tape.gradient(y, x, output_gradients=tf.constant(g)).numpy()


def reference(x, g, kind, size=5, k=2.0, alpha=1e-4, beta=0.75):
    """Both layers' formula and its gradient in float64, for windows as matrices."""
    x, g = x.astype("float64"), g.astype("float64")

    def reach(n):
        i, j = np.mgrid[:n, :n]
        return (j >= i - size // 2) & (j <= i + (size - 1) // 2)

    if kind is LocalResponseNormalization:
        windows = [np.flatnonzero(row) for row in reach(x.shape[-1])]
        total = np.stack([(x[..., w] ** 2).sum(-1) for w in windows], -1)
        divisor = k + alpha * total
        with np.errstate(all="ignore"):
            y = x / divisor**beta
            inner = g * x * divisor ** (-beta - 1)
        back = [np.flatnonzero(column) for column in reach(x.shape[-1]).T]
        share = np.stack([inner[..., w].sum(-1) for w in back], -1)
    else:
        rows, columns = reach(x.shape[1]), reach(x.shape[2])

        def summed(v, rows, columns):
            out = np.empty_like(v)
            for i, j in np.ndindex(v.shape[1:3]):
                out[:, i, j] = v[:, rows[i]][:, :, columns[j]].sum((1, 2))
            return out

        divisor = k + alpha * summed(x**2, rows, columns)
        with np.errstate(all="ignore"):
            y = x / divisor**beta
            inner = g * x * divisor ** (-beta - 1)
        share = summed(inner, rows.T, columns.T)
    with np.errstate(all="ignore"):
        return y, g * divisor**-beta - 2 * alpha * beta * x * share


def require_close(received, expected, rtol):
    """Where the expected is finite; what float32 cannot hold with all its digits counts as zero."""
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(np.isfinite(received), finite)
    np.testing.assert_allclose(received[finite], expected[finite], rtol=rtol, atol=1e-33)


BOTH = pytest.mark.parametrize("kind", [LocalResponseNormalization, WithinMapNormalization])
ALEXNET = {"k": 2.0, "alpha": 1e-4, "beta": 0.75, "divide_alpha_by_size": False}


@BOTH
@pytest.mark.parametrize("size", [4, 5])
@pytest.mark.parametrize("scale", [1e-10, 1.0, 1e3, 1e16, 1e19, 1e25, 1e30])
def test_value_and_gradient_equal_float64(kind, size, scale, way):
    x = random_maps(2, 5, 6, 9, scale=scale)
    g = np.random.default_rng(1).standard_normal(x.shape).astype("float32")
    y, gradient = value_and_gradient(kind(size, **ALEXNET), x, g)
    expected, expected_gradient = reference(x, g, kind, size)
    require_close(y, expected, 2e-6)
    # Where its two parts cancel, digits are lost.
    tolerance = 1e-5 * np.abs(expected_gradient).mean() + 1e-33
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-5, atol=tolerance)


@BOTH
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("channels", [9, 160])
def test_one_wild_activation_reaches_its_window_alone(kind, bad, channels, way):
    if kind is WithinMapNormalization and channels == 160:
        pytest.skip("its windows do not reach along the channels")
    x = random_maps(2, 7, 7, channels, scale=3.0)
    x[0, 3, 3, 4] = bad
    g = np.ones_like(x)
    y, gradient = value_and_gradient(kind(**ALEXNET), x, g)
    expected, expected_gradient = reference(x, g, kind)
    assert np.isnan(y).sum() == np.isnan(expected).sum() <= 25
    require_close(y, expected, 2e-6)
    finite = np.isfinite(expected_gradient)
    assert not finite.all() or bad == 1e30
    np.testing.assert_allclose(gradient[finite], expected_gradient[finite], rtol=1e-4, atol=1e-6)


@BOTH
def test_large_activations_in_bfloat16(kind, way):
    x = keras.ops.cast(random_maps(2, 5, 6, 9, scale=1e25), "bfloat16")
    y = keras.ops.cast(kind(**ALEXNET, dtype="mixed_bfloat16")(x), "float32")
    x = keras.ops.convert_to_numpy(keras.ops.cast(x, "float32"))
    expected, _ = reference(x, np.ones_like(x), kind)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(y), expected, rtol=2**-8)


@tensorflow_only
@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_wild_activations_in_a_graph(compiled, way):
    layer = LocalResponseNormalization()
    in_graph = tf.function(
        lambda x, g: value_and_gradient_in_graph(layer, x, g), jit_compile=compiled
    )
    for bad in (1.0, np.nan, 1e25):
        x = random_maps(6, 160)
        x[2, 7] = bad
        y, gradient = in_graph(x, np.ones_like(x))
        expected, expected_gradient = value_and_gradient(layer, x, np.ones_like(x))
        np.testing.assert_allclose(y, expected, rtol=2e-6)
        np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-5, atol=1e-7)


def value_and_gradient_in_graph(layer, x, g):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
    return y, tape.gradient(y, x, output_gradients=g)


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
