"""How good a network is: errors with intervals, confusion, calibration, as numbers and drawn."""

from alexnet_keras.evaluation.measures import (
    BINS,
    CONFIDENCE,
    Calibration,
    Evaluation,
    Mistake,
    wilson_interval,
)
from alexnet_keras.evaluation.plots import (
    plot_classes,
    plot_confusion,
    plot_curves,
    plot_mistakes,
    plot_pictures,
    plot_reliability,
)
from alexnet_keras.evaluation.predicting import evaluate, predict, predict_views
from alexnet_keras.evaluation.report import write_report

__all__ = [
    "BINS",
    "CONFIDENCE",
    "Calibration",
    "Evaluation",
    "Mistake",
    "evaluate",
    "plot_classes",
    "plot_confusion",
    "plot_curves",
    "plot_mistakes",
    "plot_pictures",
    "plot_reliability",
    "predict",
    "predict_views",
    "wilson_interval",
    "write_report",
]
