"""AlexNet for Keras 3: the network of 2012, its pipeline and its recipe."""

import importlib
import sys
from pathlib import Path

__version__ = "0.1.0"

_NAMES = {
    "alexnet_keras.layers": (
        "AdaptiveAveragePooling2D",
        "GroupedConv2D",
        "LocalResponseNormalization",
        "WithinMapNormalization",
    ),
    "alexnet_keras.configuration": ("VARIANTS", "Augmentation", "TrainingConfig"),
    "alexnet_keras.model": (
        "AlexNet",
        "decode_predictions",
        "layer_costs",
        "preprocess_input",
    ),
    "alexnet_keras.descendants": ("VGG", "GoogLeNet", "ResNet"),
    "alexnet_keras.diagrams": (
        "draw_chains",
        "draw_inception",
        "draw_residual_blocks",
        "draw_resnets",
    ),
    "alexnet_keras.weights": ("PUBLISHED_MEANS", "load_weights"),
    "alexnet_keras.datasets": ("ImageDataset", "open_dataset"),
    "alexnet_keras.augmentation": ("ColorStatistics", "color_statistics", "ten_views"),
    "alexnet_keras.optimizers": ("MomentumSGD",),
    "alexnet_keras.preparation": ("prepare",),
    "alexnet_keras.columns": ("TwoColumns", "communication"),
    "alexnet_keras.distribution": ("split_cpu",),
    "alexnet_keras.training": ("Run", "load_run", "resume", "train"),
    "alexnet_keras.evaluation": ("Evaluation", "evaluate", "predict", "wilson_interval"),
    "alexnet_keras.inspection": (
        "dead_units",
        "embedding",
        "feature_maps",
        "features",
        "first_filters",
        "grad_cam",
        "integrated_gradients",
        "nearest_neighbors",
        "occlusion_map",
        "receptive_field",
        "strongest_patches",
    ),
    "alexnet_keras.ablations": ("ablate",),
    "alexnet_keras.export": ("export_model", "open_exported"),
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names}
__all__ = ["__version__", *sorted(_MODULE_OF)]


# Importing these registers them with Keras, so that `keras.models.load_model` knows them. That
# takes seconds, which the command line puts off until it has read its arguments.
_by_module = sys.argv[0] == "-m" and "alexnet_keras" in sys.orig_argv
if not _by_module and Path(sys.argv[0]).stem != "alexnet-keras":
    importlib.import_module("alexnet_keras.layers")
    importlib.import_module("alexnet_keras.optimizers")


def __getattr__(name):
    # The rest, TensorFlow's data pipeline and matplotlib among it, is imported when it is used.
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULE_OF[name]), name)


def __dir__():
    return __all__
