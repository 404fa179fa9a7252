"""A network of four layers on small pictures, for two claims of the paper.

As in cuda-convnet's `example-layers/layers-19pct.cfg` for CIFAR-10 (the paper does not print its
own): 5 x 5 convolutions of 32, 32 and 64 maps, times `--width`; after the first a maximum, after
the others a mean over overlapping 3 x 3 windows with stride 2; a dense layer. Pictures of 32 x 32,
less the mean colour and divided by the deviation of all their pixels, without augmentation.
"""

from benchmarks.common import argument_parser


def four_layers(classes, width, activation="relu", alpha=None, start="he_normal"):
    """The network, from scaled pixels to probabilities.

    Args:
        classes: how many there are.
        width: factor of the maps.
        activation: of the convolutions.
        alpha: of the response normalization behind the first two; `None` for none.
        start: initializer of the convolutions, and of the dense layer unless it is He's.
    """
    import keras

    from alexnet_keras import LocalResponseNormalization

    def conv(x, filters):
        filters = max(1, round(width * filters))
        x = keras.layers.Conv2D(filters, 5, padding="same", kernel_initializer=start)(x)
        return keras.layers.Activation(activation)(x)

    def norm(x):  # size, k and beta as in cuda-convnet's layers-conv-local-11pct.cfg
        layer = LocalResponseNormalization(5, k=1.0, alpha=alpha or 0.0, divide_alpha_by_size=True)
        return x if alpha is None else layer(x)

    average = keras.layers.AveragePooling2D
    image = x = keras.Input((32, 32, 3))
    x = keras.layers.MaxPooling2D(3, 2, "same")(norm(conv(x, 32)))  # 16 x 16
    x = average(3, 2, "same")(norm(conv(x, 32)))  # 8 x 8
    x = average(3, 2, "same")(conv(x, 64))  # 4 x 4
    last = "glorot_uniform" if start == "he_normal" else start
    dense = keras.layers.Dense(classes, activation="softmax", kernel_initializer=last)
    x = dense(keras.layers.Flatten()(x))
    return keras.Model(image, x)


def small_pictures(data: str, data_dir: str | None, limit: int | None = None):
    """The pictures as 32 x 32 squares, scaled by the training split, and the labels.

    Returns:
        The name of each split with float32 `(pictures, 32, 32, 3)` and int64 `(pictures,)`, the
        number of classes, and the deviation that the pixels were divided by.
    """
    import numpy as np

    from alexnet_keras import open_dataset
    from alexnet_keras.pictures import central_square

    dataset = open_dataset(data, data_dir)
    splits = {}
    for split in ("train", "validation"):
        examples = dataset.decoded(split).map(
            lambda example: (central_square(example["image"], 32), example["label"])
        )
        pairs = list(examples.take(limit or -1).as_numpy_iterator())
        splits[split] = tuple(np.stack(part) for part in zip(*pairs))
    pixels = splits["train"][0]
    mean, deviation = pixels.mean(axis=(0, 1, 2)), pixels.std().item()
    splits = {k: ((x - mean) / deviation, y) for k, (x, y) in splits.items()}
    return splits, len(dataset.class_names), deviation


def compiled(model, learning_rate, weight_decay=0.0):
    """The model with the paper's optimizer."""
    from alexnet_keras import MomentumSGD

    model.compile(
        MomentumSGD(learning_rate, 0.9, weight_decay),
        "sparse_categorical_crossentropy",
        weighted_metrics=["accuracy"],
        jit_compile=False,
    )
    return model


def four_layers_parser(description: str):
    """What the scripts that train the four layers take."""
    parser = argument_parser(description, repetitions=3)
    parser.add_argument("--data", default="openclipart")
    parser.add_argument("--data-dir")
    parser.add_argument("--width", type=float, default=0.5, help="factor of the maps")
    parser.add_argument("--batch-size", type=int, default=32)
    return parser
