import numpy as np
import pytest
import tensorflow as tf

from alexnet_keras import Devices, TrainingConfig, resume, train
from alexnet_keras.devices import choose_strategy, replica_count
from alexnet_keras.training import callbacks, checkpoint
from tests.conftest import without_times

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """37 pictures to train on, so that the last batch of 8 has five."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for label, (name, count) in enumerate((("blue", 24), ("red", 22))):
        (folder / name).mkdir()
        for i in range(count):
            image = rng.integers(0, 200, (80, 75, 3))
            image[:, :, 2 * label] += 50
            encoded = tf.io.encode_jpeg(image.astype("uint8")).numpy()
            (folder / name / f"{i}.jpg").write_bytes(encoded)
    return folder


def plain(folder, **arguments):
    """Without dropout and augmentation."""
    defaults = {"data": str(folder), "image_size": 64, "width": 0.05, "epochs": 5}
    defaults |= {"batch_size": 8, "dropout": 0.0, "schedule": "constant"}
    defaults |= {"crop": False, "mirror": False, "color_noise": 0.0}
    return TrainingConfig(**{**defaults, **arguments})


def curve(monkeypatch, action, **arguments):
    """The loss after each step, as the mean over the epoch so far, and the log.

    Between two epochs Keras shows the mean of what the replicas have seen, which is the loss while
    their shares are equal: after the last batch, only the log has it.
    """
    losses, original = [], checkpoint.Checkpoints.on_train_batch_end

    def on_train_batch_end(self, batch, logs=None):
        if batch + 1 < self.steps_per_epoch - (self.step - batch):
            losses.append(logs["loss"])
        original(self, batch, logs)

    monkeypatch.setattr(checkpoint.Checkpoints, "on_train_batch_end", on_train_batch_end)
    monkeypatch.setattr(callbacks.SeldomReading, "EVERY", 1)
    run = action(verbose=0, **arguments)
    monkeypatch.undo()
    return losses, run.log()


# The last batch of an epoch holds 5 pictures, or 1: then one replica has none.
@pytest.mark.parametrize("batch_size", [8, 12])
def test_two_replicas_equal_one(batch_size, folder, tmp_path, monkeypatch):
    config = plain(folder, batch_size=batch_size)
    results = {}
    for name, how in {
        "one": {"devices": Devices("none")},
        "two": {"devices": Devices("mirrored", 2)},
    }.items():
        results[name] = curve(monkeypatch, train, config=config, out=tmp_path / name, **how)
    (one, log_of_one), (two, log_of_two) = results["one"], results["two"]
    assert len(one) == 5 * (37 // batch_size) and np.ptp(one) > 0.01
    np.testing.assert_allclose(two, one, rtol=0, atol=1e-5)
    for name in without_times(log_of_one):
        np.testing.assert_allclose(log_of_two[name], log_of_one[name], rtol=0, atol=1e-5)
    assert log_of_one["val_top1"].shape == (5,)


def test_checkpoints_move_between_strategies(folder, tmp_path, monkeypatch):
    config = plain(folder, epochs=2)
    straight, log = curve(
        monkeypatch, train, config=config, out=tmp_path / "straight", devices=Devices("none")
    )
    how = {"one": {"devices": Devices("none")}, "two": {"devices": Devices("mirrored", 2)}}
    for first, second in (("one", "two"), ("two", "one")):
        out = tmp_path / first

        def cut(self, epoch, logs=None):
            raise RuntimeError("cut off")

        monkeypatch.setattr(checkpoint.Checkpoints, "on_epoch_end", cut)
        with pytest.raises(RuntimeError, match="cut off"):
            train(config, out, checkpoint_steps=3, verbose=0, **how[first])
        monkeypatch.undo()
        rest, other_log = curve(monkeypatch, resume, folder=out, **how[second])
        assert len(rest) == len(straight) - 3
        np.testing.assert_allclose(rest, straight[3:], rtol=0, atol=1e-5)
        np.testing.assert_allclose(other_log["loss"], log["loss"], rtol=0, atol=1e-5)


def test_strategies(monkeypatch):
    assert choose_strategy(Devices("none")) is None and choose_strategy(Devices()) is None
    both = choose_strategy(Devices("mirrored"))
    assert replica_count(both) == 2
    assert isinstance(both.extended._cross_device_ops, tf.distribute.ReductionToOneDevice)
    for arguments, message in (
        ({"strategy": "ring"}, "`strategy` must be one of .* Received: strategy='ring'"),
        ({"replicas": 0}, "`replicas` must be an integer of at least 1. Received: replicas=0"),
        (
            {"strategy": "none", "replicas": 2},
            "`replicas` must be 1 with strategy 'none'. Received: 2",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            Devices(**arguments)
    with pytest.raises(RuntimeError, match="into 3 before TensorFlow starts"):
        choose_strategy(Devices("mirrored", 3))
