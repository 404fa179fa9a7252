"""A grouped convolution that is fast to train on a CPU, too."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("alexnet_keras")
class GroupedConv2D(keras.layers.Conv2D):
    """A `keras.layers.Conv2D` whose groups are computed as separate convolutions.

    The function, the arguments and the weights are those of `keras.layers.Conv2D`; only the way to
    compute `groups > 1` differs. On a CPU, TensorFlow's gradient of a grouped convolution is about
    ten times slower than that of as many separate ones. With `groups=2` it is also the paper's
    picture (section 3.5): each column has its own kernels and sees its own half of the maps.

    Input and output shape: as `keras.layers.Conv2D`.

    Example:

    >>> import numpy as np
    >>> from alexnet_keras import GroupedConv2D
    >>> conv2 = GroupedConv2D(256, 5, padding="same", groups=2)
    >>> conv2(np.zeros((1, 27, 27, 96), "float32")).shape[-1], tuple(conv2.kernel.shape)
    (256, (5, 5, 48, 256))
    """

    def call(self, inputs):
        if self.groups == 1:
            return super().call(inputs)
        axis = -1 if self.data_format == "channels_last" else 1
        outputs = [
            ops.conv(
                maps,
                kernel,
                strides=list(self.strides),
                padding=self.padding,
                data_format=self.data_format,
                dilation_rate=self.dilation_rate,
            )
            for maps, kernel in zip(
                ops.split(inputs, self.groups, axis=axis),
                ops.split(self.kernel, self.groups, axis=-1),
            )
        ]
        x = ops.concatenate(outputs, axis=axis)
        if self.use_bias:
            shape = (-1, 1, 1) if axis == 1 else (-1,)
            x = x + ops.reshape(self.bias, shape)
        return x if self.activation is None else self.activation(x)
