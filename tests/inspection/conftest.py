import keras
import numpy as np
import pytest
import tensorflow as tf

from alexnet_keras import AlexNet
from alexnet_keras.pictures import ColorStatistics, ImageDataset, evaluation_transform

SIZE = 67
STATISTICS = ColorStatistics(np.array([100, 110, 120], "float32"), np.ones(3), np.eye(3))
NAMES = ("cat", "dog", "cow", "hen")


def small(**arguments):
    keras.utils.set_random_seed(0)
    return AlexNet(
        **{
            "input_shape": (SIZE, SIZE, 3),
            "classes": 4,
            "width": 0.05,
            "initialization": "he",
            **arguments,
        }
    )


def generated(sizes, names=NAMES):
    """Pictures made while they are read: each other colours in each of its parts."""

    def example(i):
        seed = tf.stack([i, 1])
        pixels = tf.random.stateless_uniform((5, 5, 3), seed, 0, 255, tf.int32)
        picture = tf.repeat(tf.repeat(tf.cast(pixels, tf.uint8), 16, axis=0), 16, axis=1)
        label = tf.random.stateless_uniform((), seed, 0, len(names), tf.int64)
        return {"image": tf.io.encode_png(picture), "label": label, "id": tf.strings.as_string(i)}

    def source(split):  # those of the validation split are others
        first = 0 if split == "train" else 1_000_000
        return tf.data.Dataset.range(first, first + sizes[split]).map(example)

    return ImageDataset("generated", names, dict(sizes), source)


@pytest.fixture(scope="session")
def data():
    return generated({"train": 30, "validation": 11})


@pytest.fixture(scope="session")
def model():
    return small()


def inputs_of(data, split, size=SIZE):
    """All the pictures of a split as the network takes them."""
    prepare = evaluation_transform(STATISTICS, image_size=size)
    examples = list(data.decoded(split).as_numpy_iterator())
    images = np.stack([prepare(example["image"]).numpy() for example in examples])
    return images, np.array([example["label"] for example in examples])


def values_of(model, layer, images):
    return np.asarray(keras.Model(model.input, model.get_layer(layer).output)(images))


@pytest.fixture(scope="session")
def image(data):
    return inputs_of(data, "validation")[0][0]


def picture_of(image):
    return image + STATISTICS.mean
