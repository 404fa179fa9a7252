import keras
import numpy as np
import pytest
from keras import ops

from alexnet_keras import ten_views
from alexnet_keras.course import verdict


def test_opposite_corners():
    assert verdict("06.1", ((227 - 29) / 227) ** 2) is None
    assert verdict("06.1", 0.761) is None
    for answer, hint in (
        (76.1, "per cent"),
        (198 / 227, "two"),
        (0.87**4, "shifted"),
        (1, "shift"),
    ):
        assert hint in verdict("06.1", answer)


def test_different_crops():
    rng = np.random.default_rng(0)
    simulated = np.mean([len(np.unique(rng.integers(1800, size=90))) for _ in range(20_000)])
    assert verdict("06.2", simulated) is None
    for answer, hint in ((90, "twice"), (1800, "never drawn"), (87, "never drawn")):
        assert hint in verdict("06.2", answer)


def test_how_often_strong():
    moved = np.random.default_rng(0).normal(0, 0.1, 400_000) * 70
    right = (np.abs(moved) > 10).mean()
    assert verdict("06.3", right, deviation=70.0) is None
    assert "both" in verdict("06.3", right / 2, deviation=70.0)
    stronger = np.random.default_rng(0).normal(0, 70, 400_000)
    assert "a tenth" in verdict("06.3", (np.abs(stronger) > 10).mean(), deviation=70.0)
    assert "0.1 *" in verdict("06.3", 1 - right, deviation=70.0)


class Cutout(keras.layers.Layer):
    always, last, value, rows = False, 1, 0.0, 0

    def __init__(self, size, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.size = size
        self.generator = keras.random.SeedGenerator(seed)

    def place(self, side):
        return keras.random.randint((), 0, side - self.size + self.last, seed=self.generator)

    def call(self, images, training=True):
        if not (training or self.always):
            return images
        inside = []
        for side, more in zip(images.shape[-3:-1], (self.rows, 0)):
            start, places = self.place(side), ops.arange(side)
            inside.append((places >= start) & (places < start + self.size + more))
        inside = inside[0][:, None, None] & inside[1][:, None]
        return ops.where(inside, ops.ones_like(images) * self.value, images)


class Fixed(Cutout):
    def place(self, side):
        return 3


class Scaled(Cutout):
    def call(self, images, training=True):
        return super().call(images, training) * (0.5 if training else 1.0)


def changed(**attributes):
    return type("Changed", (Cutout,), attributes)


def test_layer():
    assert verdict("06.4", Cutout) is None


@pytest.mark.parametrize(
    "answer, hint",
    [
        (Cutout(5), "without calling"),
        (np.ndarray, "derived from"),
        (changed(always=True), "training=False"),
        (changed(rows=1), "25 pixels"),
        (changed(value=0.5), "outside of the square"),
        (changed(last=-3), "edge"),
        (Fixed, "same place"),
        (Scaled, "outside of the square"),
        (keras.layers.Layer, "stop"),
    ],
)
def test_wrong_layer(answer, hint):
    assert hint in verdict("06.4", answer)


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((64, 64, 3)),
            keras.layers.Conv2D(4, 11, strides=8),
            keras.layers.Flatten(),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )


def of_views(network, join):
    square = keras.Input((72, 72, 3))
    views = ops.reshape(ten_views(square, 64), (-1, 64, 64, 3))
    return keras.Model(square, join(ops.reshape(network(views), (-1, 10, 10))))


def test_ten_views_in_a_model(network):
    assert verdict("06.5", of_views(network, lambda p: ops.mean(p, 1)), network=network) is None
    wrong = {
        "a tenth": lambda p: ops.sum(p, 1),
        "one view": lambda p: p[:, 4],
        "compare": lambda p: ops.mean(p, 2),
        "must be (3, 10)": lambda p: p,
    }
    for hint, join in wrong.items():
        assert hint in verdict("06.5", of_views(network, join), network=network)
    assert "(None, 72, 72, 3)" in verdict("06.5", network, network=network)
    assert "must be a `keras.Model`" in verdict("06.5", network.predict, network=network)
