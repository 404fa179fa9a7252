"""The paper's recipe: what is trained, how it is kept on the disk, how it goes on after a kill."""

from alexnet_keras.training.callbacks import StuckLoss
from alexnet_keras.training.checkpoint import CHECKPOINT
from alexnet_keras.training.network import build_model, jit_compile
from alexnet_keras.training.recipe import resume, train
from alexnet_keras.training.run import Run, is_packaged, load_run, read_config, versions
from alexnet_keras.training.transfer import freeze, rate_factors

__all__ = [
    "CHECKPOINT",
    "Run",
    "StuckLoss",
    "build_model",
    "freeze",
    "is_packaged",
    "jit_compile",
    "load_run",
    "rate_factors",
    "read_config",
    "resume",
    "train",
    "versions",
]
