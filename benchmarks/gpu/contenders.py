"""What takes part in the measurement of speed on a GPU, beside what `benchmarks.speed` has.

PyTorch runs as its users are told to: channels last, `cudnn.benchmark`, a fused optimizer, and it
waits for the card once in several steps. `train_on_batch` waits after each step.
"""

from benchmarks.speed import inference, training
from benchmarks.speed.networks import batch, build


def fit(
    batch_size, image_size, width, classes, steps, picture_dtype, precision="float32", jit=False
):
    """`fit` over pictures in the host's memory, uint8 or float32, sent to the card each step."""
    import numpy as np
    import tensorflow as tf

    import alexnet_keras

    model = build(image_size, width, classes, precision)
    model.compile(alexnet_keras.MomentumSGD(), "sparse_categorical_crossentropy", jit_compile=jit)
    images, labels = batch(batch_size, image_size, classes)
    if picture_dtype == "uint8":
        images = np.clip(images + 128, 0, 255).astype("uint8")
    with tf.device("CPU:0"):
        batches = tf.data.Dataset.from_tensors((images, labels)).repeat(steps)
        batches = batches.prefetch(tf.data.AUTOTUNE)
    return lambda: model.fit(batches, verbose=0)


def keras_inference(network, batch_size, image_size, width, classes, steps, jit=False, **arguments):
    """A network of Keras whose probabilities stay on the device, on TensorFlow or JAX.

    Args:
        network: "package", or "obvious" for `peers.obvious_keras_alexnet`.
    """
    import keras

    from benchmarks.speed.peers import obvious_keras_alexnet

    if network == "obvious":
        model = obvious_keras_alexnet(classes, width, image_size)
    else:
        model = build(image_size, width, classes, **arguments)
    images = keras.ops.convert_to_tensor(batch(batch_size, image_size, 2)[0])
    if keras.backend.backend() == "jax":
        import jax

        weights = [
            [variable.value for variable in variables]
            for variables in (model.trainable_variables, model.non_trainable_variables)
        ]
        jitted = jax.jit(lambda weights, x: model.stateless_call(*weights, x, training=False)[0])

        def forward(x):
            return jitted(weights, x)
    else:
        import tensorflow as tf

        forward = tf.function(lambda x: model(x, training=False), jit_compile=jit)

    def run():
        for _ in range(steps):
            probabilities = forward(images)
        return float(probabilities[0, 0])  # waits for the card

    return run


def _torch_device() -> str:
    import torch

    torch.backends.cudnn.benchmark = True
    return "cuda" if torch.cuda.is_available() else "cpu"


def torch_training(compiled, **arguments):
    """`benchmarks.speed.training.torch_step` on the card, compiled only where there is one."""
    device = _torch_device()
    compiled, fused = compiled and device == "cuda", device == "cuda" or None
    return training.torch_step(**arguments, device=device, compiled=compiled, fused=fused)


def torch_inference(compiled, **arguments):
    """`benchmarks.speed.inference.torch_model` on the card, compiled only where there is one."""
    device = _torch_device()
    compiled = compiled and device == "cuda"
    return inference.torch_model(**arguments, device=device, compiled=compiled)


def matrix_product(size, steps):
    """A large bfloat16 product in PyTorch: the rate that a step could reach at best."""
    import torch

    a, b = torch.randn((2, size, size), device=_torch_device(), dtype=torch.bfloat16)

    def run():
        for _ in range(steps):
            c = a @ b
        return c[0, 0].item()  # waits for the card

    return run
