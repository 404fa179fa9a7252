import functools
import math
from collections import Counter
from unittest import mock

import keras
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import Arc

from alexnet_keras import (
    VGG,
    AlexNet,
    GoogLeNet,
    LocalResponseNormalization,
    ResNet,
    TrainingConfig,
    layer_costs,
)
from alexnet_keras.configuration import DESCENDANTS
from alexnet_keras.descendants import (
    INCEPTIONS,
    RESNETS,
    VGGS,
    draw_chains,
    draw_inception,
    draw_residual_blocks,
    draw_resnets,
)
from alexnet_keras.training import build_model

BUILDERS = {
    **{f"vgg{depth}": functools.partial(VGG, depth) for depth in VGGS},
    "googlenet": GoogLeNet,
    **{f"resnet{depth}": functools.partial(ResNet, depth) for depth in RESNETS},
}

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
SMALL = {"input_shape": (64, 64, 3), "classes": 5, "width": 0.1}
SHALLOW = ["vgg11", "googlenet", "resnet18"]


def without_initial_values(build):
    """Builds a network whose kernels are zero, which is quicker."""

    def zeros(self, shape, dtype=None):
        return keras.ops.zeros(shape, dtype)

    with mock.patch.object(keras.initializers.VarianceScaling, "__call__", zeros):
        return build()


@functools.cache
def resnet(depth):
    return without_initial_values(lambda: ResNet(depth))


def small(network, **arguments):
    return BUILDERS[network](**{**SMALL, **arguments})


def pictures(*shape, seed=0):
    return np.random.default_rng(seed).normal(0, 50, shape).astype("float32")


def layer_names(model):
    return [layer.name for layer in model.layers if layer.weights]


def trainable(model):
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


def randomize(model, prefix=""):
    """Gives every weight of the layers whose name starts so a value of its own."""
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if not layer.name.startswith(prefix):
            continue
        if isinstance(layer, keras.layers.BatchNormalization):
            n = layer.gamma.shape[0]
            values = [rng.uniform(0.5, 1.5, n), rng.normal(0, 0.2, n), rng.normal(0, 0.2, n)]
            layer.set_weights([*values, rng.uniform(0.5, 1.5, n)])
        elif layer.weights:
            kernel = rng.standard_normal(layer.kernel.shape, "float32")
            layer.kernel.assign(kernel * math.sqrt(2 / np.prod(kernel.shape[:-1])))
            if layer.use_bias:
                layer.bias.assign(rng.normal(0, 0.2, layer.bias.shape))


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


@pytest.mark.parametrize("depth", VGGS)
def test_vgg_has_so_many_layers_and_halves_five_times(depth):
    model = VGG(depth, input_shape=(224, 224, 3), width=0.02)
    assert len([layer for layer in model.layers if hasattr(layer, "kernel")]) == depth
    sides = [model.get_layer(f"block{n}_pool").output.shape[1] for n in range(1, 6)]
    assert sides == [112, 56, 28, 14, 7]
    assert all(x.kernel_size == (3, 3) for x in model.layers if hasattr(x, "kernel_size"))
    assert [x.rate for x in model.layers if isinstance(x, keras.layers.Dropout)] == [0.5, 0.5]


@pytest.mark.parametrize("depth", RESNETS)
def test_resnet_has_so_many_layers_and_four_stages(depth):
    model = resnet(depth)
    weighted = [x for x in model.layers if hasattr(x, "kernel") and "_0_conv" not in x.name]
    assert len(weighted) == depth
    factor = 1 if depth < 50 else 4
    for n, blocks in enumerate(RESNETS[depth][1]):
        shape = model.get_layer(f"conv{n + 2}_block{blocks}_out").output.shape
        assert shape == (None, 56 // 2**n, 56 // 2**n, factor * 64 * 2**n)
    strided = [layer for layer in weighted if getattr(layer, "strides", (1,))[0] > 1]
    assert [layer.name for layer in strided] == [
        "conv1_conv",
        *(f"conv{n}_block1_1_conv" for n in (3, 4, 5)),
    ]
    projections = [layer.name[:12] for layer in model.layers if layer.name.endswith("_0_conv")]
    assert projections == [f"conv{n}_block1" for n in (2, 3, 4, 5) if n > 2 or depth >= 50]
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert {(norm.momentum, norm.epsilon) for norm in norms} == {(0.9, 1e-5)}
    convolutions = [x for x in model.layers if isinstance(x, keras.layers.Conv2D)]
    assert not any(layer.use_bias for layer in convolutions)
    # After every convolution; or before all but the first block's, and once more at the end
    expected = len(convolutions) if depth < 200 else len(convolutions) - len(projections)
    assert len(norms) == expected


def test_multiply_adds_of_the_googlenet_paper():
    # Its table 1, in millions. The first row, 34, counts 7 x 1 and 1 x 7 in place of the 7 x 7
    # convolution; that of 5a, 54, is not what the numbers of maps in its own row give.
    table = {"conv2": 360, "3a": 128, "3b": 304, "4a": 73, "4b": 88, "4c": 100}
    table |= {"4d": 119, "4e": 170, "5b": 71, "predictions": 1}
    counted = Counter()
    for cost in layer_costs(GoogLeNet()):
        row = cost.name.removeprefix("inception_").split("_")[0]
        counted[row] += cost.multiply_adds / 1e6
    for row, millions in table.items():
        assert counted[row] == pytest.approx(millions, rel=0.025), row
    assert counted["conv1"] == pytest.approx(112 * 112 * 64 * 7 * 7 * 3 / 1e6)
    assert 112 * 112 * 64 * (7 + 7) * 3 / 1e6 == pytest.approx(34, rel=0.02)
    fifth = 832 * (256 + 160 + 32 + 128) + 9 * 160 * 320 + 25 * 32 * 128
    assert counted["5a"] == pytest.approx(7 * 7 * fifth / 1e6)
    assert sum(table.values()) + 34 + 54 == pytest.approx(1500, rel=0.01)


def test_googlenet_shapes_and_auxiliary_classifiers():
    model = GoogLeNet(auxiliary=True)
    assert trainable(model) == 13_378_280  # of the published bvlc_googlenet
    maps = {"norm1": (56, 64), "pool2": (28, 192), "pool3": (14, 480), "pool4": (7, 832)}
    maps |= {"inception_3a": (28, 256), "inception_5b": (7, 1024), "aux1_pool": (4, 512)}
    maps |= {"aux2_pool": (4, 528)}
    for name, (side, channels) in maps.items():
        assert model.get_layer(name).output.shape == (None, side, side, channels)
    assert model.get_layer("aux1_pool").input is model.get_layer("inception_4a").output
    assert model.get_layer("aux2_pool").input is model.get_layer("inception_4d").output
    assert model.output_names == ["predictions", "aux1", "aux2"]
    norm = model.get_layer("norm2")
    assert isinstance(norm, LocalResponseNormalization)
    rates = {x.name: x.rate for x in model.layers if isinstance(x, keras.layers.Dropout)}
    assert rates == {"drop": 0.4, "aux1_drop": 0.7, "aux2_drop": 0.7}


@pytest.mark.parametrize("depth", [18, 34])
def test_plain_networks_lack_the_additions_and_projections(depth):
    with_shortcuts, plain = (
        resnet(depth),
        without_initial_values(lambda: ResNet(depth, shortcuts=False)),
    )
    assert plain.name == f"plain{depth}"
    assert not [layer for layer in plain.layers if isinstance(layer, keras.layers.Add)]
    # Three stages begin with a projection: 1 x 1 kernels, and two numbers a map to normalize.
    projections = sum(maps * 2 * maps + 2 * 2 * maps for maps in (64, 128, 256))
    assert trainable(plain) == trainable(with_shortcuts) - projections
    if depth == 34:
        # Section 3.3 of the paper: 3.6 billion, the shortcuts nearly for nothing.
        assert sum(layer.multiply_adds for layer in layer_costs(plain)) == pytest.approx(
            3.6e9, rel=0.02
        )


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


@pytest.mark.parametrize("side", [64, 97, 118])  # 118: 59, 29, 14, 7 positions, odd and even
def test_googlenet_is_that_of_caffe(side):
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    model = small("googlenet", auxiliary=True, input_shape=(side, side + 13, 3))
    randomize(model)

    def conv(x, name, **arguments):
        kernel, bias = map(torch.tensor, model.get_layer(name).get_weights())
        arguments["padding"] = kernel.shape[0] // 2
        return functional.conv2d(x, kernel.permute(3, 2, 0, 1), bias, **arguments).relu()

    def dense(x, name):
        kernel, bias = map(torch.tensor, model.get_layer(name).get_weights())
        return x @ kernel + bias

    def pool(x):
        return functional.max_pool2d(x, 3, 2, ceil_mode=True)

    def norm(x):  # PyTorch's alpha means Caffe's
        return functional.local_response_norm(x, 5, alpha=1e-4, beta=0.75, k=1.0)

    def inception(x, name):
        a = conv(x, f"{name}_1x1")
        b = conv(conv(x, f"{name}_3x3_reduce"), f"{name}_3x3")
        c = conv(conv(x, f"{name}_5x5_reduce"), f"{name}_5x5")
        d = conv(functional.max_pool2d(x, 3, 1, padding=1), f"{name}_pool_proj")
        return torch.cat([a, b, c, d], 1)

    def head(x, name):
        x = functional.avg_pool2d(x, (min(5, x.shape[2]), min(5, x.shape[3])), 3)
        x = conv(x, f"{name}_conv").permute(0, 2, 3, 1).flatten(1)
        return dense(dense(x, f"{name}_fc").relu(), name).softmax(1)

    images = pictures(2, side, side + 13, 3)
    x = norm(pool(conv(torch.tensor(images).permute(0, 3, 1, 2), "conv1", stride=2)))
    x = pool(norm(conv(conv(x, "conv2_reduce"), "conv2")))
    heads = []
    for module in INCEPTIONS:
        if module in ("4a", "5a"):
            x = pool(x)
        x = inception(x, f"inception_{module}")
        if module in ("4a", "4d"):
            heads.append(head(x, f"aux{len(heads) + 1}"))
    expected = [dense(x.mean((2, 3)), "predictions").softmax(1), *heads]
    for ours, theirs in zip(model(images), expected):
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-3, atol=1e-5)
    assert np.asarray(model(images)[0]).std() > 0.01


@pytest.mark.parametrize("depth", [16, 19])
def test_vgg_is_that_of_keras_applications(depth):
    arguments = {"input_shape": (64, 64, 3), "classes": 5, "classifier_activation": None}
    build = getattr(keras.applications, f"VGG{depth}")
    theirs = without_initial_values(lambda: build(weights=None, **arguments))
    ours = without_initial_values(lambda: VGG(depth, **arguments))
    assert layer_names(ours) == layer_names(theirs)
    randomize(ours)
    theirs.set_weights(ours.get_weights())
    x = pictures(2, 64, 64, 3) / 50
    np.testing.assert_allclose(ours(x), theirs(x), rtol=1e-3, atol=1e-4)
    assert np.ptp(ours(x), axis=0).min() > 0.01


def test_resnet50_is_that_of_keras_applications():
    arguments = {"input_shape": (64, 96, 3), "classes": 5, "classifier_activation": None}
    build = keras.applications.ResNet50
    theirs = without_initial_values(lambda: build(weights=None, **arguments))
    ours = without_initial_values(lambda: ResNet(50, **arguments))
    assert layer_names(ours) == layer_names(theirs)
    randomize(ours)
    for layer in theirs.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.epsilon = 1e-5
        if isinstance(layer, keras.layers.Conv2D):
            (kernel,) = ours.get_layer(layer.name).get_weights()
            layer.set_weights([kernel, np.zeros(kernel.shape[-1])])
        elif layer.weights:
            layer.set_weights(ours.get_layer(layer.name).get_weights())
    x = pictures(2, 64, 96, 3)
    np.testing.assert_allclose(ours(x), theirs(x), rtol=1e-3, atol=1e-3)
    assert np.ptp(ours(x), axis=0).min() > 0.1
    multiply_adds = [sum(c.multiply_adds for c in layer_costs(model)) for model in (ours, theirs)]
    assert multiply_adds[0] == multiply_adds[1]


@pytest.mark.parametrize("depth, block", [(18, 1), (18, 2), (200, 1), (200, 2)])
def test_blocks_are_those_of_the_papers(depth, block):
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    model = resnet(depth)
    name = f"conv3_block{block}"
    randomize(model, f"{name}_")
    last = f"conv2_block{RESNETS[depth][1][0]}"
    before = model.get_layer(f"{last if block == 1 else 'conv3_block1'}_out").output
    part = keras.Model(before, model.get_layer(f"{name}_out").output)
    images = pictures(1, *before.shape[1:]) / 50

    def conv(x, n, stride=1):
        (kernel,) = map(torch.tensor, model.get_layer(f"{name}_{n}_conv").get_weights())
        padding = kernel.shape[0] // 2
        return functional.conv2d(x, kernel.permute(3, 2, 0, 1), None, stride, padding)

    def norm(x, n):
        gamma, beta, mean, variance = map(
            torch.tensor, model.get_layer(f"{name}_{n}_bn").get_weights()
        )
        return functional.batch_norm(x, mean, variance, gamma, beta, eps=1e-5)

    x = torch.tensor(images).permute(0, 3, 1, 2)
    stride = 2 if block == 1 else 1
    if depth == 18:  # figure 2 of the first paper
        y = norm(conv(norm(conv(x, 1, stride), 1).relu(), 2), 2)
        y = (y + (norm(conv(x, 0, 2), 0) if block == 1 else x)).relu()
    else:  # figure 1b of the second
        activated = norm(x, "preact").relu()
        y = conv(norm(conv(activated, 1, stride), 1).relu(), 2)
        y = conv(norm(y, 2).relu(), 3)
        y = y + (conv(activated, 0, 2) if block == 1 else x)
    np.testing.assert_allclose(part(images), y.permute(0, 2, 3, 1).numpy(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("depth", [18, 50, 200])
def test_a_block_that_adds_nothing_is_the_identity(depth):
    model = resnet(depth)
    randomize(model, "conv4_block2_")
    last = "3" if depth >= 50 else "2"
    if depth < 200:
        norm = model.get_layer(f"conv4_block2_{last}_bn")
        norm.gamma.assign(np.zeros(norm.gamma.shape))
        norm.beta.assign(np.zeros(norm.beta.shape))
    else:
        conv = model.get_layer(f"conv4_block2_{last}_conv")
        conv.kernel.assign(np.zeros(conv.kernel.shape))
    before = model.get_layer("conv4_block1_out").output
    part = keras.Model(before, model.get_layer("conv4_block2_out").output)
    x = pictures(1, *before.shape[1:])
    if depth < 200:  # they come from a ReLU
        x = np.maximum(x, 0)
    np.testing.assert_array_equal(part(x), x)


def test_resnet200_starts_and_ends_with_an_activation():
    model = resnet(200)
    assert "conv2_block1_preact_bn" not in layer_names(model)
    assert model.get_layer("conv2_block1_1_conv").input is model.get_layer("pool1_pool").output
    assert model.get_layer("conv2_block1_0_conv").input is model.get_layer("pool1_pool").output
    assert model.get_layer("post_bn").input is model.get_layer("conv5_block3_out").output
    assert model.get_layer("avg_pool").input is model.get_layer("post_relu").output


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


@pytest.mark.parametrize("name", ["vgg11", "googlenet", "resnet18"])
def test_saved_and_loaded(name, tmp_path):
    model = small(name)
    randomize(model)
    model.save(tmp_path / "m.keras")
    x = pictures(2, 64, 64, 3)
    again = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(again(x), model(x))


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


def assert_readable(figure):
    """No text runs into another or over the edge."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    texts = [*figure.axes[0].texts, *figure.legends[0].get_texts()]
    boxes = [text.get_window_extent(renderer) for text in texts if text.get_text()]
    assert len(boxes) > 5
    for i, box in enumerate(boxes):
        assert box.x0 >= 0 and box.y0 >= 0, texts[i]
        assert box.x1 <= figure.bbox.width and box.y1 <= figure.bbox.height, texts[i]
        for other in boxes[:i]:
            apart = box.x1 <= other.x0 or other.x1 <= box.x0
            assert apart or box.y1 <= other.y0 or other.y1 <= box.y0


def drawn(figure):
    return Counter(patch.get_gid() for patch in figure.axes[0].patches if patch.get_gid())


def words(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def test_diagram_of_resnet18_beside_resnet200():
    models = resnet(18), resnet(200)
    figure = draw_resnets(*models)
    assert_readable(figure)
    assert figure.get_figwidth() * figure.dpi < 850
    expected = Counter(["pool1_pool", "avg_pool"] * 2)
    for model in models:
        expected += Counter(
            x.name for x in model.layers if hasattr(x, "kernel") and "_0_" not in x.name
        )
    assert drawn(figure) == expected
    assert sum(expected.values()) == 18 + 200 + 4
    arcs = [patch for patch in figure.axes[0].patches if isinstance(patch, Arc)]
    assert len(arcs) == 8 + 66
    assert sum(arc.get_linestyle() != "solid" for arc in arcs) == 3 + 4
    text = words(figure)
    assert "1 + 2 x 8 + 1 = 18 layers with weights" in text
    assert "1 + 3 x 66 + 1 = 200 layers with weights" in text
    assert "36 x (1 x 1, 256; 3 x 3, 256; 1 x 1, 1024)" in text
    assert "64.7 M parameters, 14.8 G multiply-adds" in text
    sizes = [word for word in text if word in ("112 x 112", "56 x 56", "28 x 28", "14 x 14")]
    assert sizes == ["112 x 112", "56 x 56", "56 x 56", "28 x 28", "14 x 14"]
    halved = [x for x in figure.axes[0].texts if x.get_color() == "C3"]
    assert [x.get_text() for x in halved] == [f"{side} x {side}" for side in (112, 56, 28, 14, 7)]


@pytest.mark.parametrize("block", ["conv2_block1", "conv3_block1", "conv3_block2"])
def test_diagram_of_the_residual_blocks(block):
    models = resnet(18), resnet(50), resnet(200)
    figure = draw_residual_blocks(*models, block=block)
    assert_readable(figure)
    expected = Counter()
    for model in models:
        inside = [x.name for x in model.layers if x.name.startswith(f"{block}_")]
        expected += Counter(x for x in inside if x[-3:] not in ("pad", "add"))
    expected[f"{block}_out"] -= 1  # the sum of ResNet-200
    assert drawn(figure) == +expected
    assert words(figure).count("+") == 3
    assert {"basic block", "bottleneck", "pre-activation bottleneck"} <= set(words(figure))
    assert f"{resnet(50).get_layer(f'{block}_out').output.shape[1]} x" in " ".join(words(figure))


@pytest.mark.parametrize("module", ["3a", "5b"])
def test_diagram_of_an_inception_module(module):
    model = GoogLeNet()
    figure = draw_inception(model, module)
    assert_readable(figure)
    inside = Counter(x.name for x in model.layers if x.name.startswith(f"inception_{module}_"))
    assert drawn(figure) == inside
    a, _, b, _, c, d = INCEPTIONS[module]
    shares = [patch.get_width() for patch in figure.axes[0].patches if not patch.get_gid()][1:]
    np.testing.assert_allclose(
        np.divide(shares, sum(shares)), np.divide((a, b, c, d), a + b + c + d)
    )


def test_diagram_of_alexnet_and_vgg16():
    models = AlexNet(width=0.5), VGG(16, width=0.1)
    figure = draw_chains(*models)
    assert_readable(figure)
    for model, layers in zip(models, (8, 16)):
        weighted = {x.name for x in model.layers if x.weights}
        assert len(weighted) == layers
        assert weighted <= drawn(figure).keys()


@pytest.mark.parametrize("models", [(34,), (34, 50), (18, 101, 200)])
def test_diagrams_of_other_residual_networks(models):
    models = [resnet(depth) for depth in models]
    assert_readable(draw_resnets(*models))
    assert_readable(draw_residual_blocks(*models))
    assert_readable(draw_residual_blocks(*models, block="conv4_block1"))


def test_errors_of_the_diagrams():
    with pytest.raises(ValueError, match=r"one of \['conv2_block1', .*resnet18. Received: 'conv9'"):
        draw_residual_blocks(resnet(18), block="conv9")
    with pytest.raises(ValueError, match=r"one of \['3a', .*'5b'\]. Received: '6a'"):
        draw_inception(small("googlenet"), "6a")
    for draw in (draw_resnets, draw_residual_blocks):
        with pytest.raises(ValueError, match=r"built by `ResNet`. Received: \['vgg11'\]"):
            draw(resnet(18), small("vgg11"))
    with pytest.raises(ValueError, match="built by `ResNet`. Received: none"):
        draw_resnets()
    with pytest.raises(ValueError, match="chains of layers. Received: googlenet, .*inception_3a"):
        draw_chains(small("googlenet"))
