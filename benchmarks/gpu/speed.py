"""How fast a GPU trains and classifies at the paper's size: this package, PyTorch, and Keras as
usually written, all measured in turns in one run.
"""

import importlib.util
import statistics

from benchmarks.gpu import contenders
from benchmarks.gpu.figures import Keeper, part_parser, read_device
from benchmarks.speed import training
from benchmarks.speed.harness import Contender, measure_together
from benchmarks.speed.networks import network_size

OURS = "package on TensorFlow, XLA, bfloat16"
PRODUCT = "matrix product, bfloat16"
LEAST_SECONDS = 0.7
"""That a measurement takes."""


def entries(size: dict, batch_size: int, steps: int, side: int) -> list[Contender]:
    """All that is measured, the most important first."""
    environments = {
        "tensorflow": {"KERAS_BACKEND": "tensorflow"},
        "jax": {"KERAS_BACKEND": "jax", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"},
        "torch": {},
    }

    def entry(kind, name, prepare, home, calls=1, **arguments):
        work = batch_size * calls
        arguments = {"batch_size": batch_size, **size, **arguments}
        return Contender(f"{kind}: {name}", prepare, arguments, work, environments[home])

    def training_step(name, prepare, home, **arguments):
        return entry("training step", name, prepare, home, arguments.get("steps", 1), **arguments)

    def inference(name, prepare, home, **arguments):
        return entry("inference", name, prepare, home, steps, steps=steps, **arguments)

    def keras_inference(name, home, **arguments):
        return inference(name, contenders.keras_inference, home, **arguments)

    def fit(name, dtype, jit):
        arguments = {
            "picture_dtype": dtype,
            "jit": jit,
            "precision": "bfloat16",
            "steps": 3 * steps,
        }
        return entry("fit", name, contenders.fit, "tensorflow", 3 * steps, **arguments)

    half, theirs = {"precision": "bfloat16"}, {"autocast": True, "channels_last": True}
    several = {**theirs, "steps": steps}
    package = training.package
    return [
        training_step(OURS, package, "tensorflow", jit=True, **half),
        Contender(
            PRODUCT,
            contenders.matrix_product,
            {"size": side, "steps": 5 * steps},
            5 * steps * 2.0 * side**3,
        ),
        training_step(
            "torch compiled, bfloat16", contenders.torch_training, "torch", compiled=True, **several
        ),
        keras_inference(OURS, "tensorflow", network="package", jit=True, **half),
        inference(
            "torch compiled, bfloat16", contenders.torch_inference, "torch", compiled=True, **theirs
        ),
        fit("uint8 pictures, XLA, bfloat16", "uint8", True),
        fit("float32 pictures, XLA, bfloat16", "float32", True),
        training_step("package on TensorFlow, bfloat16", package, "tensorflow", jit=False, **half),
        keras_inference(
            "package on TensorFlow, bfloat16", "tensorflow", network="package", jit=False, **half
        ),
        training_step(
            "torch eager, bfloat16", contenders.torch_training, "torch", compiled=False, **several
        ),
        inference(
            "torch eager, bfloat16", contenders.torch_inference, "torch", compiled=False, **theirs
        ),
        training_step("package on JAX, bfloat16", package, "jax", jit=True, **half),
        keras_inference("package on JAX, bfloat16", "jax", network="package", **half),
        training_step("package on TensorFlow, XLA, float32", package, "tensorflow", jit=True),
        training_step(
            "Keras with groups=2, float32", training.obvious_keras, "tensorflow", jit="auto"
        ),
        keras_inference("Keras with groups=2, float32", "tensorflow", network="obvious", jit=True),
        keras_inference(
            "package on TensorFlow, XLA, float32",
            "tensorflow",
            network="package",
            jit=True,
            precision="float32",
        ),
    ]


def main(argv: list[str] | None = None) -> None:
    parser = part_parser(__doc__)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--repetitions", type=int, default=3, help="rounds (default: 3)")
    args = parser.parse_args(argv)
    if not args.miniature and read_device(args.out)["gpu"] is None:
        print("speed: not run, as there is no GPU here.")
        return
    size = network_size(args.miniature)
    batch_size, steps = (2, 2) if args.miniature else (args.batch_size, 20)
    wanted = entries(size, batch_size, steps, 64 if args.miniature else 8192)
    missing = [name for name in ("torch", "jax") if importlib.util.find_spec(name) is None]
    for name in missing:
        print(f"speed: {name} is not measured, as it is not installed.")
    settings = {**size, "batch_size": batch_size}
    keep = Keeper("speed", args.out, settings)
    rates = measure_together(
        wanted,
        repetitions=args.repetitions,
        seconds=0 if args.miniature else LEAST_SECONDS,
        limit=args.seconds,
    )
    for contender in wanted:
        if contender.name == PRODUCT and PRODUCT in rates:
            keep.rates(PRODUCT, [rate / 1e12 for rate in rates[PRODUCT]], "TFLOP/s")
        elif contender.name in rates:
            keep.rates(contender.name, rates[contender.name], "images/s")
    for kind in ("training step", "inference"):
        first = f"{kind}: {OURS}"
        for name in rates:
            if first in rates and name.startswith(kind) and name != first:
                ratios = [a / b for a, b in zip(rates[first], rates[name])]
                keep.rates(f"{first} over {name.partition(': ')[2]}", ratios, "times")
    step = f"training step: {OURS}"
    if step in rates:
        for name in rates:
            if name.startswith("fit"):
                shares = [a / b for a, b in zip(rates[name], rates[step])]
                keep.rates(f"{name}, of the step's rate", shares, "share")
        if PRODUCT in rates:
            operations = training.step_operations(**size)
            share = operations * statistics.median(rates[step]) / statistics.median(rates[PRODUCT])
            keep(f"{step}, of the {PRODUCT}", share, "share")


if __name__ == "__main__":
    main()
