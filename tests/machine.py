"""One of several machines: `python machine.py ACTION CONFIG OUT HOSTS RANK KILL`.

Its last line is what it saw, as JSON: the loss after each step, the sum of each picture in its
share of each batch, and a digest of the weights. It kills itself after the step `KILL` (0: never).
"""

import hashlib
import json
import os
import signal
import sys

import keras
import numpy as np
import tensorflow as tf

from alexnet_keras import TrainingConfig, checkpoint, resume, train

action, config, out, hosts, rank, kill = sys.argv[1:]
shares, losses, models = {}, [], []
original_fit, original_end = keras.Model.fit, checkpoint.Checkpoints.on_train_batch_end


def fit(self, x, **arguments):
    def note(step, images, weights):  # an epoch may be read ahead, or twice
        shares[int(step)] = images.sum((1, 2, 3))[weights > 0].tolist()
        return step

    def noting(step, batch):
        weights = batch[2] if len(batch) == 3 else tf.ones_like(batch[1], "float32")
        noted = tf.numpy_function(note, (step, batch[0], weights), tf.int64)
        with tf.control_dependencies([noted]):
            return tf.nest.map_structure(tf.identity, batch)

    models.append(self)
    batches = x.enumerate().map(noting)
    return original_fit(self, batches, **arguments)


def on_train_batch_end(self, batch, logs=None):
    losses.append(float(logs["loss"]))
    original_end(self, batch, logs)
    print("a step", flush=True)
    if len(losses) == int(kill):
        os.kill(os.getpid(), signal.SIGKILL)


keras.Model.fit, checkpoint.Checkpoints.on_train_batch_end = fit, on_train_batch_end
how = {"hosts": hosts.split(","), "rank": int(rank)} if hosts else {}
how |= {"checkpoint_steps": 2, "verbose": 0}
if action == "train":
    run = train(TrainingConfig(**json.loads(config)), out, **how)
else:
    run = resume(out, **how)
assert (run is None) == (rank != "0")
weights = b"".join(np.asarray(x).tobytes() for x in models[0].get_weights())
saw = {
    "losses": losses,
    "shares": [shares[step] for step in range(len(losses))] if action == "train" else [],
    "weights": hashlib.sha256(weights).hexdigest(),
}
print(json.dumps(saw))
