"""The same networks in PyTorch, their weights moved both ways, and the paper's update.

This module needs torch, which nothing else in the package does. What differs between the two
libraries, and is easily got wrong:

- Images are `(batch, height, width, 3)` in Keras, `(batch, 3, height, width)` in PyTorch; kernels
  `(height, width, in, out)` and `(out, in, height, width)`; fc6 sees the maps of pool5 flattened in
  these orders.
- `torch.nn.LocalResponseNorm` divides alpha by the size of the window, and knows no columns.
- `torch.nn.BatchNorm2d` calls `1 - momentum` what Keras calls momentum, has another epsilon, and
  keeps the variance of a sample, `n / (n - 1)` times that of the batch, which Keras keeps.
- The twin ends in logits, since `torch.nn.CrossEntropyLoss` takes the softmax itself.
- The two libraries' momentum differs once the learning rate changes: see `MomentumSGD`.
"""

import itertools
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from alexnet_keras.configuration import VARIANTS
from alexnet_keras.layers import LocalResponseNormalization
from alexnet_keras.model import LAYERS

try:
    import torch
    from torch import nn
except ImportError as error:
    raise ImportError(
        f'The PyTorch twin needs torch: pip install "alexnet-keras[torch]" ({error})'
    ) from None


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

    >>> from alexnet_keras.torch_twin import torch_alexnet
    >>> net = torch_alexnet(width=0.25, classes=10)
    >>> net.conv2
    Conv2d(24, 64, kernel_size=(5, 5), stride=(1, 1), padding=(2, 2), groups=2)
    """
    for option, value, allowed in (
        ("variant", variant, tuple(VARIANTS)),
        ("activation", activation, ("relu", "tanh")),
        ("normalization", normalization, ("lrn", "batch", "none", None)),
        ("columns", columns, (1, 2, None)),
    ):
        if value not in allowed:
            raise ValueError(f"`{option}` must be one of {allowed}. Received: {value!r}")
    if image_size < 64:
        raise ValueError(f"`image_size` must be at least 64 pixels. Received: {image_size!r}")
    v = VARIANTS[variant]
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


class MomentumSGD(torch.optim.SGD):
    """The paper's update, as `alexnet_keras.MomentumSGD` has it, by `torch.optim.SGD`.

    The weight decay is coupled in both libraries; here it is on kernels only. The momentum is not
    the same: with learning rate e and gradient g (the decay in it),

    ```
    paper, Keras:  v <- m v - e g,  w <- w + v
    PyTorch:       v <- m v + g,    w <- w - e v
    ```

    which is the same path as long as e stays. When e drops to a tenth, PyTorch's next step is a
    tenth as long at once, while the paper's still carries the momentum gathered at the old rate,
    which takes about 1 / (1 - m) steps to fade. Before a step at a new rate, this class therefore
    multiplies PyTorch's v by the old rate over the new one. Learning rate schedulers of
    `torch.optim` can be used as ever.

    Args:
        params: parameters, such as `net.parameters()`.
        lr: the learning rate.
        momentum: at least 0 and less than 1.
        coupled_weight_decay: at least 0; of parameters with two axes or more.

    Raises:
        ValueError: by `step`, if the rate has dropped to 0, at which the paper's update would coast
            on its momentum and PyTorch's cannot move.

    Example:

    >>> import torch
    >>> from alexnet_keras.torch_twin import MomentumSGD
    >>> w = torch.nn.Parameter(torch.tensor([[1.0]]))
    >>> w.grad = torch.tensor([[2.0]])
    >>> MomentumSGD([w], 0.1, 0.9, 0.5).step()
    >>> round(w.item(), 4)  # 1 - 0.1 * (2 + 0.5 * 1)
    0.75
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float = 0.01,
        momentum: float = 0.9,
        coupled_weight_decay: float = 0.0005,
    ):
        params = list(params)
        kernels = [p for p in params if p.ndim > 1]
        others = [p for p in params if p.ndim <= 1]
        groups = [
            {"params": kernels, "weight_decay": coupled_weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        super().__init__(groups, lr, momentum)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            before, now = group.get("last_lr", group["lr"]), group["lr"]
            if before != now:
                if now == 0:
                    raise ValueError(
                        f"The learning rate must stay greater than 0. Received: 0 after {before}"
                    )
                for p in group["params"]:
                    if self.state[p].get("momentum_buffer") is not None:
                        self.state[p]["momentum_buffer"].mul_(before / now)
            group["last_lr"] = now
        return super().step(closure)


def copy_to_torch(model: keras.Model, twin: nn.Module) -> None:
    """Copies a Keras model's weights into its twin.

    Args:
        model: from `AlexNet`, with its top.
        twin: from `torch_alexnet`, with the same arguments.

    Raises:
        ValueError: if the two are not the same network; nothing is changed then.

    Example:

    >>> import keras, torch
    >>> from alexnet_keras import AlexNet
    >>> from alexnet_keras.torch_twin import copy_to_torch, torch_alexnet
    >>> model = AlexNet(input_shape=(67, 67, 3), classes=10, width=0.1)
    >>> twin = torch_alexnet(image_size=67, classes=10, width=0.1).eval()
    >>> copy_to_torch(model, twin)
    >>> images = torch.rand(2, 67, 67, 3)
    >>> with torch.no_grad():
    ...     ours = twin(images.permute(0, 3, 1, 2)).softmax(1)
    >>> bool(abs(keras.ops.convert_to_numpy(model(images.numpy())) - ours.numpy()).max() < 1e-4)
    True
    """
    with torch.no_grad():
        for variable, tensor, shape in _pairs(model, twin):
            array = keras.ops.convert_to_numpy(variable)
            if shape is not None:
                array = array.reshape(shape).transpose(3, 2, 0, 1).reshape(tensor.shape)
            tensor.copy_(torch.from_numpy(np.array(array, "float32")))


def copy_to_keras(twin: nn.Module, model: keras.Model) -> None:
    """Copies a twin's weights into its Keras model.

    Args:
        twin: from `torch_alexnet`.
        model: from `AlexNet`, with its top and the same arguments.

    Raises:
        ValueError: if the two are not the same network; nothing is changed then.
    """
    for variable, tensor, shape in _pairs(model, twin):
        array = tensor.detach().cpu().float().numpy()
        if shape is not None:
            height, width, inputs, outputs = shape
            array = array.reshape(outputs, inputs, height, width).transpose(2, 3, 1, 0)
            array = array.reshape(variable.shape)
        variable.assign(array)


_TENSORS = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def _pairs(model, twin):
    """Each variable, its tensor, and for a kernel its shape `(height, width, in, out)`.

    A dense layer is a convolution as large as what it sees: fc6's kernel covers the maps of pool5,
    those of fc7 and fc8 a single position.
    """
    layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    expected = [_description(layer.name, layer) for layer in layers]
    received = [_description(name, module) for name, module in twin.named_children()]
    for ours, theirs in itertools.zip_longest(expected, received, fillvalue="nothing"):
        if ours != theirs:
            raise ValueError(
                f"The twin must have the layers of the Keras model. Received: {theirs} in the twin "
                f"for {ours} in the model"
            )
    tensors, pairs = twin.state_dict(), []
    for layer in layers:
        for variable in layer.weights:
            name = f"{layer.name}.{_TENSORS[variable.name]}"
            tensor, shape, fits = tensors[name], None, tuple(variable.shape)
            if variable.name == "kernel":
                shape = (1,) * (4 - len(fits)) + fits
                if layer.name == "fc6":
                    shape = (*_maps(model.get_layer("flatten")), fits[-1])
                height, width, inputs, outputs = shape
                fits = (outputs, inputs, height, width)
                if len(variable.shape) == 2:
                    fits = (outputs, inputs * height * width)
            if tuple(tensor.shape) != fits:
                raise ValueError(
                    f"{name} of the twin must have shape {fits}, for {layer.name}.{variable.name} "
                    f"of the Keras model with {tuple(variable.shape)}. "
                    f"Received: {tuple(tensor.shape)}"
                )
            pairs.append((variable, tensor, shape))
    return pairs


def _maps(flatten):
    """Height, width and number of the maps that are flattened."""
    first, second, third = flatten.input.shape[1:]
    last = flatten.data_format == "channels_last"
    return (first, second, third) if last else (second, third, first)


def _description(name, layer):
    """The layer's name, and for a response normalization its constants, PyTorch's alpha."""
    if isinstance(layer, LocalResponseNormalization):
        alpha = layer.alpha * (1 if layer.divide_alpha_by_size else layer.size)
    elif isinstance(layer, nn.LocalResponseNorm):
        alpha = layer.alpha
    else:
        return name
    return (
        f"{name} (size={layer.size}, k={layer.k:g}, alpha={alpha:g}, beta={layer.beta:g}, "
        f"groups={getattr(layer, 'groups', 1)})"
    )
