"""The training step of the paper's network: this package, PyTorch, and Keras as usually written."""

from benchmarks.speed import peers
from benchmarks.speed.harness import Contender, measure, measuring_options, report, speed_parser
from benchmarks.speed.networks import batch, build, network_size


def package(batch_size, image_size, width, classes, precision="float32", jit=False):
    """The network and the optimizer of `alexnet-keras train`."""
    import alexnet_keras

    model = build(image_size, width, classes, precision)
    return keras_step(
        model, alexnet_keras.MomentumSGD(), jit, *batch(batch_size, image_size, classes)
    )


def obvious_keras(batch_size, image_size, width, classes, jit=False):
    """`Conv2D(groups=2)`, `tf.nn.local_response_normalization` and Keras's defaults.

    Keras would choose XLA (`jit="auto"`), which is slower on a CPU for it as well.
    """
    import keras

    model = peers.obvious_keras_alexnet(classes, width, image_size)
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9, weight_decay=0.0005)
    return keras_step(model, optimizer, jit, *batch(batch_size, image_size, classes))


def keras_step(model, optimizer, jit, images, labels):
    import keras

    model.compile(optimizer, "sparse_categorical_crossentropy", jit_compile=jit)
    images, labels = map(keras.ops.convert_to_tensor, (images, labels))
    return lambda: model.train_on_batch(images, labels)


def torch_step(autocast=False, compiled=False, device="cpu", fused=None, steps=1, **placed):
    """The same in PyTorch; `placed` is for `peers.torch_network`.

    The loss is read, for which a GPU is waited for, after so many `steps`.
    """
    import torch

    model, images, labels = peers.torch_network(device=device, **placed)
    optimizer = torch.optim.SGD(
        model.parameters(), 0.01, momentum=0.9, weight_decay=0.0005, fused=fused
    )
    forward = torch.compile(model) if compiled else model

    def run():
        for _ in range(steps):
            optimizer.zero_grad()
            with torch.autocast(device, torch.bfloat16, enabled=autocast):
                loss = torch.nn.functional.cross_entropy(forward(images), labels)
            loss.backward()
            optimizer.step()
        return loss.item()

    return run


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
    parser = speed_parser(__doc__)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--jax", action="store_true", help="the package on JAX, too")
    parser.add_argument("--compiled", action="store_true", help="torch.compile, too (needs C++)")
    args = parser.parse_args(argv)
    images = 2 if args.miniature else args.batch_size
    size = {"batch_size": images, **network_size(args.miniature)}
    options = measuring_options(args, seconds=3)
    sections = {}
    for precision in ("float32", "bfloat16"):
        others = []
        if precision == "float32":
            others.append(Contender("Keras with groups=2, float32", obvious_keras, size, images))
        for compiled in (False, True)[: 1 + args.compiled]:
            for layout in ("channels_first", "channels_last"):
                # A package in bfloat16 is measured beside PyTorch in both.
                for theirs in dict.fromkeys(("float32", precision)):
                    arguments = {
                        **size,
                        "channels_last": layout == "channels_last",
                        "autocast": theirs == "bfloat16",
                        "compiled": compiled,
                    }
                    name = f"torch{' compiled' * compiled}, {layout}, {theirs}"
                    others.append(Contender(name, torch_step, arguments, images))
        if args.jax:
            arguments = {**size, "precision": precision, "jit": True}
            backend = {"KERAS_BACKEND": "jax"}
            others.append(Contender("package on JAX", package, arguments, images, backend))
        ours = Contender(f"package, {precision}", package, {**size, "precision": precision}, images)
        results = measure(ours, *others, **options)
        sections[f"Training step, {precision}"] = {"results": results, "unit": "images/s"}
    side = 64 if args.miniature else 4096
    operations = step_operations(size["image_size"], size["width"], size["classes"])
    ours = Contender("package, float32", package, size, images * operations)
    product = Contender("matrix product", matrix_product, {"size": side}, 2.0 * side**3)
    sections["Against a large float32 matrix product"] = {
        "results": measure(ours, product, **options),
        "unit": "GFLOP/s",
        "scale": 1e9,
    }
    settings = {**size, "threads": args.threads or "all", "repetitions": args.repetitions}
    report("training", settings, sections, args.out)


if __name__ == "__main__":
    main()
