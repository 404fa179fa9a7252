import keras
import numpy as np
import torch

from alexnet_keras import AlexNet
from alexnet_keras.exchange import torch_twin as twins

SMALL = {"classes": 5, "width": 0.1}
SIZE = 80  # 2 x 2 maps at the end, so that the order of flattening matters


def keras_model(size=SIZE, **arguments):
    keras.utils.set_random_seed(0)
    options = {**SMALL, "initialization": "he", **arguments}
    return AlexNet(input_shape=(size, size, 3), **options)


def model_and_twin(size=SIZE, **arguments):
    model = keras_model(size, **arguments)
    options = {k: v for k, v in {**SMALL, **arguments}.items() if k != "classifier_activation"}
    twin = twins.torch_alexnet(image_size=size, **options)
    twins.copy_to_torch(model, twin)
    return model, twin.eval()


def pictures(count=4, size=SIZE, seed=0, scale=250):
    """Noise, strong enough for the normalization to matter."""
    return np.random.default_rng(seed).normal(0, scale, (count, size, size, 3)).astype("float32")


def through(twin, x):
    with torch.no_grad():
        return twin(torch.from_numpy(x).permute(0, 3, 1, 2)).softmax(1).numpy()
