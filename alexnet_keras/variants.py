"""The variants of AlexNet: what distinguishes one from another, and where each comes from.

Plain data without Keras, so that the command line answers at once.
"""

import dataclasses
from typing import Any

LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")
"""The eight layers with weights, in order."""

MINIMUM_SIZE = 64
"""The smallest input, in pixels, that leaves something after the third overlapping pool."""

_PAPER_STDS = (0.01,) * 8

_PAPER_BIASES = (0, 1, 0, 1, 1, 1, 1, 0)


@dataclasses.dataclass(frozen=True)
class Variant:
    """What distinguishes one AlexNet from another. The defaults are the paper's.

    Attributes:
        source: where the network is described, and how it deviates from the paper.
        filters: maps of conv1 to conv5, over both columns.
        columns: 2 where conv2, conv4 and conv5 see only the maps of their own half.
        normalization: `"lrn"`, `"batch"` or `"none"`, after conv1 and conv2.
        lrn: arguments of `LocalResponseNormalization`, less `groups`.
        lrn_across_columns: whether the window of the normalization crosses the two columns.
        block1, block2: the order of what follows conv1 and conv2.
        stds: standard deviations of the initial weights, one a layer; `None` for PyTorch's default.
        biases: initial biases, one a layer.
        adaptive_pool: whether pool5 is averaged to 6 x 6, and dropout stands before the dense
            layers in place of behind them.

    Example:

    >>> from alexnet_keras import VARIANTS
    >>> VARIANTS["paper"].filters, VARIANTS["single"].columns
    ((96, 256, 384, 384, 256), 1)
    """

    source: str
    filters: tuple[int, int, int, int, int] = (96, 256, 384, 384, 256)
    columns: int = 2
    normalization: str = "lrn"
    lrn: dict[str, Any] = dataclasses.field(default_factory=dict)
    lrn_across_columns: bool = False
    block1: tuple[str, ...] = ("relu", "norm", "pool")
    block2: tuple[str, ...] = ("relu", "norm", "pool")
    stds: tuple[float, ...] | None = _PAPER_STDS
    biases: tuple[float, ...] = _PAPER_BIASES
    adaptive_pool: bool = False


_CAFFE = Variant(
    source="Caffe's `models/bvlc_alexnet`. The columns are grouped convolutions, so the window of "
    "the normalization crosses from one to the other; k = 1 and alpha = 1e-4 / 5; fc6 and fc7 "
    "start from N(0, 0.005), and biases of 0.1 stand where the paper has 1. Made for 227: at 224 "
    "Caffe rounds down to 54 x 54 maps, where conv1 is padded to 55 x 55 here.",
    lrn={"k": 1.0, "alpha": 1e-4, "divide_alpha_by_size": True},
    lrn_across_columns=True,
    stds=(0.01, 0.01, 0.01, 0.01, 0.01, 0.005, 0.005, 0.01),
    biases=(0, 0.1, 0, 0.1, 0.1, 0.1, 0.1, 0),
)

_SINGLE = Variant(
    source="The table that most courses print: one column, every convolution sees all maps. Not a "
    "network of the paper; it has more parameters and over half as many multiply-adds again.",
    columns=1,
)

VARIANTS: dict[str, Variant] = {
    "paper": Variant(
        source="Krizhevsky, Sutskever and Hinton 2012, sections 3 and 5. The paper does not say "
        "whether a normalization window crosses the columns; here it does not, as in the 2012 "
        "code. Dropout scales up in training, where the paper halves at test: the same function.",
    ),
    "2012": Variant(
        source="`layers/layers-145.cfg` of the 2012 source code, whose log holds the paper's "
        "errors. Against the text: conv1 is normalized and pooled before its ReLU, alpha is "
        "divided by the window's 5 maps, a within-map normalization follows that of conv2, "
        "and conv3 to conv5 start from N(0, 0.03).",
        lrn={"divide_alpha_by_size": True},
        block1=("norm", "pool", "relu"),
        block2=("relu", "norm", "within", "pool"),
        stds=(0.01, 0.01, 0.03, 0.03, 0.03, 0.01, 0.01, 0.01),
    ),
    "caffe": _CAFFE,
    "caffenet": dataclasses.replace(
        _CAFFE,
        source="Caffe's `models/bvlc_reference_caffenet`: as `caffe`, but conv1 and conv2 are "
        "pooled before they are normalized.",
        block1=("relu", "pool", "norm"),
        block2=("relu", "pool", "norm"),
    ),
    "single": _SINGLE,
    "torchvision": Variant(
        source="torchvision's `alexnet`: the widths of Krizhevsky 2014, `One weird trick`, one "
        "column, conv1 padded by 2, no response normalization, pool5 averaged to 6 x 6, dropout "
        "before fc6 and fc7, PyTorch's default initialization.",
        filters=(64, 192, 384, 256, 256),
        columns=1,
        normalization="none",
        stds=None,
        adaptive_pool=True,
    ),
    "batchnorm": dataclasses.replace(
        _SINGLE,
        source="`single` with batch normalization in the two places of the response "
        "normalization, after the ReLU of conv1 and conv2.",
        normalization="batch",
    ),
}
"""The named variants; their descriptions stand in `VARIANTS[name].source`."""
