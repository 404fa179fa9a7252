import math
import subprocess
import sys

import keras
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from alexnet_keras import VARIANTS, AlexNet, MomentumSGD  # noqa: E402
from alexnet_keras.exchange import torch_twin as twins  # noqa: E402

SMALL = {"classes": 5, "width": 0.1}
SIZE = 80  # 2 x 2 maps at the end, so that the order of flattening matters


def keras_model(size=SIZE, **arguments):
    keras.utils.set_random_seed(0)
    options = {**SMALL, "initialization": "he", **arguments}
    return AlexNet(input_shape=(size, size, 3), **options)


def model_and_twin(size=SIZE, **arguments):
    model = keras_model(size, **arguments)
    options = {k: v for k, v in {**SMALL, **arguments}.items() if k != "classifier_activation"}
    twin = twins.torch_alexnet(image_size=size, **options)
    twins.copy_to_torch(model, twin)
    return model, twin.eval()


def pictures(count=4, size=SIZE, seed=0, scale=250):
    """Noise, strong enough for the normalization to matter."""
    return np.random.default_rng(seed).normal(0, scale, (count, size, size, 3)).astype("float32")


def through(twin, x):
    with torch.no_grad():
        return twin(torch.from_numpy(x).permute(0, 3, 1, 2)).softmax(1).numpy()


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
    names = [layer.name for layer in model.layers[1:]]
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


def torch_step(twin, optimizer, x, y):
    optimizer.zero_grad()
    images = torch.from_numpy(x).permute(0, 3, 1, 2)
    loss = torch.nn.functional.cross_entropy(twin(images), torch.from_numpy(y))
    loss.backward()
    optimizer.step()
    return loss.item()


def differences(model, twin, **arguments):
    """Largest difference of each variable, the twin's weights taken over to a copy of the model."""
    other = keras_model(**arguments)
    twins.copy_to_keras(twin, other)
    return {
        v.path: float(np.abs(np.asarray(v) - np.asarray(w)).max())
        for v, w in zip(model.weights, other.weights)
    }


def compiled(model, rate, decay):
    optimizer = MomentumSGD(rate, 0.9, decay)
    model.compile(optimizer, "sparse_categorical_crossentropy", run_eagerly=True)
    return optimizer


LABELS = np.array([0, 3, 1, 4, 2, 0, 3, 1])


def for_steps(variant):
    """Arguments and the pictures' scale.

    Batch normalization rounds differently in the two libraries, by 1e-5: some unit is always as
    near to ReLU's kink, where it has one gradient or the other. tanh has no kink.
    """
    options = {"variant": variant, "dropout": 0.0}
    if variant == "batchnorm":
        return {**options, "activation": "tanh"}, 5
    return options, 80


@pytest.mark.parametrize("decay", [0.0005, 0.5])
@pytest.mark.parametrize("variant", VARIANTS)
def test_one_step_is_equal(variant, decay):
    options, scale = for_steps(variant)
    model, twin = model_and_twin(**options)
    before = model.get_weights()
    x = pictures(8, scale=scale)
    compiled(model, 0.01, decay)
    optimizer = twins.MomentumSGD(twin.train().parameters(), 0.01, 0.9, decay)
    loss = model.train_on_batch(x, LABELS)
    assert torch_step(twin, optimizer, x, LABELS) == pytest.approx(float(loss), rel=1e-5)
    moved = [np.abs(a - b).max() for a, b in zip(model.get_weights(), before)]
    assert min(moved) > 1e-6 and max(moved) > 1e-3
    for (name, difference), step in zip(differences(model, twin, **options).items(), moved):
        if "moving_variance" not in name:
            assert difference < 1e-5, name
            assert difference < 0.01 * step + 2e-7, name  # which is rounding of the weight
    if variant == "batchnorm":
        # PyTorch keeps n / (n - 1) times the variance of the batch.
        first = model.get_layer("norm1")
        n = len(x) * math.prod(first.output.shape[1:3])
        batch = (np.asarray(first.moving_variance) - 0.99) / 0.01
        theirs = (twin.norm1.running_var.numpy() - 0.99) / 0.01
        np.testing.assert_allclose(theirs, batch * n / (n - 1), rtol=2e-4)
        assert n / (n - 1) > 1 + 2e-4


RATES = (0.01, 0.01, 0.01, 0.001, 0.001, 0.005, 0.0001)


@pytest.mark.parametrize("variant", ["paper", "2012", "batchnorm"])
def test_steps_with_a_changing_rate_are_equal(variant):
    options, scale = for_steps(variant)
    model, twin = model_and_twin(**options)
    ours = compiled(model, RATES[0], 0.05)
    theirs = twins.MomentumSGD(twin.train().parameters(), RATES[0], 0.9, 0.05)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        theirs, lambda step: RATES[min(step, len(RATES) - 1)] / RATES[0]
    )
    for step, rate in enumerate(RATES):
        ours.learning_rate = rate
        x = pictures(8, seed=step, scale=scale)
        model.train_on_batch(x, LABELS)
        torch_step(twin, theirs, x, LABELS)
        schedule.step()
    for name, difference in differences(model, twin, **options).items():
        if "moving_variance" not in name:
            assert difference < 1e-5, name


def test_what_pytorch_does_at_a_drop_of_the_rate():
    """By numbers: a gradient of 1, momentum 0.9, the rate 0.1 for three steps, then 0.01."""

    def path(optimizer_class, **options):
        w = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
        optimizer = optimizer_class([w], 0.1, 0.9, **options)
        steps = []
        for rate in (0.1, 0.1, 0.1, 0.01, 0.01):
            optimizer.param_groups[-1]["lr"] = rate
            before = w.item()
            w.grad = torch.ones_like(w)
            optimizer.step()
            steps.append(before - w.item())
        return steps

    v = keras.Variable([0.0], dtype="float64")
    optimizer = MomentumSGD(0.1, 0.9)
    by_keras = []
    for rate in (0.1, 0.1, 0.1, 0.01, 0.01):
        optimizer.learning_rate = rate
        before = float(v.value[0])
        optimizer.apply([keras.ops.ones(1, "float64")], [v])
        by_keras.append(before - float(v.value[0]))
    # 0.1 (1 + 0.9 + 0.81) = 0.271 at the third step; then 0.9 * 0.271 + 0.01 ...
    papers = [0.1, 0.19, 0.271, 0.9 * 0.271 + 0.01, 0.9 * (0.9 * 0.271 + 0.01) + 0.01]
    np.testing.assert_allclose(by_keras, papers, rtol=1e-6)
    np.testing.assert_allclose(path(twins.MomentumSGD), papers, rtol=1e-12)
    # ... against 0.01 (1 + 0.9 + 0.81 + 0.729) and 0.01 (1 + ... + 0.6561).
    pytorchs = [0.1, 0.19, 0.271, 0.03439, 0.040951]
    np.testing.assert_allclose(path(torch.optim.SGD), pytorchs, rtol=1e-12)


def test_rate_that_drops_to_zero():
    w = torch.nn.Parameter(torch.ones(2, 2))
    w.grad = torch.ones(2, 2)
    optimizer = twins.MomentumSGD([w], 0.0, 0.9, 0.0)
    optimizer.step()  # a warm-up may begin with it
    assert torch.equal(w.detach(), torch.ones(2, 2))
    optimizer.param_groups[0]["lr"] = 0.5
    optimizer.step()
    assert torch.equal(w.detach(), torch.full((2, 2), 0.5))
    optimizer.param_groups[0]["lr"] = 0.0
    with pytest.raises(ValueError, match="greater than 0. Received: 0 after 0.5"):
        optimizer.step()


def test_optimizer_goes_on_from_its_state():
    def trained(stop):
        torch.manual_seed(0)
        w = torch.nn.Parameter(torch.randn(3, 3))
        optimizer = twins.MomentumSGD([w], 0.1)
        for step in range(6):
            if step == stop:
                state = optimizer.state_dict()
                optimizer = twins.MomentumSGD([w], 0.7)
                optimizer.load_state_dict(state)
            optimizer.param_groups[0]["lr"] = 0.1 if step < 3 else 0.02
            w.grad = w.detach().sin()
            optimizer.step()
        return w.detach()

    assert torch.equal(trained(stop=3), trained(stop=None))


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


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="the backend needs torch")
def test_the_rest_of_the_package_does_without_torch():
    script = (
        "import sys\n"
        "class Without:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'torch': raise ImportError('none here')\n"
        "sys.meta_path.insert(0, Without())\n"
        "import alexnet_keras\n"
        "for name in alexnet_keras.__all__: getattr(alexnet_keras, name)\n"
        "print('the rest does')\n"
        "import alexnet_keras.exchange.torch_twin"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "the rest does\n"
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(
        'ImportError: The PyTorch twin needs torch: pip install "alexnet-keras[torch]"'
    )
