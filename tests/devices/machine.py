"""One of several machines: `python machine.py ACTION ARGUMENTS KILL`.

ACTION is `train` or `resume`, ARGUMENTS what it is called with, as JSON. The last line is what this
machine saw, as JSON: the loss after each step, the sum of each picture in its share of each batch,
and a digest of the weights. It kills itself after the step KILL (0: never).
"""

import hashlib
import json
import os
import signal
import sys

import keras
import numpy as np
import tensorflow as tf

from alexnet_keras import Devices, TrainingConfig, resume, train
from alexnet_keras.training import callbacks, checkpoint


def digest(model):
    weights = b"".join(np.asarray(x).tobytes() for x in model.get_weights())
    return hashlib.sha256(weights).hexdigest()


def main():
    action, arguments, kill = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3])
    shares, losses, models = {}, [], []
    original_fit, original_end = keras.Model.fit, checkpoint.Checkpoints.on_train_batch_end

    def fit(self, x, **arguments):
        def note(step, images, weights):  # batches are read ahead
            shares[int(step)] = images.sum((1, 2, 3))[weights > 0].tolist()
            return step

        def noting(step, batch):
            weights = batch[2] if len(batch) == 3 else tf.ones_like(batch[1], "float32")
            images, offsets = batch[0]
            pictures = tf.cast(images, tf.float32) + offsets[:, None, None]
            noted = tf.numpy_function(note, (step, pictures, weights), tf.int64)
            with tf.control_dependencies([noted]):
                return tf.nest.map_structure(tf.identity, batch)

        models.append(self)
        return original_fit(self, x.enumerate().map(noting), **arguments)

    def on_train_batch_end(self, batch, logs=None):
        losses.append(float(logs["loss"]))
        original_end(self, batch, logs)
        print("a step", flush=True)
        if len(losses) == kill:
            os.kill(os.getpid(), signal.SIGKILL)

    callbacks.SeldomReading.EVERY = 1
    keras.Model.fit, checkpoint.Checkpoints.on_train_batch_end = fit, on_train_batch_end
    names = {"strategy", "hosts", "rank"} & arguments.keys()
    arguments["devices"] = Devices(**{name: arguments.pop(name) for name in names})
    if action == "train":
        run = train(TrainingConfig(**arguments.pop("config")), **arguments)
    else:
        run = resume(arguments.pop("out"), **arguments)
    saw = {
        "losses": losses,
        "shares": [shares[step] for step in range(len(losses))] if action == "train" else [],
        "weights": digest(models[0]),
        "wrote": run.written_here,
        "best": digest(run.model),
    }
    print(json.dumps(saw))


if __name__ == "__main__":
    main()
