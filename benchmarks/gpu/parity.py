"""That a GPU computes what numpy and the CPU do: layers, all variants, a training step.

With products in full float32 the differences must be those of rounding; those with TensorFloat-32,
which TensorFlow uses unless told otherwise, are printed beside them.
"""

import itertools
import sys

import numpy as np

from benchmarks.gpu.figures import Keeper, part_parser, read_device

LIMITS = {
    "response normalization": 2e-6,
    "within-map normalization": 2e-6,
    "grouped convolution": 1e-4,
    "forward": 1e-4,
    "step": 1e-2,  # statistics of a batch of four, by which batch normalization divides, amplify
}
"""Largest differences that are taken for rounding, as shares of the largest value."""

STEPS = ("paper", "2012", "batchnorm")
"""The variants that train a step: all layers are in them."""


def lrn_reference(x, size=5, k=2.0, alpha=1e-4, beta=0.75):
    """The paper's formula in float64."""
    x = x.astype("float64")
    channels = x.shape[-1]
    total = np.zeros_like(x)
    for i in range(channels):
        window = x[..., max(0, i - size // 2) : i + (size - 1) // 2 + 1]
        total[..., i] = (window**2).sum(-1)
    return x / (k + alpha * total) ** beta


def within_map_reference(x, size=5, k=1.0, alpha=1e-3, beta=0.75):
    """The 2012 code's formula for a window in the map, in float64."""
    x = x.astype("float64")
    margins = (size // 2, (size - 1) // 2)
    padded = np.pad(x**2, ((0, 0), margins, margins, (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(1, 2))
    return x / (k + alpha / size**2 * windows.sum((-2, -1))) ** beta


def difference(found, expected) -> float:
    """The largest difference as a share of the largest value."""
    found, expected = (np.asarray(x, "float64") for x in (found, expected))
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def layers(rng, shape):
    """Differences of the layers by name; those of half precision are named so."""
    import keras
    import tensorflow as tf

    import alexnet_keras

    x = (50 * rng.standard_normal(shape)).astype("float32")
    reference = lrn_reference(x)
    for policy in ("float32", "mixed_bfloat16", "mixed_float16"):
        layer = alexnet_keras.LocalResponseNormalization(dtype=policy)
        found = tf.cast(layer(x), "float32")
        expected = reference
        if policy != "float32":  # what goes in is rounded, and what comes out
            kind = layer.compute_dtype
            expected = lrn_reference(tf.cast(tf.cast(x, kind), "float32").numpy())
        yield f"response normalization, {policy}", difference(found, expected)
    within = alexnet_keras.WithinMapNormalization()
    yield "within-map normalization", difference(within(x), within_map_reference(x))
    grouped = alexnet_keras.GroupedConv2D(64, 5, padding="same", groups=2)
    found = grouped(x)
    with tf.device("CPU:0"):
        plain = keras.layers.Conv2D(64, 5, padding="same", groups=2)
        plain.build(x.shape)
        plain.set_weights(grouped.get_weights())
        yield "grouped convolution", difference(found, plain(x))


def networks(rng, batch, image_size, width, variants):
    """Differences of each variant's outputs and of its weights' change in a step of training."""
    import keras
    import tensorflow as tf

    import alexnet_keras

    images = (60 * rng.standard_normal((batch, image_size, image_size, 3))).astype("float32")
    labels = np.arange(batch) % 10

    def network(variant, logits):
        activation = None if logits else "softmax"
        keras.utils.set_random_seed(0)
        return alexnet_keras.AlexNet(
            variant=variant,
            classes=10,
            input_shape=(image_size, image_size, 3),
            width=width,
            dropout=0.0,  # whose draws differ
            initialization="he",
            classifier_activation=activation,
        )

    def changes(model, **how):
        before = [np.asarray(w) for w in model.trainable_variables]
        model.compile(alexnet_keras.MomentumSGD(0.001), "sparse_categorical_crossentropy", **how)
        model.train_on_batch(images, labels)
        after = [np.asarray(w) for w in model.trainable_variables]
        return [b - a for a, b in zip(before, after)]

    for variant in variants:
        kinds = [(True, "forward")] + [(False, "step")] * (variant in STEPS)
        for logits, kind in kinds:
            here = network(variant, logits)
            with tf.device("CPU:0"):
                there = network(variant, logits)
                there.set_weights(here.get_weights())
            if logits:
                found = here(images, training=False)
                with tf.device("CPU:0"):
                    expected = there(images, training=False)
                yield f"{kind}, {variant}", difference(found, expected)
                continue
            with tf.device("CPU:0"):
                expected = changes(there, run_eagerly=True, jit_compile=False)
            found = changes(here, jit_compile=bool(tf.config.list_physical_devices("GPU")))
            # Not of less than a hundredth of all: before batch normalization a bias has no gradient
            # but what rounding leaves.
            least = 0.01 * np.sqrt(sum((e**2).sum() for e in expected))
            apart = [
                np.linalg.norm(f - e) / max(np.linalg.norm(e), least)
                for f, e in zip(found, expected)
            ]
            yield f"{kind}, {variant}", float(max(apart))


def main(argv: list[str] | None = None) -> int:
    args = part_parser(__doc__).parse_args(argv)
    import tensorflow as tf

    from alexnet_keras.variants import VARIANTS

    keep, failed = Keeper("parity", args.out), []
    if not args.miniature and not tf.config.list_physical_devices("GPU"):
        print("parity: not run, as TensorFlow sees no GPU here.")
        return 0
    print(f"parity: on {read_device(args.out)['device']}, shares of the largest value")
    size = (2, 67, 0.1) if args.miniature else (4, 227, 1.0)
    shape = (2, 7, 7, 32) if args.miniature else (4, 27, 27, 256)
    variants = ["paper", "batchnorm"] if args.miniature else list(VARIANTS)
    for tf32 in (False, True):
        tf.config.experimental.enable_tensor_float_32_execution(tf32)
        name = "TensorFloat-32" if tf32 else "float32"
        rng = np.random.default_rng(0)
        found = networks(rng, *size, ["paper"] if tf32 else variants)
        for what, apart in itertools.chain(layers(rng, shape), found):
            kind = what.partition(",")[0]
            limit = None if tf32 or "mixed" in what else LIMITS[kind]
            keep(f"{what} ({name})", apart, "of the largest", limit=limit)
            if limit is not None and not apart <= limit:
                failed.append(f"{what}: {apart:.2g}, which must be at most {limit:.2g}")
    print(*failed or ["parity: all is within rounding"], sep="\n")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
