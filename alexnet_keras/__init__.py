"""AlexNet for Keras 3: the network of 2012, its pipeline and its recipe."""

import importlib

import wrapt

from alexnet_keras.common import __version__

_NAMES = {
    "alexnet_keras.alexnet": ("AlexNet", "decode_predictions", "preprocess_input"),
    "alexnet_keras.variants": ("VARIANTS",),
    "alexnet_keras.costs": ("layer_costs",),
    "alexnet_keras.layers": (
        "GroupedConv2D",
        "LocalResponseNormalization",
        "PCAColorNoise",
        "WithinMapNormalization",
    ),
    "alexnet_keras.optimizers": ("MomentumSGD",),
    "alexnet_keras.configuration": ("Augmentation", "Devices", "TrainingConfig"),
    "alexnet_keras.weights": ("PUBLISHED_MEANS", "load_weights"),
    "alexnet_keras.pictures": (
        "ColorStatistics",
        "color_statistics",
        "open_dataset",
        "ten_views",
        "write_records",
    ),
    "alexnet_keras.descendants": ("VGG", "GoogLeNet", "ResNet"),
    "alexnet_keras.devices": ("TwoColumns", "split_cpu"),
    "alexnet_keras.training": ("Run", "build_model", "load_run", "resume", "train"),
    "alexnet_keras.evaluation": ("evaluate", "predict"),
    "alexnet_keras.exchange": ("export_model",),
    "alexnet_keras.experiments": ("ablate",),
}
_ROOM_OF = {name: room for room, names in _NAMES.items() for name in names}
_ROOMS = {room.rpartition(".")[2] for room in _NAMES} | {
    "cli",
    "common",
    "course",
    "figures",
    "inspection",
    "metrics",
}
__all__ = ["__version__", *sorted(_ROOM_OF)]


@wrapt.when_imported("keras")
def _register(keras):
    """Makes our classes known to Keras as soon as it is there, for `keras.saving.load_model`."""
    for name in ("layers", "optimizers", "metrics"):
        importlib.import_module(f"alexnet_keras.{name}")


def __getattr__(name):
    # Imported when it is used: the command line answers --help before TensorFlow is there.
    if name in _ROOMS:
        return importlib.import_module(f"alexnet_keras.{name}")
    if name in _ROOM_OF:
        return getattr(importlib.import_module(_ROOM_OF[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*__all__, *_ROOMS})
