"""The paper's network classifying: this package, PyTorch, the obvious Keras model, and runtimes."""

import os
import tempfile

from benchmarks.speed import peers
from benchmarks.speed.harness import Contender, measure, measuring_options, report, speed_parser
from benchmarks.speed.networks import batch, build, network_size


def package(batch_size, image_size, width, classes, precision="float32"):
    """The network by `predict_on_batch`."""
    return _keras(build(image_size, width, classes, precision), batch_size, image_size)


def obvious_keras(batch_size, image_size, width, classes):
    """`Conv2D(groups=2)` and `tf.nn.local_response_normalization`."""
    model = peers.obvious_keras_alexnet(classes, width, image_size)
    return _keras(model, batch_size, image_size)


def _keras(model, batch_size, image_size):
    import keras

    model.compile(jit_compile="auto" if keras.backend.backend() == "jax" else False)
    images = keras.ops.convert_to_tensor(batch(batch_size, image_size, 2)[0])
    return lambda: model.predict_on_batch(images)


def torch_model(autocast=False, compiled=False, device="cpu", steps=1, **placed):
    """The same in PyTorch, in `torch.inference_mode`; `placed` is for `peers.torch_network`.

    Of several `steps` only the last one's probabilities leave the device.
    """
    import torch

    model, images, _ = peers.torch_network(device=device, **placed)
    model = model.eval()
    forward = torch.compile(model) if compiled else model

    def run():
        with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=autocast):
            for _ in range(steps):
                probabilities = torch.softmax(forward(images), dim=1)
            return probabilities.float().cpu().numpy()

    return run


def _exported(folder, kind, image_size, width, classes):
    model = build(image_size, width, classes, "float32")
    model(batch(1, image_size, 2)[0])  # export refuses a model that was never called
    path = os.path.join(folder, f"model.{'onnx' if kind == 'onnx' else 'tflite'}")
    model.export(path, format=kind, verbose=False)
    return path


def onnx_runtime(batch_size, image_size, width, classes):
    """The package's network, exported, in ONNX Runtime."""
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        path = _exported(folder, "onnx", image_size, width, classes)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    inputs = {session.get_inputs()[0].name: batch(batch_size, image_size, 2)[0]}
    return lambda: session.run(None, inputs)


def litert(batch_size, image_size, width, classes):
    """The package's network, exported, in LiteRT."""
    from ai_edge_litert.interpreter import Interpreter

    with tempfile.TemporaryDirectory() as folder:
        path = _exported(folder, "litert", image_size, width, classes)
        interpreter = Interpreter(path, num_threads=len(os.sched_getaffinity(0)))
    images = batch(batch_size, image_size, 2)[0]
    interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], images.shape)
    runner = interpreter.get_signature_runner()
    name = next(iter(runner.get_input_details()))
    return lambda: runner(**{name: images})


def main(argv: list[str] | None = None) -> None:
    parser = speed_parser(__doc__)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[64, 1])
    args = parser.parse_args(argv)
    sections = {}
    network = network_size(args.miniature)
    for batch_size in [2] if args.miniature else args.batch_sizes:
        size = {"batch_size": batch_size, **network}
        others = [
            Contender("package, bfloat16", package, {**size, "precision": "bfloat16"}, batch_size),
            Contender("Keras with groups=2, float32", obvious_keras, size, batch_size),
            Contender("package in ONNX Runtime, float32", onnx_runtime, size, batch_size),
            Contender("package in LiteRT, float32", litert, size, batch_size),
        ]
        for layout in ("channels_first", "channels_last"):
            for precision in ("float32", "bfloat16"):
                arguments = {
                    **size,
                    "channels_last": layout == "channels_last",
                    "autocast": precision == "bfloat16",
                }
                name = f"torch, {layout}, {precision}"
                others.append(Contender(name, torch_model, arguments, batch_size))
        results = measure(
            Contender("package, float32", package, size, batch_size),
            *others,
            **measuring_options(args),
        )
        sections[f"Batch {batch_size}"] = {"results": results, "unit": "images/s"}
    settings = {**network, "threads": args.threads or "all", "repetitions": args.repetitions}
    report("inference", settings, sections, args.out)


if __name__ == "__main__":
    main()
