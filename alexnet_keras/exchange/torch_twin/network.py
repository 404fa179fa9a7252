"""The network of `AlexNet` in PyTorch."""

import torch
from torch import nn

from alexnet_keras.common import check_choice, check_integer
from alexnet_keras.variants import LAYERS, MINIMUM_SIZE, VARIANTS


def torch_alexnet(
    variant: str = "paper",
    *,
    image_size: int = 227,
    classes: int = 1000,
    width: float = 1.0,
    activation: str = "relu",
    normalization: str | None = None,
    overlapping: bool = True,
    dropout: float = 0.5,
    columns: int | None = None,
) -> nn.Sequential:
    """Builds the network of `AlexNet` with the same arguments in PyTorch.

    Args:
        variant: one of `VARIANTS`.
        image_size: side of the pictures in pixels, at least 64.
        classes: number of classes.
        width: factor of the number of maps and hidden units, rounded to even numbers.
        activation: `"relu"` or `"tanh"`, of the hidden layers.
        normalization: `"lrn"`, `"batch"` or `"none"`; `None` for the variant's own.
        overlapping: pools of 3 x 3 with stride 2 if true, else of 2 x 2 with stride 2.
        dropout: share of the hidden units of fc6 and fc7 that is dropped in training.
        columns: 1 or 2; `None` for the variant's own.

    Returns:
        A module from float images `(batch, 3, image_size, image_size)`, RGB, 0 to 255 less the mean
        colour, to logits `(batch, classes)`. Its layers have the names of those of the Keras model;
        its weights start as the variant's do.

    Raises:
        ValueError: for an option that is none of the above.

    Example:

    >>> from alexnet_keras.exchange.torch_twin import torch_alexnet
    >>> net = torch_alexnet(width=0.25, classes=10)
    >>> net.conv2
    Conv2d(24, 64, kernel_size=(5, 5), stride=(1, 1), padding=(2, 2), groups=2)
    """
    v = VARIANTS[check_choice("variant", variant, VARIANTS)]
    check_choice("activation", activation, ("relu", "tanh"))
    check_choice("normalization", normalization, ("lrn", "batch", "none", None))
    columns = check_choice("columns", columns, (1, 2, None))
    image_size = check_integer("image_size", image_size, minimum=MINIMUM_SIZE)
    normalization = v.normalization if normalization is None else normalization
    columns = v.columns if columns is None else columns

    def scaled(n):  # even, so that two columns can share it
        return n if width == 1 else 2 * max(1, round(n * width / 2))

    def act():
        return {"relu": nn.ReLU, "tanh": nn.Tanh}[activation]()

    def pool():
        return nn.MaxPool2d(3 if overlapping else 2, stride=2)

    def norm(maps):
        if normalization == "batch":
            return nn.BatchNorm2d(maps, eps=1e-3, momentum=0.01)
        return GroupedLocalResponseNorm(**v.lrn, groups=1 if v.lrn_across_columns else columns)

    def block(n, steps, maps):
        layers = {"relu": act(), "pool": pool(), "norm": norm(maps), "within": WithinMapNorm()}
        absent = {"none": ("norm", "within"), "batch": ("within",), "lrn": ()}[normalization]
        for step in steps:
            if step not in absent:
                yield f"{activation if step == 'relu' else step}{n}", layers[step]

    n1, n2, n3, n4, n5 = map(scaled, v.filters)
    before, after = (2, 2) if v.adaptive_pool else (0, -(image_size - 11) % 4)
    side = (before + image_size + after - 11) // 4 + 1
    for _ in range(3):
        side = (side - pool().kernel_size) // 2 + 1
    hidden = scaled(4096)

    # Shapes for 227 x 227 input and full width.
    layers = {
        "pad1": nn.ZeroPad2d((before, after, before, after)),
        "conv1": nn.Conv2d(3, n1, 11, stride=4),  # 96 x 55 x 55
        **dict(block(1, v.block1, n1)),  # 96 x 27 x 27
        "conv2": nn.Conv2d(n1, n2, 5, padding=2, groups=columns),  # 256 x 27 x 27
        **dict(block(2, v.block2, n2)),  # 256 x 13 x 13
        "conv3": nn.Conv2d(n2, n3, 3, padding=1),  # 384 x 13 x 13
        f"{activation}3": act(),
        "conv4": nn.Conv2d(n3, n4, 3, padding=1, groups=columns),  # 384 x 13 x 13
        f"{activation}4": act(),
        "conv5": nn.Conv2d(n4, n5, 3, padding=1, groups=columns),  # 256 x 13 x 13
        f"{activation}5": act(),
        "pool5": pool(),  # 256 x 6 x 6
    }
    if v.adaptive_pool:
        layers["avgpool"], side = nn.AdaptiveAvgPool2d(6), 6
    layers["flatten"] = nn.Flatten()  # 9216
    for n, inputs in ((6, n5 * side * side), (7, hidden)):
        dense = {f"fc{n}": nn.Linear(inputs, hidden), f"{activation}{n}": act()}  # 4096
        drop = {f"drop{n}": nn.Dropout(dropout)}
        layers |= {**drop, **dense} if v.adaptive_pool else {**dense, **drop}
    layers["fc8"] = nn.Linear(hidden, classes)
    if before == after == 0:
        del layers["pad1"]
    net = nn.Sequential()
    for name, layer in layers.items():
        net.add_module(name, layer)
    if v.stds is not None:  # else PyTorch's default
        for name, std, bias in zip(LAYERS, v.stds, v.biases):
            nn.init.normal_(layers[name].weight, 0.0, std)
            nn.init.constant_(layers[name].bias, bias)
    return net


class GroupedLocalResponseNorm(nn.LocalResponseNorm):
    """`torch.nn.LocalResponseNorm` with the arguments of our `LocalResponseNormalization`.

    Input and output: `(batch, maps, height, width)`. Each of `groups` equal parts of the maps is
    normalized by itself.
    """

    def __init__(
        self,
        size: int = 5,
        k: float = 2.0,
        alpha: float = 1e-4,
        beta: float = 0.75,
        divide_alpha_by_size: bool = False,
        groups: int = 1,
    ):
        # PyTorch divides alpha by the size of the window.
        super().__init__(size, alpha if divide_alpha_by_size else alpha * size, beta, k)
        self.groups = groups

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # The columns side by side in the batch: no window reaches from one into the other.
        parts = x.reshape(-1, x.shape[1] // self.groups, *x.shape[2:])
        return super().forward(parts).reshape(x.shape)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, groups={self.groups}"


class WithinMapNorm(nn.Module):
    """Our `WithinMapNormalization` with its default arguments: 5 x 5 pixels of the same map.

    Input and output: `(batch, maps, height, width)`.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = nn.functional.avg_pool2d(x * x, 5, stride=1, padding=2)  # outside counts as zero
        return x / (1 + 1e-3 * mean) ** 0.75
