"""The paper's update by `torch.optim.SGD`."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn


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
    >>> from alexnet_keras.exchange.torch_twin import MomentumSGD
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
