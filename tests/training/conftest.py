"""Runs that are cut off."""

import shutil
from collections import Counter

import pytest

from alexnet_keras.training import checkpoint, train


def train_and_copy(config, out, places, **how):
    """Trains, and copies what is on the disk at some places: what a run killed there would leave.

    Args:
        config, out: as for `train`.
        places: pairs of `"step"` or `"epoch"` and a number, as `("step", 1)`: after the first step,
            and `("epoch", 2)`: at the end of the second epoch, before
            its models and checkpoint are written.
        how: when checkpoints are written; every two steps if not given.

    Returns:
        The copy of each place, by the pair.
    """
    copies = {place: out.with_name(f"{out.name}-{place[0]}-{place[1]}") for place in places}
    seen = Counter()
    step_end = checkpoint.Checkpoints.on_train_batch_end
    epoch_end = checkpoint.Checkpoints.on_epoch_end

    def copy(self, kind):
        seen[kind] += 1
        self.writer.wait()
        if (kind, seen[kind]) in copies:
            shutil.copytree(out, copies[kind, seen[kind]])

    def on_train_batch_end(self, batch, logs=None):
        step_end(self, batch, logs)
        copy(self, "step")

    def on_epoch_end(self, epoch, logs=None):
        copy(self, "epoch")
        epoch_end(self, epoch, logs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint.Checkpoints, "on_train_batch_end", on_train_batch_end)
        patch.setattr(checkpoint.Checkpoints, "on_epoch_end", on_epoch_end)
        train(config, out, **(how or {"checkpoint_steps": 2}), verbose=0)
    assert all(path.is_dir() for path in copies.values())
    return copies
