"""What the notebooks need beside Keras: photographs, tables, checks of the exercises."""

from alexnet_keras.course.activations import (
    draw_chain,
    epochs_until,
    fastest_runs,
    plot_fastest,
    plot_rates,
)
from alexnet_keras.course.colors import plot_components
from alexnet_keras.course.comparison import plot_comparison
from alexnet_keras.course.convolution_drawing import draw_convolution
from alexnet_keras.course.curves import plot_losses
from alexnet_keras.course.data import class_names, photographs
from alexnet_keras.course.exercises import check, verdict
from alexnet_keras.course.kept_results import results
from alexnet_keras.course.network_drawing import draw_network
from alexnet_keras.course.predictions import plot_confusion_counts, plot_predictions
from alexnet_keras.course.tables import LAYER_COLORS, Table, table

__all__ = [
    "LAYER_COLORS",
    "Table",
    "check",
    "class_names",
    "draw_convolution",
    "draw_network",
    "photographs",
    "plot_components",
    "plot_confusion_counts",
    "plot_predictions",
    "draw_chain",
    "epochs_until",
    "fastest_runs",
    "plot_fastest",
    "plot_rates",
    "plot_comparison",
    "plot_losses",
    "results",
    "table",
    "verdict",
]
