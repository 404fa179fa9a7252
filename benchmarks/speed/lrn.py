"""Local response normalization, forward and backward, at the shapes behind conv1 and conv2."""

import numpy as np

from benchmarks.speed import peers
from benchmarks.speed.harness import Contender, measure, measuring_options, report, speed_parser

SHAPES = {"conv1, 55 x 55 x 96": (55, 55, 96), "conv2, 27 x 27 x 256": (27, 27, 256)}


def _maps(shape):
    rng = np.random.default_rng(0)
    return np.maximum(0, rng.normal(0, 30, shape)).astype("float32")


def _tensorflow(shape, normalize, jit):
    import tensorflow as tf

    x = tf.constant(_maps(shape))

    @tf.function(jit_compile=jit)
    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = normalize(x)
        return tape.gradient(y, x, output_gradients=x)

    return lambda: gradient(x)[0, 0, 0].numpy()


def package(shape, jit):
    """`alexnet_keras.LocalResponseNormalization`, on TensorFlow."""
    from alexnet_keras import LocalResponseNormalization

    return _tensorflow(shape, LocalResponseNormalization(), jit)


def tf_nn(shape, jit):
    """`tf.nn.local_response_normalization`."""
    return _tensorflow(shape, peers.tf_normalization, jit)


def package_on_jax(shape):
    """The layer on JAX."""
    import jax

    from alexnet_keras import LocalResponseNormalization

    layer = LocalResponseNormalization()
    x = jax.numpy.asarray(_maps(shape))
    gradient = jax.jit(lambda x: jax.vjp(layer, x)[1](x)[0])
    return lambda: gradient(x).block_until_ready()


def torch_layer(shape, channels_last):
    """`torch.nn.LocalResponseNorm`."""
    import torch

    layer = peers.torch_normalization()
    x = torch.from_numpy(_maps(shape)).permute(0, 3, 1, 2)
    x = (x if channels_last else x.contiguous()).requires_grad_()
    upstream = x.detach()
    return lambda: torch.autograd.grad(layer(x), x, upstream)


def main(argv: list[str] | None = None) -> None:
    parser = speed_parser(__doc__)
    parser.add_argument("--batch-size", type=int, default=64)
    args = parser.parse_args(argv)
    batch_size = 2 if args.miniature else args.batch_size
    sections = {}
    for title, shape in SHAPES.items():
        shape = (batch_size, *((3, 3, 8) if args.miniature else shape))
        others = [
            Contender("package under XLA", package, {"shape": shape, "jit": True}, batch_size),
            Contender("tf.nn", tf_nn, {"shape": shape, "jit": False}, batch_size),
            Contender(
                "package on JAX",
                package_on_jax,
                {"shape": shape},
                batch_size,
                {"KERAS_BACKEND": "jax"},
            ),
        ]
        for layout in ("channels_first", "channels_last"):
            arguments = {"shape": shape, "channels_last": layout == "channels_last"}
            others.append(Contender(f"torch, {layout}", torch_layer, arguments, batch_size))
        results = measure(
            Contender("package", package, {"shape": shape, "jit": False}, batch_size),
            *others,
            **measuring_options(args),
        )
        sections[title] = {"results": results, "unit": "images/s"}
    settings = {
        "batch_size": batch_size,
        "threads": args.threads or "all",
        "repetitions": args.repetitions,
    }
    report("lrn", settings, sections, args.out)


if __name__ == "__main__":
    main()
