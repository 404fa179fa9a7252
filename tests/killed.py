"""Trains, and kills itself at a given place: `python killed.py PLACE NUMBER CONFIG OUT`."""

import json
import os
import signal
import sys

import numpy as np

from alexnet_keras import TrainingConfig, checkpoint, train

place, number, config, out = sys.argv[1:]
left = int(number)


def count_down():
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)


if place == "step":
    original_end = checkpoint.Checkpoints.on_train_batch_end

    def on_train_batch_end(self, batch, logs=None):
        original_end(self, batch, logs)
        count_down()

    checkpoint.Checkpoints.on_train_batch_end = on_train_batch_end
elif place == "write":  # half of the file is on the disk
    original_savez = np.savez

    def savez(file, **arrays):
        if "about" in arrays:
            half = dict(list(arrays.items())[: len(arrays) // 2])
            original_savez(file, **half)
            file.flush()
            count_down()
            file.seek(0)
            file.truncate()
        original_savez(file, **arrays)

    np.savez = savez
elif place == "epoch":  # the models and the log are written, the checkpoint is not

    def on_epoch_end(self, epoch, logs=None):
        count_down()
        original_epoch_end(self, epoch, logs)

    original_epoch_end = checkpoint.Checkpoints.on_epoch_end
    checkpoint.Checkpoints.on_epoch_end = on_epoch_end

train(TrainingConfig(**json.loads(config)), out, checkpoint_steps=2, verbose=0)
