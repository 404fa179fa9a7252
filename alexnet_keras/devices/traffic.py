"""What crosses between devices in a training step, for each way to divide the work."""

import dataclasses
import math
from typing import Any

import keras

from alexnet_keras.common import check_choice, check_integer
from alexnet_keras.devices.two_columns import why_not_two_columns
from alexnet_keras.variants import LAYERS

SCHEMES = {
    "columns": "the paper's: each column on a device",
    "data": "data parallelism: each device has the network and a share of the batch",
    "mixed": "One weird trick: convolutions by data, dense layers by units",
}
"""What `communication` compares."""


@dataclasses.dataclass(frozen=True)
class Exchange:
    """What one layer moves between the devices, in bytes a step over all of them.

    Attributes:
        scheme: one of `SCHEMES`.
        devices: their number.
        layer: the layer that needs it.
        forward, backward: bytes, each counted once for each device that receives it.
    """

    scheme: str
    devices: int
    layer: str
    forward: int
    backward: int


@dataclasses.dataclass(frozen=True)
class Communication:
    """What a training step moves between the devices; `print` it for a table.

    What a device sends or receives is the mean: in "mixed" the first receives more before fc8.

    Attributes:
        batch_size: images a step, over all devices.
        exchanges: a row for each scheme and layer.
    """

    batch_size: int
    exchanges: tuple[Exchange, ...]

    def total(self, scheme: str) -> int:
        """Bytes a step, forward and backward, over all layers and devices."""
        check_choice("scheme", scheme, sorted({row.scheme for row in self.exchanges}))
        rows = [row for row in self.exchanges if row.scheme == scheme]
        return sum(row.forward + row.backward for row in rows)

    def as_dict(self) -> dict[str, Any]:
        """The same as plain numbers, for `json` or a data frame, with the totals."""
        devices = {row.scheme: row.devices for row in self.exchanges}
        return {
            **dataclasses.asdict(self),
            "totals": {
                scheme: {
                    "bytes_per_step": self.total(scheme),
                    "mean_bytes_per_step_and_device": self.total(scheme) / count,
                    "bytes_per_image": self.total(scheme) / self.batch_size,
                }
                for scheme, count in devices.items()
            },
        }

    def __str__(self) -> str:
        def line(*cells):
            return "{:<8} {:>7}  {:<6} {:>12} {:>12} {:>12} {:>14}".format(*cells)

        def sizes(forward, backward, devices):
            step = forward + backward
            return (
                *(f"{n / 1e6:.3f}" for n in (forward, backward, step / devices)),
                f"{step / self.batch_size / 1e3:.3f}",
            )

        lines = [
            f"Between the devices, in MB a step of {self.batch_size} images and kB an image",
            line(
                "scheme", "devices", "layer", "forward MB", "backward MB", "MB a device", "kB/image"
            ),
        ]
        for scheme in dict.fromkeys(row.scheme for row in self.exchanges):
            rows = [row for row in self.exchanges if row.scheme == scheme]
            both = sum(row.forward for row in rows), sum(row.backward for row in rows)
            for row in rows:
                cells = sizes(row.forward, row.backward, row.devices)
                lines.append(line(scheme, row.devices, row.layer, *cells))
            lines.append(line(scheme, row.devices, "all", *sizes(*both, row.devices)))
        return "\n".join(lines)


def communication(
    model: keras.Model,
    batch_size: int = 128,
    devices: int = 2,
    activation_dtype: str = "float32",
    gradient_dtype: str = "float32",
) -> Communication:
    """What three ways to train on several devices move between them, from the model's shapes.

    - `"columns"`, on two devices, where the network has two columns: before conv3, fc6 and fc7 each
      device receives the other's half of the input, before fc8 the first device the second's half.
      Backward, the gradient of whatever came goes back. What `TwoColumns` does.
    - `"data"`: nothing forward. Backward, the gradients of all weights are summed by an all-reduce
      as bandwidth allows at best, by a ring or by scatter and gather: each of N devices sends
      `2 (N - 1) / N` of the gradients' bytes, all of them `2 (N - 1)` times those bytes.
    - `"mixed"`: Krizhevsky 2014, "One weird trick for parallelizing convolutional neural networks".
      The convolutions are trained by data. Each device holds 1 / N of the units of fc6 and fc7 and
      computes them for the whole batch, so it receives the pool5 maps of all the others' images,
      then their units of fc6; fc8 is one layer on the first device, as above. The paper's schemes
      (a), (b) and (c) send the pool5 maps at once, device by device, or a share of each device at a
      time: they differ in what can overlap, not in these bytes.

    The images and labels, which come from the host in all three, are left out.

    Args:
        model: an `AlexNet` with its dense layers, of any size, width and number of classes.
        batch_size: images a step, over all devices.
        devices: their number for `"data"` and `"mixed"`, at least 2.
        activation_dtype: type of what crosses of activations and their gradients: `"float32"`,
            `"bfloat16"` or `"float16"`.
        gradient_dtype: the same for the gradients of the weights; they are float32 under Keras's
            mixed policies too.

    Raises:
        ValueError: for a network without fc8, and numbers or types other than these.

    Source: section 3.5 of the 2012 paper; section 4 of the 2014 one.

    Example:

    >>> from alexnet_keras import AlexNet
    >>> from alexnet_keras.devices import communication
    >>> result = communication(AlexNet(), batch_size=128)
    >>> [round(result.total(scheme) / 1e6) for scheme in ("columns", "data", "mixed")]
    [60, 488, 34]
    """
    batch_size = check_integer("batch_size", batch_size, minimum=1)
    devices = check_integer("devices", devices, minimum=2)
    sizes = {"float32": 4, "bfloat16": 2, "float16": 2}
    check_choice("activation_dtype", activation_dtype, sizes)
    check_choice("gradient_dtype", gradient_dtype, sizes)
    layers = {layer.name: layer for layer in model.layers}
    if not set(LAYERS) <= set(layers):
        raise ValueError(
            f"`model` must be an AlexNet with the layers {', '.join(LAYERS)}. "
            f"Received: {model.name!r} with {', '.join(layers)}"
        )

    def inputs(name):  # bytes of the layer's input for the whole batch
        return batch_size * math.prod(layers[name].input.shape[1:]) * sizes[activation_dtype]

    def gradients(name):
        elements = sum(math.prod(w.shape) for w in layers[name].trainable_weights)
        return 2 * (devices - 1) * elements * sizes[gradient_dtype]

    def by_units(name, count):
        """For a layer that sees what `count` devices have computed."""
        if name != "fc8":
            return (count - 1) * inputs(name)
        units = layers[name].input.shape[-1]
        return inputs(name) // units * (units - math.ceil(units / count))

    rows = []
    if why_not_two_columns(model) is None:
        for name in ("conv3", "fc6", "fc7", "fc8"):
            rows.append(Exchange("columns", 2, name, by_units(name, 2), by_units(name, 2)))
    weighted = [name for name in layers if layers[name].trainable_weights]
    rows += [Exchange("data", devices, name, 0, gradients(name)) for name in weighted]
    for name in weighted:
        if name in ("fc6", "fc7", "fc8"):
            moved = by_units(name, devices)
            rows.append(Exchange("mixed", devices, name, moved, moved))
        else:
            rows.append(Exchange("mixed", devices, name, 0, gradients(name)))
    return Communication(batch_size, tuple(rows))
