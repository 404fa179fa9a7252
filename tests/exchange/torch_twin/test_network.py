import keras
import numpy as np
import pytest
import torch

from alexnet_keras import VARIANTS
from alexnet_keras.exchange import torch_twin as twins
from tests.exchange.torch_twin.conftest import (
    SIZE,
    SMALL,
    keras_model,
    model_and_twin,
    pictures,
    through,
)


def shake(model):
    """Weights without symmetry: biases and the statistics of batch normalization as well."""
    rng = np.random.default_rng(1)
    for layer in model.layers:
        for variable in layer.weights:
            value = keras.ops.convert_to_numpy(variable)
            if variable.name == "moving_variance":
                value = rng.uniform(0.5, 2, value.shape)
            elif value.ndim == 1:
                value = value + rng.normal(0, 0.3, value.shape)
            variable.assign(value)


@pytest.mark.parametrize("size", [67, SIZE])  # nothing and 3 pixels of padding
@pytest.mark.parametrize("variant", VARIANTS)
def test_outputs_are_equal(variant, size):
    model = keras_model(size, variant=variant)
    shake(model)
    twin = twins.torch_alexnet(variant, image_size=size, **SMALL).eval()
    twins.copy_to_torch(model, twin)
    x = pictures(size=size)
    expected = np.asarray(model(x))
    assert expected.max() - expected.min() > 0.2  # not all the same
    np.testing.assert_allclose(through(twin, x), expected, rtol=0, atol=1e-5)
    names = [layer.name for layer in model.layers[1:] if layer.name != "repeat5"]
    assert [name for name, _ in twin.named_children()] == names


@pytest.mark.parametrize(
    "options",
    [
        {"overlapping": False},
        {"activation": "tanh"},
        {"normalization": "none", "variant": "2012"},
        {"normalization": "batch", "variant": "2012"},
        {"columns": 1},
        {"columns": 2, "variant": "torchvision", "normalization": "lrn"},
        {"width": 0.13, "classes": 2},
    ],
)
def test_outputs_are_equal_with_switches(options):
    model, twin = model_and_twin(**options)
    shake(model)
    twins.copy_to_torch(model, twin)
    np.testing.assert_allclose(through(twin, pictures()), np.asarray(model(pictures())), atol=1e-4)


@pytest.mark.parametrize("variant", ["paper", "2012", "caffe", "caffenet", "single"])
def test_normalization_matters(variant):
    """Otherwise the tests above would show nothing of it."""
    model, twin = model_and_twin(variant=variant)
    twin.norm1.alpha = twin.norm2.alpha = 0.0
    assert abs(through(twin, pictures()) - np.asarray(model(pictures()))).max() > 0.01


def test_output_is_logits():
    model, twin = model_and_twin(classifier_activation=None)
    with torch.no_grad():
        logits = twin(torch.from_numpy(pictures()).permute(0, 3, 1, 2))
    np.testing.assert_allclose(logits, np.asarray(model(pictures())), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "variant, parameters",
    [
        ("paper", 60_965_224),
        ("2012", 60_965_224),
        ("single", 62_378_344),
        ("torchvision", 61_100_840),
        ("batchnorm", 62_378_344 + 2 * (96 + 256)),
    ],
)
@pytest.mark.parametrize("size", [224, 227])
def test_published_parameters(variant, parameters, size):
    with torch.device("meta"):
        twin = twins.torch_alexnet(variant, image_size=size)
        assert sum(p.numel() for p in twin.parameters()) == parameters
        assert twin(torch.zeros(2, 3, size, size)).shape == (2, 1000)


def test_torchvisions_own_network():
    """Its `alexnet`, written from its documentation, takes the twin's tensors in their order."""
    twin = twins.torch_alexnet("torchvision", image_size=224, classes=7).eval()
    nn = torch.nn
    theirs = nn.Sequential(
        *(nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.AdaptiveAvgPool2d((6, 6)), nn.Flatten()),
        *(nn.Dropout(), nn.Linear(256 * 6 * 6, 4096), nn.ReLU()),
        *(nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 7)),
    ).eval()
    theirs.load_state_dict(dict(zip(theirs.state_dict(), twin.state_dict().values())))
    x = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(twin(x), theirs(x))


@pytest.mark.parametrize("variant", VARIANTS)
def test_start_is_the_variants(variant):
    torch.manual_seed(0)
    twin = twins.torch_alexnet(variant, width=0.5, classes=100)
    v = VARIANTS[variant]
    for index, name in enumerate(("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7")):
        weight, bias = (p.detach() for p in getattr(twin, name).parameters())
        if v.stds is None:
            assert weight.abs().max() == pytest.approx(weight[0].numel() ** -0.5, rel=0.05)
        else:
            assert weight.std() == pytest.approx(v.stds[index], rel=0.03)
            assert set(bias.tolist()) == {np.float32(v.biases[index])}


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"variant": "vgg"}, "`variant` must be one of .*Received: variant='vgg'"),
        ({"activation": "gelu"}, r"`activation` must be one of \('relu', 'tanh'\)"),
        ({"normalization": "layer"}, "`normalization` must be one of .* normalization='layer'"),
        ({"columns": 3}, "`columns` must be one of .*Received: columns=3"),
        ({"image_size": 63}, "`image_size` must be .* at least 64. Received: image_size=63"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        twins.torch_alexnet(**arguments)
