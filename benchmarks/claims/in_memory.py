"""Many epochs on few pictures in plain Keras: all pictures lie in the device's memory.

`fit` hands over the numbers of pictures; the first layer looks them up, crops, mirrors and tints
them. So nothing is decoded or copied between two steps, and a GPU is as busy as the network keeps
it.
"""

import math

import keras
import numpy as np
import tensorflow as tf

from alexnet_keras import MomentumSGD, PCAColorNoise, open_dataset
from alexnet_keras.pictures import central_square


def squares(data: str, data_dir: str | None, side: int, limits: dict[str, int | None]):
    """The central squares of pictures, and their labels.

    Args:
        data, data_dir: as for `open_dataset`.
        side: of the squares, in pixels.
        limits: how many of a split are taken, the first ones; `None` for all.

    Returns:
        A pair for each split of `limits`: uint8 `(pictures, side, side, 3)` and int32
        `(pictures,)`; and the number of classes.
    """
    dataset = open_dataset(data, data_dir)
    splits = {}
    for split, limit in limits.items():
        examples = dataset.decoded(split).map(
            lambda e: (tf.cast(tf.round(central_square(e["image"], side)), tf.uint8), e["label"]),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        pairs = list(examples.take(limit or -1).as_numpy_iterator())
        images, labels = (np.stack(part) for part in zip(*pairs))
        splits[split] = images, labels.astype("int32")
    return splits, len(dataset.class_names)


class Lookup(keras.layers.Layer):
    """From numbers of pictures to the pictures; crops and mirror images in training.

    Args:
        images: uint8 `(pictures, side, side, 3)`.
        size: side of the crops in pixels; in inference the central one.
        crop, mirror: whether, in training, the place and the side are drawn for each picture.
        seed: of these draws.
    """

    def __init__(self, images, size, crop=True, mirror=True, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.images = tf.Variable(images, trainable=False)
        self.size, self.crop, self.mirror = size, crop, mirror
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, numbers, training=False):
        batch, margin = tf.shape(numbers)[0], self.images.shape[1] - self.size
        place = tf.fill((batch, 2), margin // 2)
        flip = tf.zeros((batch,), tf.bool)
        if training and self.crop:
            place = keras.random.randint((batch, 2), 0, margin + 1, seed=self.generator)
        if training and self.mirror:
            flip = keras.random.uniform((batch,), seed=self.generator) < 0.5
        along = tf.range(self.size)
        rows = place[:, :1] + along
        columns = place[:, 1:] + tf.where(flip[:, None], self.size - 1 - along, along)
        pictures = tf.gather(self.images, numbers)
        pictures = tf.gather(pictures, rows, axis=1, batch_dims=1)
        return tf.gather(pictures, columns, axis=2, batch_dims=1)

    def compute_output_shape(self, input_shape):
        return (*input_shape, self.size, self.size, 3)


def with_pictures(network, images, *, crop, mirror, color_noise, seed):
    """The network behind the layers that make its input of the pictures' numbers.

    Args:
        network: from images less the mean colour of `images` to probabilities.
        images: uint8 `(pictures, side, side, 3)`, those to train on.
        crop, mirror, color_noise: whether.
        seed: of the draws.
    """
    number = keras.Input((), dtype="int32")
    x = Lookup(images, network.input_shape[1], crop, mirror, seed)(number)
    if color_noise:
        noise = PCAColorNoise(seed=seed)
        noise.adapt(images[::8])
        x = noise(x)
    else:
        x = keras.layers.Rescaling(1.0)(x)
    mean = images.mean(axis=(0, 1, 2))
    return keras.Model(number, network(keras.layers.Rescaling(1.0, -mean)(x)))


class Training:
    """A network that is trained again and again, from other weights or at other rates.

    It is compiled once: XLA takes longer than the training.

    Args:
        build: makes the network, with weights at random, from images less the mean of `images`.
        images: uint8 `(pictures, side, side, 3)`.
        labels: int32 `(pictures,)`.
        batch_size, epochs, weight_decay: of the training; momentum is 0.9.
        cosine: whether half a cosine takes the rate to zero, epoch by epoch; else it is constant.
        crop, mirror, color_noise: whether; as for `with_pictures`.
    """

    def __init__(
        self, build, images, labels, *, batch_size, epochs, weight_decay, cosine, **augmentation
    ):
        self.build, self.network, self.labels = build, build(), tf.constant(labels)
        self.batch_size, self.epochs, self.cosine = batch_size, epochs, cosine
        self.model = with_pictures(self.network, images, **augmentation, seed=0)
        on_gpu = bool(tf.config.list_physical_devices("GPU"))
        self.model.compile(
            MomentumSGD(0.01, 0.9, weight_decay),
            "sparse_categorical_crossentropy",
            metrics=["accuracy"],
            jit_compile=on_gpu,
            steps_per_execution=len(labels) // batch_size if on_gpu else 1,
        )

        mean = images.mean(axis=(0, 1, 2))

        @tf.function(jit_compile=on_gpu)
        def probabilities(part):
            return self.network(tf.cast(part, tf.float32) - mean, training=False)

        self.probabilities = probabilities

    def run(self, learning_rate, seed, callbacks=()):
        """Trains from the weights that `seed` draws; returns the `History`."""
        keras.utils.set_random_seed(seed)
        self.network.set_weights(self.build().get_weights())
        for number, variable in enumerate(self.model.variables):
            if variable.name == "seed_generator_state":
                variable.assign([seed, number])
        self.model.optimizer.build(self.model.trainable_variables)
        for variable in self.model.optimizer.variables:
            variable.assign(keras.ops.zeros_like(variable))

        def rate(epoch):
            share = (1 + math.cos(math.pi * epoch / self.epochs)) / 2 if self.cosine else 1
            return learning_rate * share

        count = len(self.labels)
        numbers = tf.data.Dataset.range(count, output_type=tf.int32).shuffle(count, seed=seed)
        batches = numbers.batch(self.batch_size, drop_remainder=True)
        batches = batches.map(lambda batch: (batch, tf.gather(self.labels, batch)))
        return self.model.fit(
            batches.prefetch(8),
            epochs=self.epochs,
            verbose=0,
            shuffle=False,  # it is already
            callbacks=[keras.callbacks.LearningRateScheduler(rate), *callbacks],
        )


class Measured:
    """Loss and answers of a network on the same pictures again and again, all its units at work.

    Args:
        training: whose network it is.
        images: uint8 `(pictures, side, side, 3)`, of which the network sees the centre.
        labels: int32 `(pictures,)`.
        chunk: pictures at once; it divides their number.
    """

    def __init__(self, training, images, labels, chunk):
        size = training.network.input_shape[1]
        start = (images.shape[1] - size) // 2
        self.images = tf.constant(images[:, start : start + size, start : start + size])
        self.labels, self.chunk, self.probabilities = labels, chunk, training.probabilities

    def __call__(self):
        """Mean cross-entropy in nats, and for each picture whether the answer is right."""
        starts = range(0, len(self.labels), self.chunk)
        parts = [self.probabilities(self.images[i : i + self.chunk]) for i in starts]
        probabilities = np.concatenate([part.numpy() for part in parts])
        of_label = np.maximum(probabilities[np.arange(len(self.labels)), self.labels], 1e-7)
        return float(-np.log(of_label).mean()), probabilities.argmax(1) == self.labels


def device_name() -> str:
    """What TensorFlow computes on: the name of the first GPU, or "CPU"."""
    gpus = tf.config.list_physical_devices("GPU")
    details = tf.config.experimental.get_device_details(gpus[0]) if gpus else {}
    return details.get("device_name", "GPU" if gpus else "CPU")
