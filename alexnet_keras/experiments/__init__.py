"""What each of the paper's ideas is worth: ablations, paired by seed, beside its own figures."""

from alexnet_keras.experiments.ablations import RESULTS, Result, ablate, read_results
from alexnet_keras.experiments.comparison import (
    CONFIDENCE,
    Comparison,
    compare,
    markdown_table,
    plot_comparisons,
)
from alexnet_keras.experiments.conditions import (
    CONDITIONS,
    Condition,
    condition_config,
    equal_cost_width,
)
from alexnet_keras.experiments.lines import Line, append_line, read_lines

__all__ = [
    "CONDITIONS",
    "CONFIDENCE",
    "Comparison",
    "Condition",
    "Line",
    "RESULTS",
    "Result",
    "ablate",
    "append_line",
    "compare",
    "condition_config",
    "equal_cost_width",
    "markdown_table",
    "plot_comparisons",
    "read_lines",
    "read_results",
]
