import keras
import numpy as np
import pytest

from alexnet_keras.course import verdict


def test_1():
    assert verdict("00.1", (227 - 11) // 4 + 1) is None
    assert verdict("00.1", (227 - 11) / 4 + 1) is None
    for wrong, hint in ((54, "left edge"), (56, "within"), (227, "within"), ("55", "within")):
        assert hint in verdict("00.1", wrong)


def by_numpy(probabilities, labels):
    best = np.argsort(-probabilities, axis=1)[:, :5]
    return 1 - (best == np.asarray(labels)[:, None]).any(axis=1).mean()


def by_keras(probabilities, labels):
    metric = keras.metrics.SparseTopKCategoricalAccuracy(k=5)
    metric.update_state(labels, probabilities)
    return 1 - metric.result()


def test_2():
    assert verdict("00.2", by_numpy) is None
    assert verdict("00.2", by_keras) is None
    for wrong, hint in (
        (lambda p, y: 1 - by_numpy(p, y), "right ones"),
        (lambda p, y: 100 * by_numpy(p, y), "per cent"),
        (lambda p, y: (p.argmax(1) != y).mean(), "top-1"),
        (lambda p, y: by_numpy(-p, y), "least probable"),
        (lambda p, y: 0.0, "among the five"),
        (lambda p: 0.0, "made the check stop"),
        (0.5, "function"),
    ):
        assert hint in verdict("00.2", wrong)


def lenet(
    side=64,
    maps=(6, 16),
    units=(120, 84),
    pool=keras.layers.MaxPooling2D,
    act="relu",
    last="softmax",
):
    return keras.Sequential(
        [
            keras.Input((side, side, 3)),
            keras.layers.Conv2D(maps[0], 5, activation=act),
            pool(2),
            keras.layers.Conv2D(maps[1], 5, activation=act),
            pool(2),
            keras.layers.Flatten(),
            *(keras.layers.Dense(n, activation=act) for n in units),
            keras.layers.Dense(10, activation=last),
        ]
    )


def compiled(model, loss="sparse_categorical_crossentropy", **options):
    model.compile("adam", loss, **options)
    return model


@pytest.mark.parametrize("metrics", [None, ["accuracy"]])
def test_3(metrics):
    assert verdict("00.3", compiled(lenet(), metrics=metrics)) is None


def test_3_with_layers_for_the_activations():
    image = keras.Input((64, 64, 3))
    x = keras.layers.Rescaling(1 / 255)(image)
    for maps in (6, 16):
        x = keras.layers.ReLU()(keras.layers.Conv2D(maps, 5)(x))
        x = keras.layers.MaxPooling2D()(x)
    x = keras.layers.Flatten()(x)
    for units in (120, 84):
        x = keras.layers.Activation("relu")(keras.layers.Dense(units)(x))
    x = keras.layers.Dense(10, activation="softmax")(x)
    loss = keras.losses.SparseCategoricalCrossentropy()
    assert verdict("00.3", compiled(keras.Model(image, x), loss)) is None


def test_3_wrong():
    for model, hint in (
        (lenet(side=32), "input"),
        (lenet(maps=(16, 6)), "convolutions"),
        (lenet(pool=keras.layers.AveragePooling2D), "max pool"),
        (lenet(units=(84, 120)), "dense layers"),
        (lenet(act="tanh"), "ReLU"),
        (lenet(last="sigmoid"), "ReLU"),
        (lenet(), "compile"),
    ):
        assert hint in verdict("00.3", model)
    assert "check stop" in verdict("00.3", compiled(lenet(), "categorical_crossentropy"))
