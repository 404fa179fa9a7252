"""The network whose speed is measured, and noise to feed it."""

from typing import Any


def network_size(miniature: bool) -> dict[str, Any]:
    """The paper's size as arguments of `build`, or one so small that it shows nothing but a run."""
    if miniature:
        return {"image_size": 67, "width": 0.05, "classes": 10}
    return {"image_size": 227, "width": 1.0, "classes": 1000}


def batch(batch_size: int, image_size: int, classes: int):
    """Noise of the spread of pictures, channels last, and labels."""
    import numpy as np

    rng = np.random.default_rng(0)
    images = rng.normal(0, 60, (batch_size, image_size, image_size, 3)).astype("float32")
    return images, rng.integers(0, classes, batch_size)


def build(image_size: int, width: float, classes: int, precision: str):
    """The paper's network with the paper's initial weights."""
    import alexnet_keras
    from alexnet_keras.training import build_model

    config = alexnet_keras.TrainingConfig(
        image_size=image_size, width=width, precision=precision, initialization="variant"
    )
    return build_model(config, classes)
