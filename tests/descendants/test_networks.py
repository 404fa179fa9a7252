import functools
import math

import keras
import numpy as np
import pytest

from alexnet_keras import (
    VGG,
    GoogLeNet,
    ResNet,
    TrainingConfig,
    layer_costs,
)
from alexnet_keras.configuration import DESCENDANTS
from alexnet_keras.descendants import (
    RESNETS,
)
from alexnet_keras.training import build_model
from tests.descendants.conftest import (
    BUILDERS,
    pictures,
    randomize,
    resnet,
    small,
    trainable,
    without_initial_values,
)

pytestmark = pytest.mark.slow

# Trainable parameters, and multiply-adds in billions, as published: by the papers, and for
# VGG-11, 13 and 19 by torchvision. ResNet-200's parameters are from `resnet200_parameters` below.
PUBLISHED = {
    "vgg11": (132_863_336, 7.61),
    "vgg13": (133_047_848, 11.31),
    "vgg16": (138_357_544, 15.5),
    "vgg19": (143_667_240, 19.63),
    "resnet18": (11_689_512, 1.8),
    "resnet34": (21_797_672, 3.6),
    "resnet50": (25_557_032, 3.8),
    "resnet101": (44_549_160, 7.6),
    "resnet152": (60_192_808, 11.3),
    "resnet200": (64_666_152, 15),
    "googlenet": (6_998_552, 1.583),  # see test_multiply_adds_of_the_googlenet_paper
}


SHALLOW = ["vgg11", "googlenet", "resnet18"]


def resnet200_parameters():
    """Counted from table 1 of the first paper and figure 4 of the second, without the package."""
    total, maps = 7 * 7 * 3 * 64 + 2 * 64, 64
    for stage, blocks in enumerate((3, 24, 36, 3)):
        inner = 64 * 2**stage
        for block in range(blocks):
            normalized = (0 if stage == block == 0 else maps) + inner + inner
            total += maps * inner + 9 * inner * inner + inner * 4 * inner + 2 * normalized
            total += maps * 4 * inner if block == 0 else 0
            maps = 4 * inner
    return total + 2 * maps + 1000 * maps + 1000


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_figures(name):
    resnets = {f"resnet{depth}": functools.partial(resnet, depth) for depth in RESNETS}
    model = resnets[name]() if name in resnets else without_initial_values(BUILDERS[name])
    parameters, billions = PUBLISHED[name]
    assert trainable(model) == parameters
    multiply_adds = sum(cost.multiply_adds for cost in layer_costs(model))
    assert multiply_adds == pytest.approx(1e9 * billions, rel=0.02)
    assert model.input_shape == (None, 224, 224, 3)
    assert model.output_shape == (None, 1000)
    assert model.name == name
    names = [layer.name for layer in model.layers]
    assert len(set(names)) == len(names)


def test_every_network_is_published():
    assert PUBLISHED.keys() == BUILDERS.keys()
    assert PUBLISHED["resnet200"][0] == resnet200_parameters()


@pytest.mark.parametrize("variant", DESCENDANTS)
def test_networks_by_name(variant):
    config = TrainingConfig(variant=variant, image_size=64, width=0.05, batch_size=4)
    model = without_initial_values(lambda: build_model(config, 3))
    assert model.name == variant
    assert model.input_shape == (None, 64, 64, 3) and model.output_shape == (None, 3)


@pytest.mark.parametrize(
    "changes",
    [{"dropout": 0.1}, {"normalization": "lrn"}, {"columns": 1}, {"initialization": "variant"}]
    + [{"activation": "tanh"}, {"overlapping": False}, {"from_weights": "x.keras"}],
)
def test_descendants_have_no_switches_of_alexnet(changes):
    (name,) = changes
    with pytest.raises(ValueError, match=f"`{name}` must be .* came after AlexNet. Received: "):
        TrainingConfig(variant="resnet18", **changes)


def test_initial_weights():
    keras.utils.set_random_seed(0)
    vgg = VGG(11, input_shape=(64, 64, 3), width=0.5, classes=100)
    for name, factor in {
        "block1_conv1": None,
        "block3_conv1": 1,
        "fc2": 0.25,
        "predictions": 0.5,
    }.items():
        kernel, bias = vgg.get_layer(name).get_weights()
        std = factor and factor * math.sqrt(2 / np.prod(kernel.shape[:-1]))
        assert kernel.std() == pytest.approx(std or 0.01, rel=0.1 if std is None else 0.03)
        assert not bias.any()
    googlenet = GoogLeNet(input_shape=(64, 64, 3), auxiliary=True)
    for name in ("conv2", "inception_4a_3x3", "aux1_fc", "predictions", "aux2"):
        kernel, bias = googlenet.get_layer(name).get_weights()
        bound = math.sqrt(3 / np.prod(kernel.shape[:-1]))
        assert 0.98 * bound < np.abs(kernel).max() <= bound
        assert set(bias) == {np.float32(0 if name in ("predictions", "aux2") else 0.2)}
    for layer in ResNet(18, input_shape=(64, 64, 3)).layers:
        if hasattr(layer, "kernel"):
            kernel = layer.get_weights()[0]
            he = math.sqrt(2 / np.prod(kernel.shape[:-1]))
            assert kernel.std() == pytest.approx(he, rel=0.05)


@pytest.mark.parametrize("name", ["vgg11", "googlenet", "resnet18", "resnet50"])
def test_one_step_of_training_at_64_pixels(name):
    keras.utils.set_random_seed(0)
    arguments = {"auxiliary": True} if name == "googlenet" else {}
    model = small(name, width=0.25, **arguments)
    x, labels = pictures(8, 64, 64, 3), np.arange(8) % 5
    outputs = len(model.outputs)
    model.compile(
        keras.optimizers.SGD(0.01),
        loss=["sparse_categorical_crossentropy"] * outputs,
        loss_weights=[1.0, 0.3, 0.3][:outputs],
        run_eagerly=True,
    )
    before = [weight.numpy() for weight in model.trainable_weights]
    loss = np.ravel(model.train_on_batch(x, [labels] * outputs))[0]
    assert math.isfinite(loss)
    for weight, old in zip(model.trainable_weights, before):
        assert np.isfinite(weight.numpy()).all() and (weight.numpy() != old).any(), weight.path
    probabilities = model(x)[0] if outputs > 1 else model(x)
    np.testing.assert_allclose(np.sum(probabilities, axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("side", [65, 100])
@pytest.mark.parametrize("name", SHALLOW)
def test_other_sizes(name, side):
    arguments = {"auxiliary": True} if name == "googlenet" else {}
    model = small(name, input_shape=(side, side + 3, 3), width=0.05, **arguments)
    for y in np.reshape(model(pictures(2, side, side + 3, 3)), (-1, 2, 5)):
        np.testing.assert_allclose(y.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("name", SHALLOW)
def test_the_narrowest_network(name):
    model = small(name, width=1e-9)
    assert {x.filters for x in model.layers if hasattr(x, "filters")} <= {1, 4}
    assert np.isfinite(model(pictures(1, 64, 64, 3))).all()


@pytest.mark.parametrize("name", SHALLOW)
def test_without_top(name):
    networks = [small(name, include_top=False, pooling=p) for p in (None, "avg", "max")]
    for network in networks[1:]:
        network.set_weights(networks[0].get_weights())
    x = pictures(2, 64, 64, 3)
    maps, mean, maximum = (np.asarray(network(x)) for network in networks)
    assert maps.shape[:3] == (2, 2, 2)
    np.testing.assert_allclose(mean, maps.mean(axis=(1, 2)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(maximum, maps.max(axis=(1, 2)), rtol=1e-4)


@pytest.mark.parametrize("name", SHALLOW)
def test_input_tensor_and_logits(name):
    source = keras.Input((64, 64, 3))
    model = small(
        name,
        input_tensor=keras.layers.Rescaling(2.0)(source),
        input_shape=None,
        classifier_activation=None,
    )
    twin = small(name, name="twin")
    twin.set_weights(model.get_weights())
    x = pictures(2, 64, 64, 3)
    logits = keras.ops.softmax(model(x))
    np.testing.assert_allclose(logits, twin(2 * x), rtol=1e-4)
    assert twin.name == "twin"


@pytest.mark.portable
@pytest.mark.parametrize("name", ["vgg11", "googlenet", "resnet18"])
def test_saved_and_loaded(name, tmp_path):
    model = small(name)
    randomize(model)
    model.save(tmp_path / "m.keras")
    x = pictures(2, 64, 64, 3)
    again = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(again.predict_on_batch(x), model.predict_on_batch(x))


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_weights_from_a_file(suffix, tmp_path):
    model, path = small("resnet18"), tmp_path / f"m{suffix}"
    randomize(model)
    (model.save if suffix == ".keras" else model.save_weights)(path)
    for ours, theirs in zip(small("resnet18", weights=path).get_weights(), model.get_weights()):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(ValueError, match="do not fit"):
        small("resnet18", weights=path, classes=6)


def test_mixed_precision_keeps_the_last_layers_in_float32():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        models = [small("vgg11"), small("googlenet", auxiliary=True), small("resnet18")]
    finally:
        keras.config.set_dtype_policy(before)
    for model in models:
        outputs = model.outputs
        assert {keras.backend.standardize_dtype(y.dtype) for y in outputs} == {"float32"}
        assert model.layers[2].compute_dtype == "bfloat16"


@pytest.mark.parametrize("name", SHALLOW)
def test_channels_first(name):
    last = small(name)
    keras.config.set_image_data_format("channels_first")
    try:
        first = small(name, input_shape=(3, 64, 64), include_top=False)
    finally:
        keras.config.set_image_data_format("channels_last")
    maps = small(name, include_top=False).output_shape
    assert first.output_shape == (None, maps[3], *maps[1:3])
    weights = [tuple(weight.shape) for weight in last.weights]
    assert [tuple(weight.shape) for weight in first.weights] == weights[: len(first.weights)]


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: VGG(12), r"`depth` must be one of \(11, 13, 16, 19\). Received: depth=12"),
        (lambda: ResNet(20), r"`depth` must be one of \(18, 34, .*200\). Received: depth=20"),
        (lambda: ResNet("18"), "`depth` must be one of .* Received: depth='18'"),
        (lambda: ResNet([18]), r"`depth` must be one of .* Received: depth=\[18\]"),
        (lambda: VGG(11, classes=0), "`classes` must be an integer .* Received: classes=0"),
        (lambda: GoogLeNet(classes=2.0), "`classes` must be an integer .* Received: classes=2.0"),
        (lambda: GoogLeNet(width=0), "`width` must be a finite .* Received: width=0"),
        (lambda: ResNet(18, pooling="sum"), "`pooling` must be one of .* Received: pooling='sum'"),
        (lambda: ResNet(18, input_shape=(63, 64, 3)), r"at least 64 .*Received: \(63, 64, 3\)"),
        (lambda: VGG(11, input_shape=(64, 64, 1)), r"height, width, 3.*Received: \(64, 64, 1\)"),
        (
            lambda: GoogLeNet(include_top=False, auxiliary=True),
            "need `include_top`. Received: auxiliary=True and include_top=False",
        ),
        (lambda: VGG(11, weights="imagenet", width=0.01), "must be the path of a file that exists"),
    ],
)
def test_bad_arguments(build, message):
    with pytest.raises(ValueError, match=message):
        build()
