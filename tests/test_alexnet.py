import math
import subprocess
import sys

import keras
import numpy as np
import pytest

from alexnet_keras import VARIANTS, AlexNet, decode_predictions, layer_costs, preprocess_input
from alexnet_keras.variants import LAYERS

pytestmark = [pytest.mark.portable, pytest.mark.usefixtures("no_gradients")]

MAPS = {"conv1": 55, "pool1": 27, "conv2": 27, "pool2": 13, "conv3": 13, "conv4": 13, "conv5": 13}
# Parameters, and multiply-adds in millions to three figures, as published (see the variants'
# sources); batch normalization adds four numbers for each of 96 + 256 maps.
PUBLISHED = {
    "paper": (60_965_224, 724),
    "2012": (60_965_224, 724),
    "caffe": (60_965_224, 724),
    "caffenet": (60_965_224, 724),
    "single": (62_378_344, 1135),
    "torchvision": (61_100_840, 714),
    "batchnorm": (62_378_344 + 4 * (96 + 256), 1135),
}


def small(**arguments):
    return AlexNet(**{"input_shape": (67, 67, 3), "classes": 4, "width": 0.05, **arguments})


def layer_names(model):
    return [layer.name for layer in model.layers]


@pytest.mark.parametrize("side", [224, 227])
@pytest.mark.parametrize("variant", VARIANTS)
def test_published_figures(variant, side):
    model = AlexNet(variant=variant, input_shape=(side, side, 3))
    parameters, millions = PUBLISHED[variant]
    assert model.count_params() == parameters
    if not (variant == "torchvision" and side == 227):  # made for 224
        for name, width in {**MAPS, "pool5": 6}.items():
            assert model.get_layer(name).output.shape[1:3] == (width, width)
        assert round(sum(c.multiply_adds for c in layer_costs(model)) / 1e6) == millions
    assert [name for name in layer_names(model) if name in LAYERS] == list(LAYERS)
    assert model.output_shape == (None, 1000)


def test_every_variant_is_published():
    assert PUBLISHED.keys() == VARIANTS.keys()


ORDERS = {
    "paper": ["conv1", "relu1", "norm1", "pool1", "conv2", "relu2", "norm2", "pool2"],
    "2012": ["conv1", "norm1", "pool1", "relu1", "conv2", "relu2", "norm2", "within2", "pool2"],
    "caffe": ["conv1", "relu1", "norm1", "pool1", "conv2", "relu2", "norm2", "pool2"],
    "caffenet": ["conv1", "relu1", "pool1", "norm1", "conv2", "relu2", "pool2", "norm2"],
    "single": ["conv1", "relu1", "norm1", "pool1", "conv2", "relu2", "norm2", "pool2"],
    "torchvision": ["pad1", "conv1", "relu1", "pool1", "conv2", "relu2", "pool2"],
    "batchnorm": ["conv1", "relu1", "norm1", "pool1", "conv2", "relu2", "norm2", "pool2"],
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_order_of_layers(variant):
    names = layer_names(small(variant=variant))
    assert names[1 : 1 + len(ORDERS[variant])] == ORDERS[variant]


@pytest.mark.parametrize("sides", [(64, 64), (64, 160), (131, 66)])
def test_torchvision_of_small_pictures(sides):
    """In a graph, where Keras's pooling fails on a side of one position by itself."""
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).normal(0, 50, (2, *sides, 3)).astype("float32")
    model = small(variant="torchvision", input_shape=(*sides, 3))
    maps = keras.Model(model.input, [model.get_layer(n).output for n in ("pool5", "avgpool")])
    pool5, averages = maps.predict(x, verbose=0)
    expected = torch.nn.AdaptiveAvgPool2d(6)(torch.from_numpy(np.moveaxis(pool5, -1, 1)))
    np.testing.assert_allclose(np.moveaxis(averages, -1, 1), expected, rtol=1e-6, atol=1e-6)


def test_normalization_of_each_variant():
    def described(variant):
        norm = small(variant=variant).get_layer("norm1")
        return norm.k, norm.alpha, norm.divide_alpha_by_size, norm.groups, norm.size, norm.beta

    assert described("paper") == (2.0, 1e-4, False, 2, 5, 0.75)
    assert described("2012") == (2.0, 1e-4, True, 2, 5, 0.75)
    assert described("caffe") == described("caffenet") == (1.0, 1e-4, True, 1, 5, 0.75)
    assert described("single") == (2.0, 1e-4, False, 1, 5, 0.75)
    assert isinstance(
        small(variant="batchnorm").get_layer("norm2"), keras.layers.BatchNormalization
    )


@pytest.mark.parametrize("variant", VARIANTS)
def test_initial_weights(variant):
    keras.utils.set_random_seed(0)
    model = AlexNet(variant=variant, width=0.5, classes=100)
    v = VARIANTS[variant]
    for index, name in enumerate(LAYERS):
        kernel, bias = model.get_layer(name).get_weights()
        if v.stds is None:  # torch.nn.Linear and Conv2d: uniform up to 1 / sqrt(fan_in)
            bound = 1 / math.sqrt(np.prod(kernel.shape[:-1]))
            assert 0.95 * bound < np.abs(kernel).max() <= bound
            assert 0.7 * bound < np.abs(bias).max() <= bound
        else:
            assert kernel.std() == pytest.approx(v.stds[index], rel=0.03)
            assert set(bias) == {np.float32(v.biases[index])}


def test_initial_weights_are_the_papers():
    assert VARIANTS["paper"].stds == (0.01,) * 8
    assert VARIANTS["paper"].biases == (0, 1, 0, 1, 1, 1, 1, 0)
    assert VARIANTS["2012"].stds == (0.01, 0.01, 0.03, 0.03, 0.03, 0.01, 0.01, 0.01)
    assert VARIANTS["2012"].biases == (0, 1, 0, 1, 1, 1, 1, 0)
    assert VARIANTS["caffe"].biases == (0, 0.1, 0, 0.1, 0.1, 0.1, 0.1, 0)
    assert VARIANTS["caffe"].stds == (0.01,) * 5 + (0.005, 0.005, 0.01)


def test_224_is_227_with_three_pixels_of_zeros():
    x = np.random.default_rng(0).normal(0, 50, (1, 224, 224, 3)).astype("float32")
    padded = np.pad(x, [(0, 0), (0, 3), (0, 3), (0, 0)])
    small_input = AlexNet(variant="2012", width=0.1, classes=5, input_shape=(224, 224, 3))
    large_input = AlexNet(variant="2012", width=0.1, classes=5, input_shape=(227, 227, 3))
    large_input.set_weights(small_input.get_weights())
    np.testing.assert_allclose(small_input(x), large_input(padded), rtol=1e-5)


def test_columns_do_not_see_each_other_before_conv3():
    model = small(input_shape=(99, 99, 3))
    until_pool2 = keras.Model(model.input, model.get_layer("pool2").output)
    x = np.random.default_rng(0).normal(0, 50, (1, 99, 99, 3)).astype("float32")
    before = np.asarray(until_pool2(x))
    kernel, bias = model.get_layer("conv1").get_weights()
    half = kernel.shape[-1] // 2
    kernel[..., :half] *= 2  # column a alone
    model.get_layer("conv1").set_weights([kernel, bias])
    after = np.asarray(until_pool2(x))
    half = before.shape[-1] // 2
    assert not np.allclose(before[..., :half], after[..., :half])
    np.testing.assert_array_equal(before[..., half:], after[..., half:])


def test_caffe_normalization_crosses_the_columns():
    model = small(variant="caffe", width=0.1)
    norm = model.get_layer("norm1")
    channels = norm.output.shape[-1]
    x = np.zeros((1, 1, 1, channels), "float32")
    x[..., channels // 2] = 1e3
    y = x.copy()
    y[..., channels // 2 - 1] = 1e3
    assert norm(x)[0, 0, 0, channels // 2] > norm(y)[0, 0, 0, channels // 2]


def test_switches():
    assert "norm1" not in layer_names(small(normalization="none"))
    assert "within2" not in layer_names(small(variant="2012", normalization="none"))
    assert "tanh1" in layer_names(small(activation="tanh"))
    assert small(overlapping=False).get_layer("pool1").pool_size == (2, 2)
    assert small(dropout=0.3).get_layer("drop6").rate == 0.3
    assert small(columns=1).get_layer("conv2").groups == 1
    assert small(columns=1).get_layer("norm1").groups == 1
    one, both = small(columns=1), small(variant="single")
    assert one.count_params() == both.count_params()
    assert small(classifier_activation=None).get_layer("fc8").activation is keras.activations.linear
    assert AlexNet(width=0.5).get_layer("conv2").filters == 128


def test_he_initialization_has_no_biases_and_he_spread():
    keras.utils.set_random_seed(0)
    model = AlexNet(width=0.5, classes=100, initialization="he")
    for name, factor in {"conv3": 1, "conv5": 1, "fc6": 0.25, "fc7": 0.25, "fc8": 0.5}.items():
        kernel, bias = model.get_layer(name).get_weights()
        he = math.sqrt(2 / np.prod(kernel.shape[:-1]))
        assert kernel.std() == pytest.approx(factor * he, rel=0.03)
        assert not bias.any()


def test_without_top():
    maps = small(include_top=False)
    assert maps.output_shape == (None, 1, 1, 12)
    assert "fc6" not in layer_names(maps)
    x = np.random.default_rng(0).normal(0, 50, (2, 131, 131, 3)).astype("float32")
    networks = [
        small(include_top=False, pooling=p, input_shape=x.shape[1:]) for p in (None, "avg", "max")
    ]
    for network in networks[1:]:
        network.set_weights(networks[0].get_weights())
    maps, mean, maximum = (np.asarray(network(x)) for network in networks)
    np.testing.assert_allclose(mean, maps.mean(axis=(1, 2)), rtol=1e-5)
    np.testing.assert_allclose(maximum, maps.max(axis=(1, 2)), rtol=1e-5)


def test_input_tensor():
    source = keras.Input((67, 67, 3))
    model = small(input_tensor=keras.layers.Rescaling(2.0)(source), input_shape=None)
    twin = small()
    twin.set_weights(model.get_weights())
    x = np.random.default_rng(0).normal(0, 50, (1, 67, 67, 3)).astype("float32")
    np.testing.assert_allclose(model(x), twin(2 * x), rtol=1e-5)


@pytest.mark.parametrize("side", [64, 65, 100, 142])
@pytest.mark.parametrize("variant", VARIANTS)
def test_smaller_inputs(variant, side):
    model = small(variant=variant, input_shape=(side, side + 3, 3))
    y = np.asarray(model(np.zeros((2, side, side + 3, 3), "float32")))
    np.testing.assert_allclose(y.sum(axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"variant": "vgg"}, r"`variant` must be one of \('paper', .*\). Received: variant='vgg'"),
        ({"classes": 0}, "`classes` must be an integer of at least 1. Received: classes=0"),
        ({"classes": 2.0}, "`classes` must be an integer of at least 1. Received: classes=2.0"),
        ({"input_shape": (63, 227, 3)}, r"at least 64 pixels .*Received: \(63, 227, 3\)"),
        ({"input_shape": (227, 227, 1)}, r"\(height, width, 3\).*Received: \(227, 227, 1\)"),
        ({"input_shape": (227, 227)}, r"\(height, width, 3\).*Received: \(227, 227\)"),
        ({"input_shape": (None, None, 3)}, r"all defined. Received: \(None, None, 3\)"),
        ({"width": 0}, "`width` must be a finite number greater than 0. Received: width=0"),
        ({"dropout": 1}, "`dropout` must be .* at least 0 and less than 1. Received: dropout=1"),
        ({"columns": 3}, r"`columns` must be one of \(1, 2\). Received: columns=3"),
        ({"normalization": "layer"}, "`normalization` must be one of .* normalization='layer'"),
        ({"initialization": "lecun"}, "`initialization` must be one of .* initialization='lecun'"),
        ({"pooling": "sum", "include_top": False}, "`pooling` must be one of .* pooling='sum'"),
        ({"weights": "imagenet"}, "must be the path of a file that exists. Received: imagenet"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        AlexNet(**arguments)


def test_numpy_numbers(tmp_path):
    model = small(classes=np.int64(4), width=np.float32(0.05), columns=np.int8(1))
    model.save(tmp_path / "m.keras")
    assert keras.saving.load_model(tmp_path / "m.keras").output_shape == (None, 4)


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_weights_from_a_file(suffix, tmp_path):
    source = small()
    path = tmp_path / f"m{suffix}"
    (source.save if suffix == ".keras" else source.save_weights)(path)
    for ours, theirs in zip(small(weights=path).get_weights(), source.get_weights()):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(ValueError, match="do not fit") as error:
        small(weights=path, classes=5)
    if suffix == ".keras":
        fc8 = r"layer fc8: expected shapes \[\(204, 5\), \(5,\)\]. Received: \[\(204, 4\), \(4,\)\]"
        assert error.match(fc8)
    base = small(include_top=False, weights=path) if suffix == ".keras" else None
    if base is not None:
        np.testing.assert_array_equal(
            base.get_layer("conv5").get_weights()[0], source.get_layer("conv5").get_weights()[0]
        )


@pytest.mark.slow
def test_saved_models_give_the_same_in_a_new_process(tmp_path):
    """Networks that have every layer of ours, without `custom_objects`."""
    x = np.random.default_rng(0).normal(0, 50, (2, 80, 80, 3)).astype("float32")
    np.save(tmp_path / "x.npy", x)
    models = {v: small(variant=v, input_shape=(80, 80, 3)) for v in ("2012", "torchvision")}
    for variant, model in models.items():
        model.save(tmp_path / f"{variant}.keras")
    script = (
        "import sys, alexnet_keras, keras, numpy as np; x, *models = sys.argv[1:]\n"
        "for m in models: y = keras.models.load_model(m)(np.load(x)); "
        "np.save(m + '.npy', keras.ops.convert_to_numpy(y))"
    )
    paths = [tmp_path / "x.npy", *(tmp_path / f"{variant}.keras" for variant in models)]
    subprocess.run([sys.executable, "-c", script, *paths], check=True, capture_output=True)
    for variant, model in models.items():
        np.testing.assert_array_equal(np.load(tmp_path / f"{variant}.keras.npy"), model(x))


def test_mixed_precision_keeps_the_last_layer_in_float32():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = small()
    finally:
        keras.config.set_dtype_policy(before)
    assert model.get_layer("conv2").compute_dtype == "bfloat16"
    assert keras.backend.standardize_dtype(model.output.dtype) == "float32"


def test_preprocess_input_subtracts_the_mean():
    x = np.full((1, 2, 2, 3), 200, "uint8")
    expected = np.broadcast_to(200 - np.array([123.68, 116.779, 103.939]), x.shape)
    np.testing.assert_allclose(preprocess_input(x), expected, rtol=1e-6)
    with pytest.raises(ValueError, match=r"three numbers. Received: mean=\[1.0, 2.0\]"):
        preprocess_input(x, mean=(1, 2))


def test_decode_predictions():
    preds = np.array([[0.1, 0.7, 0.2], [0.5, 0.25, 0.25]])
    assert decode_predictions(preds, top=2, class_names="abc") == [
        [(1, "b", 0.7), (2, "c", 0.2)],
        [(0, "a", 0.5), (1, "b", 0.25)],
    ]
    with pytest.raises(ValueError, match=r"\(pictures, 2\).*Received: \(2, 3\)"):
        decode_predictions(preds, class_names="ab")


def test_decode_predictions_of_imagenet_is_that_of_keras(monkeypatch):
    index = {str(i): [f"n{i:08}", f"class_{i}"] for i in range(1000)}  # else it is downloaded
    monkeypatch.setattr("keras.src.applications.imagenet_utils.CLASS_INDEX", index)
    preds = np.random.default_rng(0).dirichlet(np.ones(1000), 2).astype("float32")
    expected = keras.applications.imagenet_utils.decode_predictions(preds, top=3)
    assert decode_predictions(preds, top=3) == expected
    assert expected[0][0][0].startswith("n0000")
