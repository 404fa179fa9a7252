"""What the package is measured against: AlexNet as it is usually written."""

from benchmarks.speed.networks import batch


def _scaled(count: int, width: float) -> int:
    return count if width == 1 else 2 * max(1, round(count * width / 2))


def tf_normalization(x):
    """The paper's response normalization by TensorFlow's own op."""
    import tensorflow as tf

    return tf.nn.local_response_normalization(x, 2, bias=2.0, alpha=1e-4, beta=0.75)


def torch_normalization():
    """PyTorch's layer for it, which divides alpha by the size of the window."""
    from torch import nn

    return nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)


def torch_alexnet(classes: int, width: float, image_size: int):
    """The paper's network in PyTorch, with its own grouped convolutions and normalization."""
    from torch import nn

    sizes = (96, 256, 384, 384, 256, 4096)
    n1, n2, n3, n4, n5, dense = (_scaled(size, width) for size in sizes)
    side = image_size
    for kernel, stride in ((11, 4), (3, 2), (3, 2), (3, 2)):
        side = (side - kernel) // stride + 1

    norm = torch_normalization
    return nn.Sequential(
        *(nn.Conv2d(3, n1, 11, stride=4), nn.ReLU(), norm(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(n1, n2, 5, padding=2, groups=2), nn.ReLU(), norm(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(n2, n3, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(n3, n4, 3, padding=1, groups=2), nn.ReLU()),
        *(nn.Conv2d(n4, n5, 3, padding=1, groups=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        nn.Flatten(),
        *(nn.Linear(n5 * side * side, dense), nn.ReLU(), nn.Dropout(0.5)),
        *(nn.Linear(dense, dense), nn.ReLU(), nn.Dropout(0.5)),
        nn.Linear(dense, classes),
    )


def torch_network(batch_size, image_size, width, classes, channels_last=False, device="cpu"):
    """PyTorch's network, images `(batch, 3, height, width)` in the same layout, and labels."""
    import torch

    images, labels = (
        torch.from_numpy(x).to(device) for x in batch(batch_size, image_size, classes)
    )
    images = images.permute(0, 3, 1, 2)  # channels last in memory
    model = torch_alexnet(classes, width, image_size).to(device)
    if channels_last:
        return model.to(memory_format=torch.channels_last), images, labels
    return model, images.contiguous(), labels


def obvious_keras_alexnet(classes: int, width: float, image_size: int):
    """The paper's network as a Keras tutorial has it: `groups=2` and TensorFlow's own op."""
    import keras

    def conv(filters, kernel, **options):
        options = {"padding": "same", "activation": "relu", **options}
        return keras.layers.Conv2D(_scaled(filters, width), kernel, **options)

    def norm():
        return keras.layers.Lambda(tf_normalization)

    def dense():
        return keras.layers.Dense(_scaled(4096, width), activation="relu")

    return keras.Sequential(
        [
            keras.Input((image_size, image_size, 3)),
            *(conv(96, 11, strides=4, padding="valid"), norm(), keras.layers.MaxPooling2D(3, 2)),
            *(conv(256, 5, groups=2), norm(), keras.layers.MaxPooling2D(3, 2)),
            conv(384, 3),
            conv(384, 3, groups=2),
            *(conv(256, 3, groups=2), keras.layers.MaxPooling2D(3, 2)),
            keras.layers.Flatten(),
            *(dense(), keras.layers.Dropout(0.5)),
            *(dense(), keras.layers.Dropout(0.5)),
            keras.layers.Dense(classes, activation="softmax"),
        ]
    )
