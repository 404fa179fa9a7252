import math

import keras
import numpy as np
import pytest
import torch

from alexnet_keras import VARIANTS, MomentumSGD
from alexnet_keras.exchange import torch_twin as twins
from tests.exchange.torch_twin.conftest import keras_model, model_and_twin, pictures


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
