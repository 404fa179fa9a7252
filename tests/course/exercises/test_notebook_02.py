import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from alexnet_keras import AlexNet
from alexnet_keras.course import verdict

LAYERS = keras.layers


@pytest.mark.parametrize("answer", [math.log(1000), 6.9, np.float64(6.908)])
def test_loss_on_imagenet(answer):
    assert verdict("02.1", answer) is None


@pytest.mark.parametrize(
    "answer, hint",
    [(math.log2(1000), "nats"), (0.001, "probability"), (-6.9, "-ln"), (1000, "-ln")],
)
def test_wrong_loss_on_imagenet(answer, hint):
    assert hint in verdict("02.1", answer)


def test_steps():
    assert verdict("02.2", 8 * 148, iterations=1184) is None
    assert "smaller" in verdict("02.2", 8 * 9469 / 64, iterations=1184)
    assert "smaller" in verdict("02.2", 8 * 147, iterations=1184)
    for answer in (148, 8, 8 * 9469, -1):
        assert "one step for each batch" in verdict("02.2", answer, iterations=1184)


def pipeline(size=(48, 48), crop=True, scale=1 / 255, batch=32, **options):
    resize = LAYERS.Resizing(*size, crop_to_aspect_ratio=crop)

    def answer(dataset):
        dataset = dataset.map(lambda image, label: (resize(image) * scale, label))
        if options.get("shuffle"):
            dataset = dataset.shuffle(40, seed=0)
        return dataset.batch(batch, drop_remainder=options.get("drop", False)) if batch else dataset

    return answer


def test_pipeline():
    assert verdict("02.3", pipeline()) is None

    def by_hand(dataset):
        def square(image, label):
            side = tf.reduce_min(tf.shape(image)[:2])
            image = tf.image.resize_with_crop_or_pad(image, side, side)
            return tf.image.resize(image, (48, 48)) / 255, label

        return dataset.map(square).batch(32).prefetch(1)

    assert verdict("02.3", by_hand) is None


@pytest.mark.parametrize(
    "answer, hint",
    [
        (pipeline(batch=None), ".batch(32)"),
        (pipeline(size=(64, 64)), "(64, 64, 3)"),
        (pipeline(batch=16), "remaining 8"),
        (pipeline(drop=True), "remaining 8"),
        (pipeline(shuffle=True), "order"),
        (pipeline(scale=1), "between 0 and 1"),
        (pipeline(scale=1 / 255**2), "dark"),
        (pipeline(crop=False), "squeeze"),
        (lambda dataset: dataset, ".batch(32)"),
        (lambda dataset: pipeline()(dataset).map(lambda image, label: image), "pair"),
        (pipeline()(tf.data.Dataset.from_tensors((tf.zeros((9, 9, 3)), 0))), "stop"),
    ],
)
def test_wrong_pipeline(answer, hint):
    assert hint in verdict("02.3", answer)


class BatchLosses(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.losses = []

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(logs["loss"])


class EpochLosses(BatchLosses):
    def on_train_batch_end(self, batch, logs=None):
        pass

    def on_epoch_end(self, epoch, logs=None):
        self.losses.append(logs["loss"])


class LastEpoch(BatchLosses):
    def on_epoch_begin(self, epoch, logs=None):
        self.losses = []


class BatchNumbers(BatchLosses):
    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(batch)


def test_callback():
    assert verdict("02.4", BatchLosses) is None


@pytest.mark.parametrize(
    "answer, hint",
    [
        (BatchLosses(), "without calling"),
        (list, "derived from"),
        (keras.callbacks.Callback, "`losses`"),
        (EpochLosses, "each batch"),
        (LastEpoch, "5 losses"),
        (BatchNumbers, 'logs["loss"]'),
    ],
)
def test_wrong_callback(answer, hint):
    assert hint in verdict("02.4", answer)


@pytest.fixture(scope="module")
def bright_or_dark():
    """Ten classes of one brightness each; the first is the commonest."""
    labels = np.array([0] * 20 + list(range(10)) * 4)
    images = np.ones((60, 12, 12, 3), "float32") * labels[:, None, None, None] * 25
    return tf.data.Dataset.from_tensor_slices((images, labels)).batch(16)


def network(units, convolution=True):
    keras.utils.set_random_seed(0)
    layers = [keras.Input((12, 12, 3)), LAYERS.Rescaling(1 / 255)]
    if convolution:
        layers.append(LAYERS.Conv2D(8, 3, activation="relu"))
    end = LAYERS.Dense(units, "softmax", kernel_initializer="zeros")  # always says class 0
    return keras.Sequential([*layers, LAYERS.GlobalAveragePooling2D(), end])


def test_network_of_ones_own(bright_or_dark):
    context = {"validation": bright_or_dark, "commonest": 24 / 60}
    model = network(10)
    assert "commonest class" in verdict("02.5", model, **context)
    model.compile(keras.optimizers.Adam(0.05), "sparse_categorical_crossentropy")
    model.fit(bright_or_dark.repeat(40), verbose=0)
    assert verdict("02.5", model, **context) is None
    assert "no `keras.layers.Conv2D`" in verdict("02.5", network(10, False), **context)
    assert "ten classes" in verdict("02.5", network(2), **context)
    assert "AlexNet again" in verdict("02.5", AlexNet(classes=10, width=0.05), **context)
    assert "hand over" in verdict("02.5", model.get_weights(), **context)
