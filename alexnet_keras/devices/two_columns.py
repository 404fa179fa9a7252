"""The paper's model parallelism: each column on a device of its own.

The two columns meet in conv3, fc6, fc7 and fc8 (sections 3.2 and 3.5 of the paper). Training in two
columns needs the TensorFlow backend.
"""

import json
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from alexnet_keras.layers import GroupedConv2D, LocalResponseNormalization, WithinMapNormalization
from alexnet_keras.variants import LAYERS

# fc6 sees both columns from its input on: the maps are joined before they are flattened, so that
# the units come in the order of the one-device network.
_SEE_BOTH = ("conv3", "flatten", "fc7", "fc8")


class TwoColumns(keras.Model):
    """AlexNet with each column on a device of its own, as the paper trained it.

    Each device holds the weights, the momentum and the activations of its half: the filters of its
    column, half the units of fc6 and fc7. conv1, conv2, conv4, conv5, their normalization and
    pooling stay within the device; for conv3, fc6 and fc7 each device receives the other's half of
    the input, and for fc8, which is one layer on the first device, the first receives the second's.
    In the backward pass the gradients go the same ways back.

    `compile`, `fit`, `evaluate` and `predict` work as on any model. The function computed is that
    of `model`, whose weights are copied. In training, dropout draws by itself on each device.

    Args:
        model: an `AlexNet` with two columns that meet nowhere else: variant "paper" or "2012".
            ("caffe" normalizes across the columns, which would have to exchange there too.)
        devices: names of two devices. `None` for the first two GPUs, or without them the first two
            logical CPUs (see `split_cpu`). The same name twice is allowed.

    Input: images `(batch, height, width, 3)`; output `(batch, classes)`, as of `model`.

    Raises:
        ValueError: for another backend than TensorFlow, another network, or devices that are not
            there.

    Example (with two devices, leave `devices` out):

    >>> from alexnet_keras import AlexNet, TwoColumns
    >>> model = AlexNet(input_shape=(64, 64, 3), classes=10, width=0.1)
    >>> columns = TwoColumns(model, devices=["CPU:0", "CPU:0"])
    >>> [tuple(columns.get_layer(name).kernel.shape) for name in ("conv1a", "fc6b", "fc8")]
    [(11, 11, 3, 5), (26, 205), (410, 10)]
    >>> columns.one_device().count_params() == model.count_params() == columns.count_params()
    True
    """

    def __init__(self, model: keras.Model, devices: Sequence[str] | None = None):
        if keras.backend.backend() != "tensorflow":
            raise ValueError(
                "Two columns on two devices need Keras's TensorFlow backend (KERAS_BACKEND="
                f"tensorflow). Received: {keras.backend.backend()!r}"
            )
        reason = why_not_two_columns(model)
        if reason:
            raise ValueError(
                "`model` must be an AlexNet whose two columns meet in conv3, fc6, fc7 and fc8 "
                f"alone, as those of variant 'paper' and '2012' do. Received: {reason}"
            )
        devices = _two_devices(devices)
        super().__init__(name=model.name, dtype=model.dtype_policy, autocast=False)
        self.devices = devices
        # As text, for Keras would count a model kept here as a part of this one; not compiled.
        self._one_device = json.dumps({**json.loads(model.to_json()), "compile_config": None})
        *split, fc8 = [x for x in model.layers if not isinstance(x, keras.layers.InputLayer)]
        with tf.device(devices[0]):  # makes the state of dropout's random numbers
            self.column_a = [_half(layer, "a") for layer in split]
        with tf.device(devices[1]):
            self.column_b = [_half(layer, "b") for layer in split]
        self.fc8 = type(fc8).from_config(fc8.get_config())
        self.built = True  # of layers that make their variables when called, each on its device
        self(tf.zeros((1, *model.input_shape[1:])))
        for layer, a, b in zip(split, self.column_a, self.column_b):
            halves = [np.split(w, 2, axis=-1) for w in layer.get_weights()]
            a.set_weights([half[0] for half in halves])
            b.set_weights([half[1] for half in halves])
        self.fc8.set_weights(fc8.get_weights())

    def call(self, images, training=None):
        halves = [images, images]  # both columns see the whole picture
        for layers in zip(self.column_a, self.column_b):
            inputs, halves = halves, []
            for device, layer, x in zip(self.devices, layers, inputs):
                with tf.device(device):
                    if layer.name[:-1] in _SEE_BOTH:
                        x = keras.ops.concatenate(inputs, axis=-1)
                    halves.append(layer(x))
        with tf.device(self.devices[0]):
            return self.fc8(keras.ops.concatenate(halves, axis=-1))

    def compile(
        self,
        optimizer: Any,
        loss: Any = None,
        *,
        run_eagerly: bool = False,
        jit_compile: bool | str = "auto",
        **kwargs,
    ) -> None:
        """As `keras.Model.compile`, but for what would not stay on two devices.

        Args:
            optimizer: a `MomentumSGD` or another `keras.optimizers.SGD`, without `global_clipnorm`,
                `use_ema` and `gradient_accumulation_steps`.
            loss: as for `keras.Model.compile`, and so are the rest.
            run_eagerly: must be false.
            jit_compile: must not be true; XLA compiles for one device.

        Raises:
            ValueError: for any other, and for a network in float16, whose loss must be scaled.
        """
        optimizer = keras.optimizers.get(optimizer)
        if not isinstance(optimizer, keras.optimizers.SGD):
            raise ValueError(
                "`optimizer` must be a MomentumSGD or another SGD. "
                f"Received: {type(optimizer).__name__}"
            )
        for option in ("global_clipnorm", "use_ema", "gradient_accumulation_steps"):
            if getattr(optimizer, option):
                raise ValueError(
                    "`optimizer` must treat each weight by itself, without "
                    f"`{option}`. Received: {option}={getattr(optimizer, option)!r}"
                )
        for option, value in (("run_eagerly", run_eagerly), ("jit_compile", jit_compile)):
            if value and value != "auto":
                raise ValueError(
                    f"`{option}` must be False: only a graph is cut in two. Received: {value!r}"
                )
        if self.dtype_policy.name == "mixed_float16":
            raise ValueError(
                "A network trained in two columns must be of float32 or bfloat16. "
                "Received: mixed_float16"
            )
        super().compile(optimizer, loss, jit_compile=False, **kwargs)
        optimizer.build(self.trainable_variables)

    def train_step(self, data):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        with tf.device(self.devices[0]):
            y_pred = self(x, training=True)
            loss = self.compute_loss(x, y, y_pred, sample_weight, training=True)
            mean_loss = next(metric for metric in self.metrics if metric.name == "loss")
            mean_loss.update_state(loss, sample_weight=tf.shape(x)[0])
            metrics = self.compute_metrics(x, y, y_pred, sample_weight)
        # `tf.gradients` puts the gradient of an operation where the operation is; that of a
        # `tf.GradientTape` would be computed on the first device.
        variables = [
            [v for layer in layers for v in layer.trainable_variables]
            for layers in ([*self.column_a, self.fc8], self.column_b)
        ]
        gradients = iter(tf.gradients(loss, [v.value for column in variables for v in column]))
        step = tf.identity(self.optimizer.iterations.value)
        for device, column in zip(self.devices, variables):
            if column:  # not frozen
                with tf.device(device):
                    self.optimizer.iterations.assign(step)  # the two halves are one step
                    self.optimizer.apply([next(gradients) for _ in column], column)
        return metrics

    def one_device(self) -> keras.Model:
        """The ordinary network with the present weights, to the bit."""
        model = keras.models.model_from_json(self._one_device)
        for a, b in zip(self.column_a, self.column_b):
            model.get_layer(a.name[:-1]).set_weights(
                [np.concatenate(pair, axis=-1) for pair in zip(a.get_weights(), b.get_weights())]
            )
        model.get_layer("fc8").set_weights(self.fc8.get_weights())
        return model

    def save(self, filepath: Any, overwrite: bool = True, **kwargs) -> None:
        """Saves the ordinary network (`one_device`), without the state of the optimizer."""
        self.one_device().save(filepath, overwrite=overwrite, **kwargs)


def _half(layer: keras.layers.Layer, column: str) -> keras.layers.Layer:
    """One column's half of a layer, without its weights."""
    config = {**layer.get_config(), "name": layer.name + column}
    for key in ("filters", "units", "groups"):
        if key in config:
            config[key] = max(1, config[key] // 2)
    return type(layer).from_config(config)


_WITHIN_A_COLUMN = (
    keras.layers.InputLayer,
    keras.layers.ZeroPadding2D,
    keras.layers.Activation,
    keras.layers.BatchNormalization,
    LocalResponseNormalization,
    WithinMapNormalization,
    keras.layers.MaxPooling2D,
    keras.layers.Flatten,
    keras.layers.Dropout,
)


def why_not_two_columns(model: keras.Model) -> str | None:
    """What of the network keeps it from being cut in two, or `None`."""
    weighted = [layer for layer in model.layers if layer.name in LAYERS]
    if tuple(layer.name for layer in weighted) != LAYERS:
        return f"{model.name!r} without some of {', '.join(LAYERS)}"
    for layer, groups in zip(weighted, (1, 2, 1, 2, 2)):
        if not isinstance(layer, GroupedConv2D) or layer.groups != groups:
            return f"{layer.name} in {getattr(layer, 'groups', 'no')} groups, not {groups}"
        if layer.data_format != "channels_last":
            return f"{layer.name} in the data format {layer.data_format!r}, not 'channels_last'"
    for layer in model.layers:
        if layer not in weighted and not isinstance(layer, _WITHIN_A_COLUMN):
            return f"{layer.name}, a layer {type(layer).__name__}"
        if isinstance(layer, LocalResponseNormalization) and layer.groups != 2:
            return (
                f"{layer.name}, whose window crosses the columns, as in variant 'caffe': they "
                "would have to exchange there too"
            )
    return None


def _two_devices(devices: Sequence[str] | None) -> list[str]:
    available = [d.name for kind in ("GPU", "CPU") for d in tf.config.list_logical_devices(kind)]
    if devices is None:
        for kind in ("GPU", "CPU"):
            found = [name for name in available if f":{kind}:" in name]
            if len(found) >= 2:
                return found[:2]
        raise ValueError(
            "`devices` must name two devices where there are neither two GPUs nor two logical CPUs "
            f"(`split_cpu(2)`, first in the program, makes them). Received: {available}"
        )
    # TensorFlow itself would take another device for one that is not there, in silence.
    names = [f"/device:{str(name).removeprefix('/').removeprefix('device:')}" for name in devices]
    if isinstance(devices, str) or len(names) != 2 or not set(names) <= set(available):
        raise ValueError(f"`devices` must be two of {available}. Received: {devices!r}")
    return names
