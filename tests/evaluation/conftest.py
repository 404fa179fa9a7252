import keras
import numpy as np
import pytest
import tensorflow as tf

from alexnet_keras.evaluation import evaluate
from alexnet_keras.pictures import (
    ColorStatistics,
    ImageDataset,
    central_square,
    square_side,
    ten_views,
)

SIZE = 64
STATISTICS = ColorStatistics(np.array([100, 110, 120], "float32"), np.ones(3), np.eye(3))


def quick_model(classes, seed=0):
    """Guesses by the colours of sixteen parts of the picture: quick, and not always the same."""
    keras.utils.set_random_seed(seed)
    layers = [
        keras.Input((SIZE, SIZE, 3)),
        keras.layers.AveragePooling2D(16),
        keras.layers.Flatten(),
        keras.layers.Dense(
            classes, "softmax", kernel_initializer=keras.initializers.RandomNormal(0, 0.01)
        ),
    ]
    return keras.Sequential(layers)


def generated(count, classes, parts=16):
    """Pictures made while they are read: each a different colour in each part."""

    def example(i):
        seed = tf.stack([i, 0])
        pixels = tf.random.stateless_uniform((4, 4, 3), seed, 0, 255, tf.int32)
        picture = tf.repeat(tf.repeat(tf.cast(pixels, tf.uint8), 18, axis=0), 18, axis=1)
        return {
            "image": tf.io.encode_png(picture),
            "label": tf.random.stateless_uniform((), seed, 0, classes, tf.int64),
            "id": tf.strings.as_string(i),
        }

    names = tuple(f"class {i}" for i in range(classes))
    source = {"validation": lambda: tf.data.Dataset.range(count).map(example)}
    return ImageDataset("generated", names, {"validation": count}, lambda split: source[split]())


@pytest.fixture(scope="session")
def evaluated():
    """A network of eight classes over sixty pictures: all that it gives, by hand and by ours."""
    model, data = quick_model(8), generated(60, 8)
    squares, labels = [], []
    for example in data.decoded("validation").as_numpy_iterator():
        squares.append(central_square(example["image"], square_side(SIZE)).numpy())
        labels.append(example["label"])
    views = np.stack([ten_views(square, SIZE) for square in squares]) - STATISTICS.mean
    result = evaluate(model, data, STATISTICS, batch_size=7, mistakes=60)
    return model, data, views, np.array(labels), result
