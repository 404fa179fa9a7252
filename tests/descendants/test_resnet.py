import keras
import numpy as np
import pytest

from alexnet_keras import (
    ResNet,
    layer_costs,
)
from alexnet_keras.descendants import (
    RESNETS,
)
from tests.descendants.conftest import (
    layer_names,
    pictures,
    randomize,
    resnet,
    trainable,
    without_initial_values,
)

pytestmark = pytest.mark.slow


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
