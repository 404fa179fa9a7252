"""Networks for other runtimes: SavedModel, ONNX, LiteRT, and the twin in PyTorch.

`alexnet_keras.exchange.torch_twin` needs torch, and is imported by that name."""

from alexnet_keras.exchange.export import FORMATS, REPRESENTATIVE, TOLERANCE, export_model
from alexnet_keras.exchange.exported import Exported, accuracies, open_exported

__all__ = [
    "Exported",
    "FORMATS",
    "REPRESENTATIVE",
    "TOLERANCE",
    "accuracies",
    "export_model",
    "open_exported",
]
