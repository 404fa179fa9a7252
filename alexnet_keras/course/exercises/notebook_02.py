"""Checks of notebook 02; see `check`."""

import math

import keras
import numpy as np
import tensorflow as tf


def exercise_1(answer):
    if math.isclose(answer, math.log(1000), rel_tol=0.01):
        return None
    if math.isclose(answer, math.log2(1000), rel_tol=0.01):
        return "the cross-entropy is in nats here, so take the natural logarithm"
    if math.isclose(answer, 1 / 1000):
        return "that is the probability of each class; which loss does it give?"
    return "each class gets the same probability; what is -ln of it?"


def exercise_2(answer, *, iterations):
    if int(answer) == answer == iterations:
        return None
    if iterations and abs(answer - iterations) <= iterations * 0.02:
        return "nearly; the last batch of an epoch may be smaller, and is a step all the same"
    return "there is one step for each batch; how many batches has an epoch, and how many were run?"


def exercise_3(answer):
    batches = list(answer(_pictures_of_many_sizes()))
    if not all(isinstance(batch, tuple) and len(batch) == 2 for batch in batches):
        return "each batch must be a pair of images and labels"
    shapes = [tuple(images.shape) for images, _ in batches]
    if any(len(shape) != 4 for shape in shapes):
        return f"the first batch has shape {shapes[0]}; group the pictures with `.batch(32)`"
    if shapes[0][1:] != (48, 48, 3):
        return f"the pictures of a batch are {shapes[0][1:]} and not (48, 48, 3)"
    if [shape[0] for shape in shapes] != [32, 8]:
        sizes = [shape[0] for shape in shapes]
        return f"40 pictures must give a batch of 32 and one of the remaining 8, not {sizes}"
    labels = np.concatenate([labels for _, labels in batches])
    if not (labels == np.arange(40)).all():
        return "pictures that are evaluated on keep their order; there is no need to shuffle"
    images = np.concatenate([images for images, _ in batches]).astype("float32")
    if images.min() < 0 or images.max() > 1.001:
        return f"the pixels run up to {images.max():.0f}; they were to lie between 0 and 1"
    if images.max() < 0.5:
        return "the pixels are much too dark; were they divided twice?"
    if np.abs(images[:, 24, [0, -1], 0] - 0.8).max() > 0.1:
        return "the shape of the pictures has changed; cut off the longer side, do not squeeze it"
    return None


def _pictures_of_many_sizes():
    """Forty pictures, wide ones and high ones: bright in the central square, black beside it."""

    def pictures():
        for number in range(40):
            short, extra = 60 + number, 40
            image = np.zeros((short, short + 2 * extra, 3), "uint8")
            image[:, extra : extra + short] = 204
            yield (image if number % 2 else image.swapaxes(0, 1)), number

    kinds = tf.TensorSpec((None, None, 3), tf.uint8), tf.TensorSpec((), tf.int64)
    return tf.data.Dataset.from_generator(pictures, output_signature=kinds)


def exercise_4(answer):
    if isinstance(answer, keras.callbacks.Callback):
        return "hand over the class itself, without calling it"
    if not (isinstance(answer, type) and issubclass(answer, keras.callbacks.Callback)):
        return "the answer must be a class derived from `keras.callbacks.Callback`"
    callback, judge = answer(), _Losses()
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(20, 3)), generator.normal(size=(20, 1))
    model.fit(x, y, batch_size=4, epochs=2, verbose=0, callbacks=[callback, judge])
    losses = getattr(callback, "losses", None)
    if losses is None:
        return "the callback must keep its losses in a list called `losses`"
    if len(losses) == 2:
        return "there is one loss for each epoch; one for each batch was asked for"
    if len(losses) != 10:
        return f"after 2 epochs of 5 batches the list holds {len(losses)} losses and not 10"
    if not np.allclose(np.array(losses, float), judge.losses):
        return 'the numbers are not those of `logs["loss"]`'
    return None


class _Losses(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.losses = []

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(float(logs["loss"]))


def exercise_5(answer, *, validation, commonest):
    if not isinstance(answer, keras.Model):
        return "hand over the trained `keras.Model` or `keras.Sequential`"
    if any(type(layer).__name__ == "GroupedConv2D" for layer in answer.layers):
        return "that is AlexNet again; build a network of Keras's own layers"
    convolutions = [each for each in answer.layers if isinstance(each, keras.layers.Conv2D)]
    if not convolutions:
        return "there is no `keras.layers.Conv2D` in it"
    labels = np.concatenate([labels for _, labels in validation])
    scores = answer.predict(validation.map(lambda images, labels: images), verbose=0)
    if scores.shape != (len(labels), 10):
        return f"its output has shape {scores.shape}; there are ten classes"
    right = (scores.argmax(axis=1) == labels).mean()
    if right <= commonest:
        return (
            f"it is right on {right:.0%} of the validation pictures, where naming the commonest "
            f"class is on {commonest:.0%}; see that the loss falls, and train longer or change the "
            "learning rate if it does not"
        )
    return None
