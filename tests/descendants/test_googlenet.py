from collections import Counter

import keras
import numpy as np
import pytest

from alexnet_keras import (
    GoogLeNet,
    LocalResponseNormalization,
    layer_costs,
)
from alexnet_keras.descendants import (
    INCEPTIONS,
)
from tests.descendants.conftest import pictures, randomize, small, trainable


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
