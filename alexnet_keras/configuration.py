"""What can be chosen for a training run: the network, the augmentation, the recipe.

Plain data without Keras, so that the command line answers at once.
"""

import dataclasses
from typing import Any

from alexnet_keras.common import EMBEDDED, check_choice, check_integer, check_number
from alexnet_keras.variants import MINIMUM_SIZE, VARIANTS

DESCENDANTS: dict[str, tuple[str, dict[str, Any]]] = {
    **{f"vgg{depth}": ("VGG", {"depth": depth}) for depth in (11, 13, 16, 19)},
    "googlenet": ("GoogLeNet", {}),
    **{f"resnet{depth}": ("ResNet", {"depth": depth}) for depth in (18, 34, 50, 101, 152, 200)},
    **{f"plain{depth}": ("ResNet", {"depth": depth, "shortcuts": False}) for depth in (18, 34)},
}
"""The networks of `descendants` by the name that a `TrainingConfig` has for them: the function
that builds each, and its arguments."""


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Which of the paper's augmentations a training pipeline does (section 4.1).

    Attributes:
        crop: a crop at random out of the square; else the central one.
        mirror: the mirror image, with probability one half.
        color_noise: standard deviation of the PCA colour noise, in standard deviations of the
            pixels along each principal component: one draw of three numbers an image. (The text of
            the paper says eigenvalues; its code, `convdata_jpeg.py`, uses their square roots, and
            divides the image by 1.1 afterwards, which is not done here.)
        mean: `"color"` or `"image"`, what is subtracted.

    Example:

    >>> from alexnet_keras import Augmentation
    >>> Augmentation(mirror=False)
    Augmentation(crop=True, mirror=False, color_noise=0.1, mean='color')
    """

    crop: bool = True
    mirror: bool = True
    color_noise: float = 0.1
    mean: str = "color"

    def __post_init__(self):
        if self.mean not in ("color", "image"):
            raise ValueError(f"`mean` must be 'color' or 'image'. Received: {self.mean!r}")
        noise = check_number("color_noise", self.color_noise, minimum=0)
        object.__setattr__(self, "color_noise", noise)


OF_ALEXNET = (
    *("normalization", "columns", "activation", "overlapping", "dropout", "initialization"),
    *("from_weights", "freeze", "transfer_rate"),
)
"""What of a `TrainingConfig` only an AlexNet has."""

STRATEGIES = ("auto", "none", "mirrored", "machines")
"""How training uses several devices; see `choose_strategy`."""

RATE_RULES = {"none": 0.0, "sqrt": 0.5, "linear": 1.0}
"""Powers of `batch_size / 128` that multiply the learning rate: the paper's rate is for 128. "sqrt"
is Krizhevsky 2014 ("One weird trick", section 5), "linear" what he and Goyal et al. 2017 found to
work better."""

PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}
"""Keras's dtype policy, by the name used here."""

FREEZABLE = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7")
"""The layers that can be the last one whose weights stay as they are; fc8 is always learned."""

_INTEGERS = {
    **dict.fromkeys(("epochs", "batch_size", "patience"), {"minimum": 1}),
    "image_size": {"minimum": MINIMUM_SIZE},
    "seed": {"minimum": 0, "maximum": 2**31 - 1},
}
_NUMBERS = {
    "validation_fraction": {"above": 0, "below": 1},
    "width": {"above": 0},
    **dict.fromkeys(("dropout", "momentum"), {"minimum": 0, "below": 1}),
    **dict.fromkeys(
        ("learning_rate", "weight_decay", "transfer_rate", "color_noise"), {"minimum": 0}
    ),
}
_CHOICES = {
    "variant": (*VARIANTS, *DESCENDANTS),
    "columns": (None, 1, 2),
    "freeze": (None, *FREEZABLE),
    "rate_rule": tuple(RATE_RULES),
    "schedule": ("plateau", "cosine", "constant"),
    "precision": tuple(PRECISIONS),
}


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """Everything that determines a training run. The recipe's defaults are the paper's
    (section 5) but for what is made for the embedded pictures: a small network with a start that
    suits it, 40 epochs (about 90 in the paper), batches of 32 (128 in the paper). Biases learn at
    the same rate as weights; the log of the 2012 code has twice the rate for them.

    Attributes:
        data, data_dir, validation_fraction, skip_bad: see `open_dataset`.
        variant, width, normalization, columns, activation, overlapping, dropout, initialization:
            see `AlexNet`. The variant may also be one of `DESCENDANTS`, which have a width but none
            of the others, and take over no weights.
        from_weights: a run's folder (its best weights), `"openclipart"` for the run that comes with
            the package, a `.keras` file, or a published file that
            `load_weights` reads: all layers but fc8 begin with its weights, and the mean that its
            network knows is subtracted from the pictures; `None` to begin from nothing.
        freeze: one of `FREEZABLE`: up to this layer, those that were taken over stay as they are;
            `None` for none.
        transfer_rate: factor of the learning rate for the layers that were taken over. fc8, which
            is new, learns at the full rate.
        image_size: side in pixels of the crops that the network sees; at least 64.
        epochs: passes over the training set.
        batch_size: pictures a step.
        learning_rate: at the start.
        rate_rule: one of `RATE_RULES`, how the batch size changes the rate.
        momentum: share of the last step that is kept.
        weight_decay: of the kernels, per step and unit of learning rate; none on biases.
        schedule: `"plateau"` divides the rate by 10 when validation error stops improving, as in
            the paper; `"cosine"` lowers it each epoch along half a cosine; `"constant"`.
        patience: epochs without improvement that `"plateau"` waits for.
        crop, mirror, color_noise, mean: see `Augmentation`.
        precision: `"float32"`, `"bfloat16"` or `"float16"` arithmetic; weights stay float32.
        seed: of the initial weights, the order, the augmentation and dropout.
        deterministic: use only operations that give the same bits each time, on a GPU too;
            slower. (On a CPU they do without.)

    Example:

    >>> from alexnet_keras import TrainingConfig
    >>> TrainingConfig(batch_size=512, rate_rule="sqrt").first_rate
    0.02
    """

    data: str = EMBEDDED
    data_dir: str | None = None
    validation_fraction: float = 0.2
    skip_bad: bool = False
    variant: str = "paper"
    width: float = 0.25
    normalization: str | None = None
    columns: int | None = None
    activation: str = "relu"
    overlapping: bool = True
    dropout: float = 0.5
    initialization: str = "he"
    from_weights: str | None = None
    freeze: str | None = None
    transfer_rate: float = 1.0
    image_size: int = 128
    epochs: int = 40
    batch_size: int = 32
    learning_rate: float = 0.01
    rate_rule: str = "none"
    momentum: float = 0.9
    weight_decay: float = 0.0005
    schedule: str = "plateau"
    patience: int = 10
    crop: bool = True
    mirror: bool = True
    color_noise: float = 0.1
    mean: str = "color"
    precision: str = "float32"
    seed: int = 0
    deterministic: bool = False

    def __post_init__(self):
        plain = {n: check_integer(n, getattr(self, n), **span) for n, span in _INTEGERS.items()}
        plain |= {n: check_number(n, getattr(self, n), **span) for n, span in _NUMBERS.items()}
        plain |= {n: check_choice(n, getattr(self, n), some) for n, some in _CHOICES.items()}
        for name, value in plain.items():  # without numpy's types, which JSON cannot hold
            object.__setattr__(self, name, value)
        if self.variant in DESCENDANTS:
            for name in OF_ALEXNET:
                if getattr(self, name) != getattr(type(self), name):
                    raise ValueError(
                        f"`{name}` must be left out with a network that came after AlexNet. "
                        f"Received: {getattr(self, name)!r} with variant {self.variant!r}"
                    )
        if self.from_weights is None and (self.freeze is not None or self.transfer_rate != 1):
            raise ValueError(
                "`freeze` and `transfer_rate` must come with `from_weights`, whose layers they are "
                f"for. Received: freeze={self.freeze!r}, transfer_rate={self.transfer_rate!r} and "
                "no `from_weights`"
            )
        _ = self.augmentation  # checks its own

    @property
    def first_rate(self) -> float:
        """The learning rate that training begins with."""
        return self.learning_rate * (self.batch_size / 128) ** RATE_RULES[self.rate_rule]

    @property
    def augmentation(self) -> Augmentation:
        """The pipeline's part of the configuration."""
        return Augmentation(self.crop, self.mirror, self.color_noise, self.mean)
