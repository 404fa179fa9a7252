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

try:
    import torch  # noqa: F401
except ImportError as error:
    raise ImportError(
        f'The PyTorch twin needs torch: pip install "alexnet-keras[torch]" ({error})'
    ) from None

from alexnet_keras.exchange.torch_twin.network import (
    GroupedLocalResponseNorm,
    WithinMapNorm,
    torch_alexnet,
)
from alexnet_keras.exchange.torch_twin.optimizer import MomentumSGD
from alexnet_keras.exchange.torch_twin.weights import copy_to_keras, copy_to_torch

__all__ = [
    "GroupedLocalResponseNorm",
    "MomentumSGD",
    "WithinMapNorm",
    "copy_to_keras",
    "copy_to_torch",
    "torch_alexnet",
]
