import keras
import numpy as np

from alexnet_keras import AlexNet
from alexnet_keras.course import verdict


def test_1():
    assert verdict("01.1", 663_936) is None
    for wrong, hint in (
        (3 * 3 * 384 * 384 + 384, "two groups"),
        (3 * 3 * 192 * 384, "what else"),
        (192 * 384, "3 x 3"),
        ("663936", "3 x 3"),
    ):
        assert hint in verdict("01.1", wrong)


def layer_with(kernel, padding="same", bias=None):
    kernel = np.asarray(kernel, "float32")
    layer = keras.layers.Conv2D(
        kernel.shape[-1], kernel.shape[:2], padding=padding, use_bias=bias is not None
    )
    layer.build((None, None, None, 3))
    layer.set_weights([kernel] if bias is None else [kernel, np.array([bias])])
    return layer


def kernel_of(left=-1 / 3, middle=1 / 3, shape=(1, 3), place=(0, 0)):
    kernel = np.zeros((*shape, 3, 1))
    kernel[place], kernel[place[0], place[1] + 1] = left, middle
    return kernel


def test_2():
    assert verdict("01.2", layer_with(kernel_of())) is None
    assert verdict("01.2", layer_with(kernel_of(shape=(3, 3), place=(1, 0)), bias=0.0)) is None
    for wrong, hint in (
        (layer_with(kernel_of(1 / 3, -1 / 3)), "sign"),
        (layer_with(kernel_of(-1, 1)), "mean"),
        (layer_with(kernel_of(), padding="valid"), "7 x 9"),
        (layer_with(kernel_of(shape=(1, 3), place=(0, 1))), "at the pixel itself"),
        (layer_with(kernel_of(), bias=1.0), "at the pixel itself"),
        (keras.layers.Conv2D(1, 3, padding="same"), "at the pixel itself"),
        (keras.layers.Conv2D(2, 3, padding="same"), "7 x 9"),
        (keras.layers.Dense(1), "Dense"),
        (kernel_of(), "ndarray"),
    ):
        assert hint in verdict("01.2", wrong)


def test_3():
    assert verdict("01.3", (27, 13, 6, 0)) is None
    assert verdict("01.3", [27, 13, 6, 0]) is None
    for wrong, hint in (
        ((28, 14, 7, 0), "output_size"),
        ((27, 13, 6, -1), "weights"),
        ((27, 13, 6), "four numbers"),
        ((27, 26, 25, 0), "output_size"),
    ):
        assert hint in verdict("01.3", wrong)


def test_4():
    # 13 or 14 before pool5, 27 to 30 before pool2, 55 to 62 before pool1.
    fitting = list(range(11 + 4 * 54, 11 + 4 * 61 + 4))
    assert verdict("01.4", fitting) is None
    assert verdict("01.4", set(fitting)) is None
    for wrong, hint in (
        ([227], "31 more"),
        ([227, 258], "30 more"),
        ([226, *fitting], "226 pixels pool5 is not 6 x 6 but of size 5"),
        ([*fitting, 259], "of size 7"),
        (227, "made the check stop"),
    ):
        assert hint in verdict("01.4", wrong)


def test_5():
    assert verdict("01.5", 195) is None
    for wrong in (227, 11, 163, 196, "195"):
        assert "eight windows" in verdict("01.5", wrong)


def slim(pooled=keras.layers.GlobalAveragePooling2D, hidden=0, activation="softmax", **options):
    base = AlexNet(include_top=False, **options)
    x = pooled()(base.output)
    if hidden:
        x = keras.layers.Dense(hidden, activation="relu")(x)
    return keras.Model(base.input, keras.layers.Dense(1000, activation=activation)(x))


def test_6():
    assert verdict("01.6", slim()) is None
    base = AlexNet(include_top=False, pooling="avg")
    by_argument = keras.layers.Dense(1000, activation="softmax")(base.output)
    assert verdict("01.6", keras.Model(base.input, by_argument)) is None
    for wrong, hint in (
        (slim(keras.layers.Flatten), "Flatten"),
        (slim(hidden=84), "one dense layer"),
        (slim(width=0.5), "stay as they are"),
        (slim(columns=1), "number of parameters"),
        (slim(activation=None), "probabilities"),
        (base, "(None, 1000)"),
        ("a network", "str"),
    ):
        assert hint in verdict("01.6", wrong)
