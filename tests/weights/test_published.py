import dataclasses
import os
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

from alexnet_keras import PUBLISHED_MEANS, AlexNet, load_weights, open_dataset
from alexnet_keras.pictures import IMAGENET_STATISTICS, evaluation_batches
from alexnet_keras.variants import LAYERS
from tests.weights.conftest import (
    LOGITS,
    SMALL,
    TORCHVISION,
    assert_refused,
    logits,
    pictures,
    state_dict,
)

pytestmark = [pytest.mark.portable, pytest.mark.usefixtures("no_gradients")]


def torch_network(tensors):
    nn = pytest.importorskip("torch").nn

    def conv(name, *arguments, **options):
        outputs, inputs, *_ = tensors[f"{name}.weight"].shape
        return nn.Conv2d(inputs, outputs, *arguments, **options)

    def linear(name):
        return nn.Linear(*tensors[f"{name}.weight"].shape[::-1])

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Sequential(
                conv("features.0", 11, stride=4, padding=2),
                nn.ReLU(inplace=True),
                nn.MaxPool2d(3, stride=2),
                conv("features.3", 5, padding=2),
                nn.ReLU(inplace=True),
                nn.MaxPool2d(3, stride=2),
                conv("features.6", 3, padding=1),
                nn.ReLU(inplace=True),
                conv("features.8", 3, padding=1),
                nn.ReLU(inplace=True),
                conv("features.10", 3, padding=1),
                nn.ReLU(inplace=True),
                nn.MaxPool2d(3, stride=2),
            )
            self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
            self.classifier = nn.Sequential(
                nn.Dropout(),
                linear("classifier.1"),
                nn.ReLU(inplace=True),
                nn.Dropout(),
                linear("classifier.4"),
                nn.ReLU(inplace=True),
                linear("classifier.6"),
            )

        def forward(self, x):
            return self.classifier(self.avgpool(self.features(x)).flatten(1))

    import torch

    network = Network().eval()
    network.load_state_dict({name: torch.from_numpy(array) for name, array in tensors.items()})
    return network


@pytest.mark.parametrize("side", [224, 131])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_torchvision_computes_the_same(suffix, side, tmp_path):
    torch = pytest.importorskip("torch")
    tensors, images = state_dict(), pictures(32, side)
    network = torch_network(tensors)
    path = tmp_path / f"alexnet-owt-7be5be79{suffix}"
    if suffix == ".pth":
        torch.save(network.state_dict(), path)
    else:
        save_file(tensors, path)
    x = torch.from_numpy(images).permute(0, 3, 1, 2) / 255  # as torchvision's ToTensor, Normalize
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        theirs = network((x - mean[:, None, None]) / std[:, None, None]).numpy()
    arguments = {**LOGITS, "input_shape": (side, side, 3)}
    model = AlexNet(variant="torchvision", weights=path, **arguments)

    assert theirs.std() > 0.5
    ours = logits(model, images, PUBLISHED_MEANS["torchvision"])
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)
    others = logits(model, images, IMAGENET_STATISTICS.mean)  # half a grey level off
    assert np.abs(others - theirs).max() > 1e-3


def test_torchvision_through_the_evaluation_pipeline(make_folder, tmp_path):
    torch = pytest.importorskip("torch")
    tensors, path = state_dict(), tmp_path / "alexnet.safetensors"
    save_file(tensors, path)
    model = AlexNet(variant="torchvision", weights=path, **LOGITS)
    dataset = open_dataset(make_folder())

    def batch(mean):
        statistics = dataclasses.replace(IMAGENET_STATISTICS, mean=np.float32(mean))
        batches = evaluation_batches(dataset, "validation", statistics, image_size=99, batch_size=8)
        return next(iter(batches))[0].numpy()

    x = torch.from_numpy(batch([0, 0, 0])).permute(0, 3, 1, 2) / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        theirs = torch_network(tensors)((x - mean[:, None, None]) / std[:, None, None]).numpy()
    ours = model.predict_on_batch(batch(PUBLISHED_MEANS["torchvision"]))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)


def test_pth_needs_torch_and_safetensors_does_not(tmp_path, monkeypatch):
    tensors = state_dict()
    save_file(tensors, tmp_path / "alexnet.safetensors")
    (tmp_path / "alexnet.pth").touch()
    model = AlexNet(variant="torchvision", **SMALL)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"needed to read a .pth file: `pip install torch`, or"):
        load_weights(model, tmp_path / "alexnet.pth", "torchvision")
    load_weights(model, tmp_path / "alexnet.safetensors", "torchvision")
    for name, key in zip(LAYERS, TORCHVISION):
        np.testing.assert_array_equal(
            model.get_layer(name).get_weights()[1], tensors[f"{key}.bias"]
        )


def test_hostile_pth_runs_nothing(tmp_path):
    torch = pytest.importorskip("torch")

    class Hostile:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'mark'}",)

    path = tmp_path / "alexnet.pth"
    torch.save({"features.0.weight": Hostile()}, path)
    assert_refused(path, "it is cut off, or asks for more than tensors", "torchvision")
    assert list(tmp_path.iterdir()) == [path]
    torch.save({"epoch": 3}, path)
    assert_refused(path, "something else than tensors by their names", "torchvision")
