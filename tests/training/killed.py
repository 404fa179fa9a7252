"""Trains, and kills itself at a given place: `python killed.py PLACE NUMBER CONFIG OUT`."""

import json
import os
import signal
import sys

import numpy as np

from alexnet_keras import TrainingConfig, train
from alexnet_keras.training import checkpoint


def main(place, number, config, out):
    left = int(number)

    def count_down():
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    step_end, epoch_end = (
        checkpoint.Checkpoints.on_train_batch_end,
        checkpoint.Checkpoints.on_epoch_end,
    )
    original_savez = np.savez

    def on_train_batch_end(self, batch, logs=None):
        step_end(self, batch, logs)
        count_down()

    def on_epoch_end(self, epoch, logs=None):
        count_down()  # the models and the log are written, the checkpoint is not
        epoch_end(self, epoch, logs)

    def savez(file, **arrays):
        if "about" in arrays:
            half = dict(list(arrays.items())[: len(arrays) // 2])
            original_savez(file, **half)
            file.flush()  # half of the file is on the disk
            count_down()
            file.seek(0)
            file.truncate()
        original_savez(file, **arrays)

    if place == "step":
        checkpoint.Checkpoints.on_train_batch_end = on_train_batch_end
    elif place == "epoch":
        checkpoint.Checkpoints.on_epoch_end = on_epoch_end
    elif place == "write":
        np.savez = savez
    train(TrainingConfig(**json.loads(config)), out, checkpoint_steps=2, verbose=0)


if __name__ == "__main__":
    main(*sys.argv[1:])
