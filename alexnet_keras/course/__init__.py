"""What the notebooks need beside Keras: photographs, tables, checks of the exercises."""

from alexnet_keras.course.curves import plot_losses
from alexnet_keras.course.data import CLASS_NAMES, class_names, photographs
from alexnet_keras.course.exercises import check, verdict
from alexnet_keras.course.results import results
from alexnet_keras.course.tables import LAYER_COLORS, Table, table

__all__ = [
    "CLASS_NAMES",
    "LAYER_COLORS",
    "Table",
    "check",
    "class_names",
    "photographs",
    "plot_losses",
    "results",
    "table",
    "verdict",
]
