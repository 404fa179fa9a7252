"""Trains, and kills itself in the middle of its third checkpoint: `python killed.py CONFIG OUT`."""

import json
import os
import signal
import sys

import numpy as np

from alexnet_keras import TrainingConfig, train


def main(config, out):
    original_savez, checkpoints = np.savez, 0

    def savez(file, **arrays):
        nonlocal checkpoints
        if "about" in arrays:
            checkpoints += 1
            if checkpoints == 3:
                original_savez(file, **dict(list(arrays.items())[: len(arrays) // 2]))
                file.flush()  # half of the file is on the disk
                os.kill(os.getpid(), signal.SIGKILL)
        original_savez(file, **arrays)

    np.savez = savez
    train(TrainingConfig(**json.loads(config)), out, checkpoint_steps=2, verbose=0)


if __name__ == "__main__":
    main(*sys.argv[1:])
