import threading
import time

import keras
import numpy as np
import pytest

from alexnet_keras.training.writing import BackgroundWriter, Interval, ModelFiles, host_copy


def small_model():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3), keras.layers.Dropout(0.5)])
    model.compile(keras.optimizers.SGD(momentum=0.9), "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def fit(model):
    x = np.random.default_rng(0).normal(size=(8, 2))
    model.fit(x, np.ones((8, 3)), verbose=0)


@pytest.mark.portable
def test_model_is_written_as_it_was_when_it_was_copied(tmp_path):
    model = small_model()
    fit(model)
    copy, weights = host_copy(model), model.get_weights()
    momentum = [np.array(x) for x in map(keras.ops.convert_to_numpy, model.optimizer.variables)]
    fit(model)  # the copy is no view of what changes here
    assert any((a != b).any() for a, b in zip(weights, model.get_weights()))
    files, writer = ModelFiles(model), BackgroundWriter()
    writer.start(lambda: files.save(tmp_path / "model.keras", copy))
    writer.wait()
    writer.close()
    again = keras.saving.load_model(tmp_path / "model.keras")
    for x, y in zip(weights, again.get_weights(), strict=True):
        np.testing.assert_array_equal(x, y)
    for x, y in zip(momentum, again.optimizer.variables, strict=True):
        np.testing.assert_array_equal(x, keras.ops.convert_to_numpy(y))


def test_one_job_at_a_time_and_its_error_is_raised():
    writer, go_on, done = BackgroundWriter(), threading.Event(), []

    def job():
        assert go_on.wait(10)
        done.append(threading.current_thread() is threading.main_thread())
        raise OSError("No space left on device")

    writer.start(job)
    assert writer.busy and not writer.idle_for(0)
    writer.check()  # nothing is known yet
    go_on.set()
    with pytest.raises(OSError, match="No space left"):
        writer.start(lambda: done.append("never"))
    assert done == [False] and writer.idle_for(0)
    writer.check()  # it is raised once
    writer.close()


def test_interval():
    writer = BackgroundWriter()
    assert not Interval(seconds=60).ended(writer) and not Interval(seconds=60).ended(writer, 1)
    time.sleep(0.01)
    assert Interval(seconds=0.01).ended(writer, 1)
    by_steps = Interval(seconds=0, steps=3)
    assert [by_steps.ended(writer, step) for step in (1, 3, 4, 6, None)] == [0, 1, 0, 1, 1]
    with pytest.raises(ValueError, match="`checkpoint_seconds` must be .* Received: .*=-1"):
        Interval(seconds=-1)
    with pytest.raises(ValueError, match="`checkpoint_steps` must be .* Received: .*=0"):
        Interval(steps=0)
    writer.close()
