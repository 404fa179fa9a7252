"""The training step of the paper's network: this package, PyTorch, and Keras as usually written."""

from benchmarks import peers
from benchmarks.harness import Contender, argument_parser, best, measure, report


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


def package(batch_size, image_size, width, classes, precision="float32", jit=False):
    """The network and the optimizer of `alexnet-keras train`."""
    import alexnet_keras

    model = build(image_size, width, classes, precision)
    return _keras_step(
        model, alexnet_keras.MomentumSGD(), jit, *batch(batch_size, image_size, classes)
    )


def obvious_keras(batch_size, image_size, width, classes):
    """`Conv2D(groups=2)`, `tf.nn.local_response_normalization` and Keras's defaults."""
    import keras

    model = peers.obvious_keras_alexnet(classes, width, image_size)
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9, weight_decay=0.0005)
    # "auto" would choose XLA, which is slower on a CPU for it as well.
    return _keras_step(model, optimizer, False, *batch(batch_size, image_size, classes))


def _keras_step(model, optimizer, jit, images, labels):
    import keras

    model.compile(optimizer, "sparse_categorical_crossentropy", jit_compile=jit)
    images, labels = map(keras.ops.convert_to_tensor, (images, labels))
    return lambda: model.train_on_batch(images, labels)


def torch_step(
    batch_size,
    image_size,
    width,
    classes,
    channels_last=False,
    autocast=False,
    compiled=False,
    device="cpu",
):
    """The same in PyTorch."""
    import torch

    images, labels = (
        torch.from_numpy(x).to(device) for x in batch(batch_size, image_size, classes)
    )
    images = images.permute(0, 3, 1, 2)  # channels last in memory
    model = peers.torch_alexnet(classes, width, image_size).to(device)
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
    else:
        images = images.contiguous()
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9, weight_decay=0.0005)
    forward = torch.compile(model) if compiled else model

    def step():
        optimizer.zero_grad()
        with torch.autocast(device, torch.bfloat16, enabled=autocast):
            loss = torch.nn.functional.cross_entropy(forward(images), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def matrix_product(size):
    """A large float32 product in TensorFlow: the rate that a training step could reach at best."""
    import tensorflow as tf

    a, b = tf.random.normal((2, size, size))
    return lambda: tf.matmul(a, b).numpy()


def step_operations(image_size: int, width: float, classes: int) -> float:
    """Floating-point operations of one image's training step in convolutions and dense layers.

    Forward, gradient of the weights and gradient of the inputs are as many each; conv1 needs no
    gradient of its input. A multiply-add is two operations.
    """
    import alexnet_keras

    model = alexnet_keras.AlexNet(
        input_shape=(image_size, image_size, 3), width=width, classes=classes
    )
    costs = {cost.name: cost.multiply_adds for cost in alexnet_keras.layer_costs(model)}
    return 2 * (3 * sum(costs.values()) - costs["conv1"])


def main(argv: list[str] | None = None) -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--jax", action="store_true", help="the package on JAX, too")
    parser.add_argument("--compiled", action="store_true", help="torch.compile, too (needs C++)")
    args = parser.parse_args(argv)
    size = {
        "batch_size": 2 if args.miniature else args.batch_size,
        "image_size": 67 if args.miniature else 227,
        "width": 0.05 if args.miniature else 1.0,
        "classes": 10 if args.miniature else 1000,
    }
    images = size["batch_size"]
    bfloat16 = {**size, "precision": "bfloat16"}
    contenders = [
        Contender("package, float32", package, size, images),
        Contender("package, bfloat16", package, bfloat16, images),
        Contender("Keras with groups=2, float32", obvious_keras, size, images),
    ]
    for layout in ("channels_first", "channels_last"):
        for precision in ("float32", "bfloat16"):
            arguments = {
                **size,
                "channels_last": layout == "channels_last",
                "autocast": precision == "bfloat16",
            }
            contenders.append(
                Contender(f"torch, {layout}, {precision}", torch_step, arguments, images)
            )
            if args.compiled:
                compiled = {**arguments, "compiled": True}
                name = f"torch compiled, {layout}, {precision}"
                contenders.append(Contender(name, torch_step, compiled, images))
    if args.jax:
        backend = {"KERAS_BACKEND": "jax"}
        contenders += [
            Contender("package on JAX, float32", package, {**size, "jit": True}, images, backend),
            Contender(
                "package on JAX, bfloat16", package, {**bfloat16, "jit": True}, images, backend
            ),
        ]
    side = 64 if args.miniature else 4096
    product = Contender("matrix product", matrix_product, {"size": side}, 2.0 * side**3)
    results = measure(
        [*contenders, product],
        repetitions=args.repetitions,
        seconds=0 if args.miniature else 5,
        threads=args.threads,
        isolated=not args.miniature,
    )
    limit = results.pop("matrix product")
    references = [
        best(results, "torch", "float32"),
        best(results, "torch", "bfloat16"),
        "Keras with groups=2, float32",
    ]
    operations = step_operations(size["image_size"], size["width"], size["classes"])
    ours = results["package, float32"]
    sections = {
        "Training step": {"results": results, "unit": "images/s", "references": references},
        "Against a large float32 matrix product": {
            "results": {
                "package, float32": type(ours)([rate * operations for rate in ours.rates]),
                "matrix product": limit,
            },
            "unit": "GFLOP/s",
            "scale": 1e9,
            "references": ["matrix product"],
        },
    }
    settings = {**size, "threads": args.threads or "all", "repetitions": args.repetitions}
    report("training", settings, sections, args.out)


if __name__ == "__main__":
    main()
