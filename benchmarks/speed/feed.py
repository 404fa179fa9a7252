"""What `train` is fed with, beside the pipeline that it had before: contenders of `pipeline`."""

import functools
import os

from benchmarks.speed.harness import Contender

SIZES = {"openclipart": 128, "imagenette/160px-v2": 142}
"""Side of the crops in pixels, by the data set."""


def _passes(dataset, batches):
    def run():
        for _ in dataset.take(batches):
            pass

    return run


def _opened(data):
    from alexnet_keras.pictures import color_statistics, open_dataset

    dataset = open_dataset(data, os.environ.get("TFDS_DATA_DIR"))
    return dataset, color_statistics(dataset, SIZES[data])


def of_bytes(data, batches, batch_size, in_memory):
    """`byte_batches`, as `train` has them: the squares decoded each time, or kept."""
    from alexnet_keras.pictures import Squares, byte_batches, square_side

    dataset, statistics = _opened(data)
    squares = Squares(dataset, "train", square_side(SIZES[data]))
    squares = squares.in_memory() if in_memory else squares
    options = {"image_size": SIZES[data], "batch_size": batch_size, "seed": 0}
    return _passes(byte_batches(squares, statistics, **options), batches)


def of_floats(data, batches, batch_size):
    """What `train` was fed with before: of each JPEG only the crop is decoded, and the mean and
    the colour noise are subtracted and added on the host, in float32."""
    import tensorflow as tf

    from alexnet_keras.pictures import color_offsets, crop_of_square

    dataset, statistics = _opened(data)
    size = SIZES[data]
    directions = (statistics.components * statistics.deviations).T * 0.1
    count = dataset.sizes["train"]

    def one_picture(place, example):
        key = tf.stack([tf.constant(0, tf.int64), place])
        top, left, flip = tf.unstack(tf.random.stateless_uniform((3,), key))
        image = crop_of_square(example["image"], size, tf.stack([top, left]))
        image = tf.cond(flip < 0.5, lambda: tf.reverse(image, [1]), lambda: image)
        normals = tf.random.stateless_normal((3,), key + tf.constant([1 << 32, 0], tf.int64))
        # By rows: adding along an axis of three numbers is slow.
        color = tf.tile(color_offsets(directions, normals) - statistics.mean, [size])
        rows = tf.reshape(image, (size, 3 * size)) + color
        return tf.reshape(rows, (size, size, 3)), example["label"]

    def one_epoch(epoch):
        shuffled = dataset.shuffled("train", tf.stack([tf.constant(0, tf.int64), epoch]))
        places = tf.data.Dataset.range(epoch * count, (epoch + 1) * count)
        pictures = tf.data.Dataset.zip((places, shuffled))
        return pictures.map(one_picture, num_parallel_calls=os.cpu_count()).batch(batch_size)

    epochs = tf.data.Dataset.range(1 << 30).flat_map(one_epoch)
    return _passes(epochs.prefetch(tf.data.AUTOTUNE), batches)


def contenders(data: str, batches: int, batch_size: int) -> list[Contender]:
    """Of one data set, the package's own first."""
    size = {"data": data, "batches": batches, "batch_size": batch_size}
    contender = functools.partial(Contender, work=batches * batch_size)
    return [
        contender("bytes, squares in memory", of_bytes, {**size, "in_memory": True}),
        contender("bytes, decoded each time", of_bytes, {**size, "in_memory": False}),
        contender("float32, crops decoded (before)", of_floats, size),
    ]
