import keras
import numpy as np
import pytest
import torch

from alexnet_keras import AlexNet
from alexnet_keras.exchange import torch_twin as twins
from tests.exchange.torch_twin.conftest import (
    SIZE,
    SMALL,
    keras_model,
    model_and_twin,
    pictures,
    through,
)


@pytest.mark.parametrize("variant", ["2012", "batchnorm", "torchvision"])
def test_weights_move_both_ways(variant):
    model, twin = model_and_twin(variant=variant)
    before = model.get_weights()
    torch.manual_seed(1)
    with torch.no_grad():
        for tensor in twin.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(0.05 * torch.rand_like(tensor))
    assert abs(through(twin, pictures()) - np.asarray(model(pictures()))).max() > 0.01
    twins.copy_to_keras(twin, model)
    np.testing.assert_allclose(through(twin, pictures()), np.asarray(model(pictures())), atol=1e-4)
    again = twins.torch_alexnet(variant, image_size=SIZE, **SMALL)
    twins.copy_to_torch(model, again)
    for name, tensor in twin.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    for ours, old in zip(model.get_weights(), before):
        assert ours.shape == old.shape and not np.array_equal(ours, old)


def test_weights_of_a_rectangle():
    """fc6's order of height, width and maps, where height and width differ."""
    keras.utils.set_random_seed(0)
    model = AlexNet(input_shape=(80, 112, 3), **SMALL)
    assert model.get_layer("flatten").input.shape[1:3] == (1, 2)
    twin = twins.torch_alexnet(image_size=80, **SMALL).eval()
    with pytest.raises(ValueError, match=r"fc6.weight of the twin .*Received: \(410, 26\)"):
        twins.copy_to_torch(model, twin)
    twin.fc6 = torch.nn.Linear(2 * 26, 410)
    twins.copy_to_torch(model, twin)
    x = np.random.default_rng(0).normal(0, 80, (2, 80, 112, 3)).astype("float32")
    np.testing.assert_allclose(through(twin, x), np.asarray(model(x)), atol=1e-4)


@pytest.mark.parametrize(
    "theirs, message",
    [
        ({"variant": "caffe"}, r"norm1 \(.*groups=1\) in the twin for norm1 \(.*groups=2\)"),
        ({"variant": "2012"}, "norm1 .* in the twin for relu1 in the model"),
        ({"variant": "single"}, "norm1 .*groups=1"),
        ({"classes": 6}, r"fc8.weight .* \(5, 410\).*\(410, 5\). Received: \(6, 410\)"),
        ({"image_size": 99}, r"for pad1 in the model"),
        ({"image_size": 116}, r"fc6.weight of the twin must have shape \(410, 26\)"),
    ],
)
def test_networks_that_do_not_fit(theirs, message):
    model = keras_model()
    before = model.get_weights()
    twin = twins.torch_alexnet(**{"image_size": SIZE, **SMALL, **theirs})
    state = {name: tensor.clone() for name, tensor in twin.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        twins.copy_to_torch(model, twin)
    with pytest.raises(ValueError, match=message):
        twins.copy_to_keras(twin, model)
    for ours, old in zip(model.get_weights(), before):
        np.testing.assert_array_equal(ours, old)
    for name, tensor in twin.state_dict().items():
        assert torch.equal(tensor, state[name])


def test_model_without_top():
    model = keras_model(include_top=False)
    with pytest.raises(ValueError, match="Received: flatten in the twin for nothing in the model"):
        twins.copy_to_torch(model, twins.torch_alexnet(image_size=SIZE, **SMALL))
