import dataclasses
import json
import os
import re
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import save_file

from alexnet_keras import PUBLISHED_MEANS, AlexNet, load_weights
from alexnet_keras.cli import main
from alexnet_keras.configuration import Devices, TrainingConfig
from alexnet_keras.pictures import color_statistics, open_dataset
from alexnet_keras.training import CHECKPOINT, build_model, freeze, load_run, resume, train
from tests.conftest import without_times
from tests.training.conftest import train_and_copy

pytestmark = pytest.mark.slow

SMALL = {"image_size": 64, "width": 0.05, "epochs": 1, "schedule": "constant"}
BATCH_NORMALIZED = {**SMALL, "normalization": "batch"}


def write_pictures(folder, colors):
    rng = np.random.default_rng(len(colors))
    for name, color in colors.items():
        (folder / name).mkdir(parents=True)
        for i in range(10):
            image = np.clip(rng.normal(color, 30, (80, 75, 3)), 0, 255)
            encoded = tf.io.encode_jpeg(image.astype("uint8")).numpy()
            (folder / name / f"{i}.jpg").write_bytes(encoded)
    return str(folder)


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """A run on three classes, with averages of batch normalization that have moved."""
    colors = {"blue": (20, 30, 90), "green": (20, 90, 30), "red": (90, 20, 30)}
    data = write_pictures(tmp_path_factory.mktemp("old"), colors)
    config = TrainingConfig(data=data, **BATCH_NORMALIZED, batch_size=8)
    return train(config, tmp_path_factory.mktemp("runs") / "old", verbose=0)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two other classes, of lighter colours."""
    colors = {"pink": (240, 150, 160), "yellow": (230, 220, 120)}
    return write_pictures(tmp_path_factory.mktemp("new"), colors)


@pytest.fixture(scope="module")
def config(old, data):
    """One step, with all the pictures."""
    return TrainingConfig(
        data=data, **BATCH_NORMALIZED, batch_size=16, from_weights=str(old.folder), seed=3
    )


def by_layer(model):
    return {layer.name: layer.get_weights() for layer in model.layers if layer.get_weights()}


def last(run):
    return by_layer(keras.saving.load_model(run.folder / "last.keras", compile=False))


def same_bits(ours, theirs):
    return [x.tobytes() for x in ours] == [x.tobytes() for x in theirs]


@pytest.fixture(scope="module")
def at_full_rate(config, tmp_path_factory):
    return train(config, tmp_path_factory.mktemp("runs") / "full", verbose=0)


def test_first_step_of_what_was_taken_over_is_smaller_by_the_factor(
    config, old, at_full_rate, tmp_path
):
    factor = 0.125
    slow = train(dataclasses.replace(config, transfer_rate=factor), tmp_path / "slow", verbose=0)
    # fc8 begins as that of the seed, all others as in the best epoch of the old run.
    start = by_layer(old.model)
    start["fc8"] = by_layer(build_model(config, 2))["fc8"]
    full, slow = last(at_full_rate), last(slow)
    assert start.keys() == full.keys() >= {"conv1", "norm1", "norm2", "fc7", "fc8"}
    for name in start:
        for i, (w, at_one, at_factor) in enumerate(zip(start[name], full[name], slow[name])):
            step, small = at_one - w, at_factor - w
            assert np.abs(step).max() > 0
            averages = name.startswith("norm") and i > 1  # these are not learned
            ratio = 1 if name == "fc8" or averages else factor
            # A weight of size w is rounded to w * 2^-24.
            tolerance = 4 * 2.0**-24 * max(np.abs(w).max(), 1e-3)
            np.testing.assert_allclose(small, ratio * step, rtol=1e-3, atol=tolerance)


@pytest.mark.portable
def test_frozen_layers_keep_their_bits(config, old, tmp_path):
    several = dataclasses.replace(config, freeze="conv3", batch_size=6, epochs=2)
    new = last(train(several, tmp_path / "frozen", verbose=0))
    before = by_layer(old.model)
    frozen = {"conv1", "norm1", "conv2", "norm2", "conv3"}
    for name in before:
        assert same_bits(new[name], before[name]) == (name in frozen), name
    assert new["fc8"][0].shape[1] == 2 and before["fc8"][0].shape[1] == 3


def test_frozen_batch_normalization_goes_by_its_averages(old):
    model = keras.models.clone_model(old.model)
    model.set_weights(old.model.get_weights())
    freeze(model, "conv3")
    maps = keras.Model(model.inputs, model.get_layer("conv3").output)
    pictures = np.random.default_rng(0).normal(0, 50, (4, 64, 64, 3)).astype("float32")
    by_averages = keras.Model(old.model.inputs, old.model.get_layer("conv3").output)
    expected = by_averages(pictures, training=False)
    np.testing.assert_allclose(maps(pictures, training=True), expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="`last` must be one of .* Received: last='fc8'"):
        freeze(model, "fc8")


def test_pictures_lose_the_mean_that_the_network_knows(config, old, at_full_rate):
    own = color_statistics(open_dataset(config.data), config.image_size)
    assert np.abs(own.mean - old.statistics.mean).min() > 50
    used = at_full_rate.statistics
    np.testing.assert_array_equal(used.mean, old.statistics.mean)
    np.testing.assert_array_equal(used.mean_image, old.statistics.mean_image)
    np.testing.assert_array_equal(used.deviations, own.deviations)
    np.testing.assert_array_equal(used.components, own.components)


def test_keras_file(config, old, at_full_rate, tmp_path):
    """In a run's folder it is that run's; elsewhere its mean is not known."""
    there = dataclasses.replace(config, from_weights=str(old.folder / "best.keras"))
    same = train(there, tmp_path / "there", verbose=0)
    assert all(same_bits(w, last(same)[name]) for name, w in last(at_full_rate).items())
    shutil.copy(old.folder / "best.keras", tmp_path / "alone.keras")
    alone = dataclasses.replace(config, from_weights=str(tmp_path / "alone.keras"), freeze="fc7")
    run = train(alone, tmp_path / "run", verbose=0)
    own = color_statistics(open_dataset(config.data), config.image_size)
    np.testing.assert_array_equal(run.statistics.mean, own.mean)
    assert same_bits(last(run)["fc7"], by_layer(old.model)["fc7"])


CUTS = [("step", 1), ("step", 4)]  # before the first checkpoint of a step; in the second epoch


def test_resumed_run_needs_the_weights_no_more(config, old, tmp_path):
    shutil.copytree(old.folder, tmp_path / "old")
    config = dataclasses.replace(
        config,
        from_weights=str(tmp_path / "old"),
        freeze="conv2",
        transfer_rate=0.5,
        batch_size=6,
        epochs=2,
    )
    straight = tmp_path / "straight"
    copies = train_and_copy(config, straight, CUTS)
    shutil.rmtree(tmp_path / "old")
    for cut_off in copies.values():
        resume(cut_off, checkpoint_steps=2, verbose=0)
        logs = [without_times(load_run(run).log()) for run in (cut_off, straight)]
        np.testing.assert_equal(*logs)
        ours, theirs = (np.load(run / CHECKPOINT) for run in (cut_off, straight))
        assert ours.files == theirs.files
        for name in set(ours.files) - {"about"}:
            assert ours[name].tobytes() == theirs[name].tobytes()


def test_run_cut_off_before_any_checkpoint_takes_the_weights_over_again(config, tmp_path):
    run = train(config, tmp_path / "run", verbose=0)
    before = last(run)
    (run.folder / CHECKPOINT).unlink()
    resume(run.folder, verbose=0)
    assert all(same_bits(w, last(run)[name]) for name, w in before.items())


def torchvision_file(path, model):
    """The weights of a network by torchvision's names and in its layout; conv1's for its pixels."""
    names = [f"features.{i}" for i in (0, 3, 6, 8, 10)] + [f"classifier.{i}" for i in (1, 4, 6)]
    tensors = {}
    for name, (layer, (kernel, bias)) in zip(names, by_layer(model).items()):
        if layer == "fc6":  # positions, channels -> channels, positions
            kernel = kernel.reshape(36, -1, kernel.shape[1]).swapaxes(0, 1)
            kernel = kernel.reshape(-1, kernel.shape[2])
        if layer == "conv1":
            kernel = kernel * (255 * np.array([0.229, 0.224, 0.225], "float32")[:, None])
        kernel = kernel.transpose(3, 2, 0, 1) if kernel.ndim == 4 else kernel.T
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = np.ascontiguousarray(kernel), bias
    save_file(tensors, path)


def test_published_weights(data, tmp_path):
    keras.utils.set_random_seed(1)
    published = AlexNet(input_shape=(64, 64, 3), width=0.05, classes=7, variant="torchvision")
    path = tmp_path / "alexnet.safetensors"
    torchvision_file(path, published)
    config = TrainingConfig(
        data=data, **SMALL, variant="torchvision", from_weights=str(path), freeze="fc7"
    )
    run = train(config, tmp_path / "run", verbose=0)
    for name, (kernel, bias) in by_layer(published).items():
        if name != "fc8":
            np.testing.assert_allclose(last(run)[name][0], kernel, rtol=1e-5, atol=1e-9)
            np.testing.assert_array_equal(last(run)[name][1], bias)
    np.testing.assert_allclose(run.statistics.mean, PUBLISHED_MEANS["torchvision"])
    with pytest.raises(ValueError, match="`mean` must be 'color' .* Received: 'image'"):
        train(dataclasses.replace(config, mean="image"), tmp_path / "x", verbose=0)


def test_skipped_layer_keeps_its_weights(old):
    model = build_model(old.config, 5)
    before, path = by_layer(model), old.folder / "best.keras"
    with pytest.raises(ValueError, match="layer fc8: expected shapes"):
        load_weights(model, path, "paper")
    load_weights(model, path, "paper", skip=("fc8", "conv4"))
    for name, weights in by_layer(model).items():
        theirs = before if name in ("fc8", "conv4") else by_layer(old.model)
        assert same_bits(weights, theirs[name])


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"width": 0.1}, r"layer conv1: expected shapes .*\(11, 11, 3, 10\).* Received: .*, 4\)"),
        ({"image_size": 99}, "layer fc6: expected shapes .* Received: "),
        ({"columns": 1}, "layer conv2: expected shapes .* Received: "),
        ({"normalization": None}, "`normalization` must be .*, 'batch'. Received: 'lrn'"),
        ({"activation": "tanh"}, "`activation` must be .*, 'relu'. Received: 'tanh'"),
        ({"variant": "caffe"}, "`variant` must be .*, 'paper'. Received: 'caffe'"),
        ({"mean": "image"}, "`mean` must be .*, 'color'. Received: 'image'"),
        ({"from_weights": "no/such.pth"}, "a file that exists. Received: .*no/such.pth"),
        ({"from_weights": os.path.dirname(__file__)}, "must hold config.json. Received: .*tests"),
        ({"from_weights": __file__}, "must end in .*Received: .*test_transfer.py"),
    ],
)
def test_what_does_not_fit_is_refused(changes, message, config, tmp_path):
    with pytest.raises(ValueError, match=message) as error:
        train(dataclasses.replace(config, **changes), tmp_path / "new", verbose=0)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"freeze": "conv5"}, "must come with `from_weights`.* Received: freeze='conv5'"),
        ({"transfer_rate": 0.1}, "must come with `from_weights`.* transfer_rate=0.1"),
        ({"from_weights": "x", "freeze": "fc8"}, "`freeze` must be one of .* freeze='fc8'"),
        (
            {"from_weights": "x", "transfer_rate": -1},
            "`transfer_rate` must be a finite number of at least 0. Received: transfer_rate=-1",
        ),
    ],
)
def test_bad_configuration(arguments, message):
    with pytest.raises(ValueError, match=message):
        TrainingConfig(**arguments)


def arguments_of(config):
    names = ("data", "image_size", "width", "epochs", "schedule", "normalization", "batch_size")
    names += ("from_weights", "freeze", "transfer_rate", "seed", "dropout")
    return [f"--{name.replace('_', '-')}={getattr(config, name)}" for name in names]


def test_command_line(config, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(os.path.dirname(config.from_weights))
    config = dataclasses.replace(config, from_weights="old", freeze="conv5", transfer_rate=0.1)
    assert main(["train", *arguments_of(config), "--out", str(tmp_path / "run")]) == 0
    saved = json.loads((tmp_path / "run" / "config.json").read_text())["config"]
    assert (saved["freeze"], saved["transfer_rate"]) == ("conv5", 0.1)
    assert saved["from_weights"] == os.path.abspath("old")
    capsys.readouterr()
    assert main(["train", "--freeze", "conv5", "--out", str(tmp_path / "none")]) == 1
    assert re.search("error: .*must come with `from_weights`", capsys.readouterr().err)


def test_replicas_agree_with_one_device(config, old, tmp_path):
    """The old layers frozen in part: a step of the others is the same, on two replicas."""
    config = dataclasses.replace(config, freeze="conv5", transfer_rate=0.25, dropout=0.0)
    one = last(train(config, tmp_path / "one", verbose=0))
    two = last(train(config, tmp_path / "two", devices=Devices("mirrored", 2), verbose=0))
    before = by_layer(old.model)
    for name, weights in one.items():
        if name in ("fc6", "fc7", "fc8"):
            for ours, theirs in zip(two[name], weights):
                np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-6)
        else:
            assert same_bits(two[name], before[name])


def test_weights_of_the_package(data, tmp_path):
    config = TrainingConfig(data=data, from_weights="openclipart", freeze="fc7", epochs=1)
    new, source = train(config, tmp_path / "run", verbose=0), load_run()
    np.testing.assert_array_equal(new.statistics.mean, source.statistics.mean)
    ours, theirs = last(new), by_layer(source.model)
    assert all(same_bits(ours[name], theirs[name]) for name in ours.keys() - {"fc8"})
    assert ours["fc8"][0].shape[1] == 2
    assert load_run(new.folder).config.from_weights == "openclipart"
