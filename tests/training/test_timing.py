import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from alexnet_keras.training.timing import COLUMNS, EpochSeconds, with_columns_of_time


def slow(x, seconds):
    """The same, after some time."""

    def wait(x):
        time.sleep(seconds)
        return x

    y = tf.numpy_function(wait, [x], x.dtype)
    return tf.ensure_shape(y, x.shape)


class Sleep(keras.callbacks.Callback):
    """Another callback that takes its time in each step and in each epoch's validation."""

    def on_train_batch_end(self, batch, logs=None):
        time.sleep(0.02)

    def on_test_batch_end(self, batch, logs=None):
        time.sleep(0.05)


def log_of(wait):
    """Two epochs of five batches that are ready after some time, and five callbacks of 0.02 s."""
    written = iter([0.0, 0.0, 0.25, 1.5, 1.5, 2.0])
    seconds = EpochSeconds(lambda: next(written))
    x = np.ones((10, 1), "float32")
    data = tf.data.Dataset.from_tensor_slices((x, x)).batch(1).repeat()
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model.fit(
        seconds.watched(data.map(lambda x, y: (slow(x, wait), y)) if wait else data),
        steps_per_epoch=5,
        epochs=2,
        validation_data=(x[:1], x[:1]),
        callbacks=[seconds, Sleep(), seconds.at_the_end()],
        verbose=0,
    ).history


@pytest.mark.portable
def test_seconds_go_where_they_were_spent():
    late, ready = log_of(0.2), log_of(0)
    # TensorFlow fetches ahead, also during validation: not all five are waited for.
    assert late["seconds_data"][1] > 0.3 > ready["seconds_data"][1]
    for log in (late, ready):
        assert log["seconds_steps"][1] > 0.1 and log["seconds_validation"][1] > 0.05
        assert log["seconds_writing"] == [0.25, 1.75]
        assert np.isnan(log["images_per_second"]).all()  # which another callback adds


def test_older_logs_are_given_the_columns():
    old = "epoch,learning_rate,loss,top1\r\n0,0.01,2.25,0.125\r\n1,0.01,2.0,0.5\r\n"
    new = with_columns_of_time(old)
    rows = np.genfromtxt(new.splitlines(), delimiter=",", names=True)
    assert rows.dtype.names == ("epoch", *sorted({"learning_rate", "loss", "top1", *COLUMNS}))
    assert rows["top1"].tolist() == [0.125, 0.5] and np.isnan(rows["seconds_data"]).all()
    assert with_columns_of_time(new) == new and with_columns_of_time("") == ""
