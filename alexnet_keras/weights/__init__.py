"""Published weights into a network: files in, arrays out.

Knows the files of torchvision, Caffe and Keras, and no model class.
"""

from alexnet_keras.weights.load import PUBLISHED_MEANS, load_weights

__all__ = [
    "PUBLISHED_MEANS",
    "load_weights",
]
