"""What can be chosen for a training run: the network, the augmentation, the recipe.

Plain data without Keras, so that the command line answers at once.
"""

import dataclasses
import re
from collections.abc import Sequence
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from alexnet_keras.common import EMBEDDED, check_choice, check_integer, check_number
from alexnet_keras.variants import MINIMUM_SIZE

DESCENDANTS: dict[str, tuple[str, dict[str, Any]]] = {
    **{f"vgg{depth}": ("VGG", {"depth": depth}) for depth in (11, 13, 16, 19)},
    "googlenet": ("GoogLeNet", {}),
    **{f"resnet{depth}": ("ResNet", {"depth": depth}) for depth in (18, 34, 50, 101, 152, 200)},
    **{f"plain{depth}": ("ResNet", {"depth": depth, "shortcuts": False}) for depth in (18, 34)},
}
"""The networks of `descendants` by the name that a `TrainingConfig` has for them: the function
that builds each, and its arguments."""


Network = Literal[
    "paper", "2012", "caffe", "caffenet", "single", "torchvision", "batchnorm",
    "vgg11", "vgg13", "vgg16", "vgg19", "googlenet",
    "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnet200", "plain18", "plain34",
]  # fmt: skip
"""The names of `VARIANTS` and of `DESCENDANTS`."""


def choices(annotation: Any) -> tuple[Any, ...] | None:
    """The values that a `Literal`, or one that may be `None`, allows; `None` for another type.

    Example:

    >>> choices(Literal["color", "image"] | None)
    ('color', 'image', None)
    """
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    parts = [(None,) if part is NoneType else choices(part) for part in get_args(annotation)]
    return sum(parts, ()) if any(parts) and all(parts) else None


def _check_choices(config: Any) -> None:
    """Checks the fields of a frozen dataclass whose types are `Literal`."""
    for field in dataclasses.fields(config):
        allowed = choices(field.type)
        if allowed is not None:
            value = check_choice(field.name, getattr(config, field.name), allowed)
            object.__setattr__(config, field.name, value)


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

    Example:

    >>> from alexnet_keras import Augmentation
    >>> Augmentation(mirror=False)
    Augmentation(crop=True, mirror=False, color_noise=0.1)
    """

    crop: bool = True
    mirror: bool = True
    color_noise: float = 0.1

    def __post_init__(self):
        noise = check_number("color_noise", self.color_noise, minimum=0)
        object.__setattr__(self, "color_noise", noise)


OF_ALEXNET = (
    *("normalization", "columns", "activation", "overlapping", "dropout", "initialization"),
    *("from_weights", "freeze", "transfer_rate"),
)
"""What of a `TrainingConfig` only an AlexNet has."""

RATE_RULES = {"none": 0.0, "sqrt": 0.5, "linear": 1.0}
"""Powers of `batch_size / 128` that multiply the learning rate: the paper's rate is for 128. "sqrt"
is Krizhevsky 2014 ("One weird trick", section 5), "linear" what he and Goyal et al. 2017 found to
work better."""

PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}
"""Keras's dtype policy, by the name used here."""

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


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """Everything that determines a training run. The recipe's defaults are the paper's
    (section 5) but for what is made for the embedded pictures: a small network with a start that
    suits it, 40 epochs (about 90 in the paper), batches of 32 (128 in the paper). Biases learn at
    the same rate as weights; the log of the 2012 code has twice the rate for them.

    The entries below are what `alexnet-keras train --help` prints.

    Attributes:
        data: the embedded set (openclipart), a folder of class folders or one that
            `alexnet-keras prepare` wrote, or a TensorFlow Datasets name such as
            imagenette/160px-v2; see `open_dataset`.
        data_dir: folder where TensorFlow Datasets keeps its data, if not its own.
        validation_fraction: share held out where the data has no split of its own.
        skip_bad: leave out files that cannot be decoded, and list them.
        variant: name of the network, one of `VARIANTS` or, with a width and no other switch, one of
            `DESCENDANTS`.
        width: factor of maps and units.
        normalization: after conv1 and conv2; that of the variant if not given.
        columns: of the network; those of the variant if not given.
        activation: of the hidden layers, by Keras's name.
        overlapping: pools of 3 x 3 with stride 2, else of 2 x 2.
        dropout: share of the units of fc6 and fc7 that is dropped in training.
        initialization: initial weights: He et al.'s, or the variant's own, made for full width.
        from_weights: all layers but fc8 begin with the weights of a run (its best), of a trained
            network of the package (such as openclipart), of a .keras file or of a published file
            that `load_weights` reads, and the mean that its network knows is subtracted.
        freeze: last of those layers that stay as they are.
        transfer_rate: factor of the learning rate for the layers that were taken over, less those
            that stay as they are; fc8, which is new, learns at the full rate.
        image_size: side in pixels of the crops that the network sees, at least 64.
        epochs: passes over the training set.
        batch_size: pictures a step.
        learning_rate: at the start.
        rate_rule: how the learning rate grows with the batch size from the paper's 128, see
            `RATE_RULES`.
        momentum: share of the last step that is kept.
        weight_decay: of the kernels, per step and unit of learning rate; none on biases.
        schedule: of the learning rate: divided by 10 when the validation error is flat, as in the
            paper (plateau), lowered each epoch along half a cosine, or constant.
        patience: epochs without improvement that plateau waits for.
        crop: crops at random, else the central one.
        mirror: mirror images, with probability one half.
        color_noise: standard deviation of the PCA colour noise, see `Augmentation`; 0 for none.
        mean: what is subtracted from the pictures: the mean colour, or the mean image.
        precision: of the arithmetic; weights stay float32.
        seed: of the initial weights, the order, the augmentation and dropout.
        deterministic: only operations that give the same bits each time, on a GPU too; slower. (On
            a CPU they do without.)
        jit_compile: whether XLA compiles the steps, which takes up to a minute and makes them
            faster; if not given, on a GPU, for float16 on a CPU, and always with JAX.

    Raises:
        ValueError: for a value outside of its range, or one that does not go with another.

    Example:

    >>> from alexnet_keras import TrainingConfig
    >>> TrainingConfig(batch_size=512, rate_rule="sqrt").first_rate
    0.02
    """

    data: str = EMBEDDED
    data_dir: str | None = None
    validation_fraction: float = 0.2
    skip_bad: bool = False
    variant: Network = "paper"
    width: float = 0.25
    normalization: Literal["lrn", "batch", "none"] | None = None
    columns: Literal[1, 2] | None = None
    activation: str = "relu"
    overlapping: bool = True
    dropout: float = 0.5
    initialization: Literal["he", "variant"] = "he"
    from_weights: str | None = None
    freeze: Literal["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7"] | None = None
    transfer_rate: float = 1.0
    image_size: int = 128
    epochs: int = 40
    batch_size: int = 32
    learning_rate: float = 0.01
    rate_rule: Literal["none", "sqrt", "linear"] = "none"
    momentum: float = 0.9
    weight_decay: float = 0.0005
    schedule: Literal["plateau", "cosine", "constant"] = "plateau"
    patience: int = 10
    crop: bool = True
    mirror: bool = True
    color_noise: float = 0.1
    mean: Literal["color", "image"] = "color"
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    seed: int = 0
    deterministic: bool = False
    jit_compile: bool | None = None

    def __post_init__(self):
        plain = {n: check_integer(n, getattr(self, n), **span) for n, span in _INTEGERS.items()}
        plain |= {n: check_number(n, getattr(self, n), **span) for n, span in _NUMBERS.items()}
        for name, value in plain.items():  # without numpy's types, which JSON cannot hold
            object.__setattr__(self, name, value)
        _check_choices(self)
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
        if self.jit_compile and self.deterministic:
            raise ValueError(
                "`jit_compile` must not be True with `deterministic`, for which Keras leaves XLA "
                "out. Received: True"
            )
        _ = self.augmentation  # checks its own

    @property
    def first_rate(self) -> float:
        """The learning rate that training begins with."""
        return self.learning_rate * (self.batch_size / 128) ** RATE_RULES[self.rate_rule]

    @property
    def augmentation(self) -> Augmentation:
        """The pipeline's part of the configuration."""
        return Augmentation(self.crop, self.mirror, self.color_noise)


@dataclasses.dataclass(frozen=True)
class Devices:
    """The devices that a network is trained on, each with a whole copy of it.

    The batch size is that of all devices together, so that the result is that of one, but for batch
    normalization, which takes the statistics of each device's share.

    Attributes:
        strategy: mirrored, for a replica on each GPU, or on parts of the CPU where there is none;
            auto, for that where there are several GPUs; machines, for a replica on each device of
            several machines, as Slurm, Open MPI or Kubernetes start them or as `hosts` lists them
            (KERAS_BACKEND=jax); none, for one device.
        replicas: how many; if not given, all the GPUs, or the parts that the CPU has been split
            into. On a machine without a GPU the CPU is split (`split_cpu`).
        hosts: the machines, the same list on each, the first as name:port, with a free port that
            the others reach.
        rank: place of this machine in `hosts`, from 0.

    Raises:
        ValueError: for an unknown strategy, `replicas` below 1 or beside several machines, or
            `hosts` and `rank` that are not such a list and a place in it.

    Example:

    >>> from alexnet_keras import Devices
    >>> Devices("mirrored", replicas=2)
    Devices(strategy='mirrored', replicas=2, hosts=None, rank=None)
    """

    strategy: Literal["auto", "none", "mirrored", "machines"] = "auto"
    replicas: int | None = None
    hosts: Sequence[str] | None = None
    rank: int | None = None

    def __post_init__(self):
        _check_choices(self)
        if self.hosts is not None:
            object.__setattr__(self, "hosts", tuple(self.hosts))
        if self.replicas is not None:
            replicas = check_integer("replicas", self.replicas, minimum=1)
            object.__setattr__(self, "replicas", replicas)
        if self.strategy == "none" and (self.replicas or 1) > 1:
            raise ValueError(
                f"`replicas` must be 1 with strategy 'none'. Received: {self.replicas}"
            )
        if self.several_machines:
            self._check_machines()

    def _check_machines(self):
        if self.strategy not in ("auto", "machines") or self.replicas is not None:
            raise ValueError(
                "On several machines, where each device is a replica, `strategy` must be "
                f"'machines' and `replicas` be left out. Received: hosts={self.hosts}, "
                f"rank={self.rank}, {self.strategy!r} and replicas={self.replicas}"
            )
        if self.hosts is None:
            if self.rank is not None:
                raise ValueError(
                    f"`rank` must come with `hosts`. Received: rank={self.rank!r} alone"
                )
        elif (
            len(self.hosts) < 2 or not all(self.hosts) or not re.fullmatch(r".+:\d+", self.hosts[0])
        ):
            raise ValueError(
                "`hosts` must be at least two machines, the first as name:port. "
                f"Received: {list(self.hosts)}"
            )
        else:
            rank = check_integer("rank", self.rank, minimum=0, maximum=len(self.hosts) - 1)
            object.__setattr__(self, "rank", rank)

    @property
    def several_machines(self) -> bool:
        """Whether the training runs on more machines than this one."""
        return self.strategy == "machines" or self.hosts is not None or self.rank is not None
