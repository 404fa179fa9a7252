import keras
import numpy as np
import pytest

from alexnet_keras.course import verdict


@pytest.mark.parametrize("right", [(56, 55), [56, 55], (np.int64(56), 55.0)])
def test_1_accepts(right):
    assert verdict("05.1", right) is None


@pytest.mark.parametrize("wrong", [(55, 55), (56, 56), (55, 56), (56, 54.5)])
def test_1_rejects(wrong):
    assert verdict("05.1", wrong)


class Pooling(keras.layers.Layer):
    def __init__(self, axes=(2, 4), batch=None):
        super().__init__()
        self.axes, self.batch = axes, batch

    def call(self, maps):
        batch, height, width, channels = maps.shape
        first = keras.ops.shape(maps)[0] if self.batch is None else batch
        windows = (first, height // 2, 2, width // 2, 2, channels)
        return keras.ops.max(keras.ops.reshape(maps, windows), axis=self.axes)


class Slices(keras.layers.Layer):
    def call(self, maps):
        corners = [maps[:, i::2, j::2] for i in (0, 1) for j in (0, 1)]
        return keras.ops.max(keras.ops.stack(corners), axis=0)


class Corner(keras.layers.Layer):
    def call(self, maps):
        return maps[:, ::2, ::2]


class Same(keras.layers.Layer):
    def call(self, maps):
        return maps


@pytest.mark.parametrize("right", [Pooling(), Slices()])
def test_2_accepts(right):
    assert verdict("05.2", right) is None


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (keras.layers.MaxPooling2D(2), "Keras's own"),
        (Pooling, "not its class"),
        (lambda maps: maps[:, ::2, ::2], "not a function"),
        (Corner(), "values are not"),
        (Same(), "must become"),
        (Pooling(batch="known"), "stop"),
    ],
)
def test_2_rejects(wrong, hint):
    assert hint in verdict("05.2", wrong)


@pytest.mark.parametrize("wrong", [(6, 2), (9, 2), (5, 1), (3, 2)])
def test_3(wrong):
    assert verdict("05.3", (5, 2)) is None
    assert verdict("05.3", wrong)


@pytest.mark.parametrize(
    "right", [np.full((3, 3, 1, 1), 1 / 9), [[[[1 / 9]]] * 3] * 3, np.ones((3, 3, 1, 1)) / 9]
)
def test_4_accepts(right):
    assert verdict("05.4", right) is None


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (np.full((3, 3), 1 / 9), "shape"),
        (np.ones((3, 3, 1, 1)), "sums"),
        (np.full((3, 3, 1, 1), 1 / 3), "add up to 1"),
        (np.eye(3)[:, :, None, None] / 3, "add up to 1"),
    ],
)
def test_4_rejects(wrong, hint):
    assert hint in verdict("05.4", wrong)


def network(*reducing):
    model = keras.Sequential([keras.Input((13, 13, 3))])
    for number, layer in enumerate(reducing, 1):
        model.add(keras.layers.Conv2D(4, 3, padding="same", name=f"conv{number}"))
        model.add(layer)
    model.add(keras.layers.GlobalAveragePooling2D())
    model.add(keras.layers.Dense(2, activation="softmax"))
    return model


def convolution(name, **arguments):
    return keras.layers.Conv2D(4, 3, strides=2, activation="relu", name=name, **arguments)


def trained(model):
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(np.ones((4, 13, 13, 3)), np.array([0, 1, 0, 1]), verbose=0)
    return model


@pytest.fixture(scope="module")
def original():
    return network(*(keras.layers.MaxPooling2D(3, strides=2, name=f"pool{n}") for n in (1, 2)))


def test_5_accepts(original):
    right = trained(network(convolution("pool1"), convolution("pool2")))
    assert verdict("05.5", right, original=original) is None


def test_5_rejects(original):
    first, second = convolution("pool1"), convolution("pool2")
    untrained = network(first, second)
    assert "compile" in verdict("05.5", untrained, original=original)
    untrained.compile("sgd", "sparse_categorical_crossentropy")
    assert "fit" in verdict("05.5", untrained, original=original)
    for hint, layers in {
        "still a pooling": (convolution("pool1"), keras.layers.MaxPooling2D(3, strides=2)),
        "pool2": (convolution("pool1"), convolution("other")),
        "must be (6, 6, 4)": (convolution("pool1", padding="same"), convolution("pool2")),
        "Conv2D": (
            keras.layers.SeparableConv2D(4, 3, strides=2, name="pool1"),
            convolution("pool2"),
        ),
    }.items():
        assert hint in verdict("05.5", network(*layers), original=original)
