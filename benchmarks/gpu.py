"""The package on JAX against PyTorch, compiled, in bfloat16, on one GPU (or, small, without one).

Needs `jax` (`jax[cuda13]` for an NVIDIA GPU) and `torch`.
"""

from benchmarks import inference, training
from benchmarks.harness import Contender, Result, argument_parser, best, measure, report

SIDE = 8192
JAX = {
    "KERAS_BACKEND": "jax",
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # all the contenders share the card
}


def matrix_product(size):
    """A large bfloat16 product in PyTorch: the rate that a step could reach at best."""
    import torch

    device = _device()
    a, b = torch.randn((2, size, size), device=device, dtype=torch.bfloat16)
    # One element of a hundred products: the wait for the card is a small part then.
    repeats = 100 if device == "cuda" else 1

    def run():
        for _ in range(repeats):
            c = a @ b
        return c[0, 0].item()

    return run


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def torch_training(**arguments):
    """`benchmarks.training.torch_step` on the GPU, compiled where there is one."""
    device = _device()
    return training.torch_step(**arguments, device=device, compiled=device == "cuda")


def torch_inference(**arguments):
    """`benchmarks.inference.torch_model` on the GPU, compiled where there is one."""
    device = _device()
    return inference.torch_model(**arguments, device=device, compiled=device == "cuda")


def main(argv: list[str] | None = None) -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[128, 1024])
    args = parser.parse_args(argv)
    network = {
        "image_size": 67 if args.miniature else 227,
        "width": 0.05 if args.miniature else 1.0,
        "classes": 10 if args.miniature else 1000,
    }
    sections = {}
    for batch_size in [2] if args.miniature else args.batch_sizes:
        size = {**network, "batch_size": batch_size}
        for title, ours, theirs in (
            ("Training step", training.package, torch_training),
            ("Inference", inference.package, torch_inference),
        ):
            bfloat16 = {**size, "precision": "bfloat16"}
            if title == "Training step":
                bfloat16["jit"] = True
            contenders = [Contender("package on JAX, bfloat16", ours, bfloat16, batch_size, JAX)]
            for layout in ("channels_first", "channels_last"):
                arguments = {**size, "autocast": True, "channels_last": layout == "channels_last"}
                name = f"torch compiled, {layout}, bfloat16"
                contenders.append(Contender(name, theirs, arguments, batch_size))
            side = 64 if args.miniature else SIDE
            repeats = 1 if args.miniature or _device() == "cpu" else 100
            product = Contender("product", matrix_product, {"size": side}, repeats * 2.0 * side**3)
            results = measure(
                [*contenders, product],
                repetitions=args.repetitions,
                seconds=0 if args.miniature else 2,
                isolated=not args.miniature,
            )
            limit = results.pop("product")
            references = [best(results, "torch", "bfloat16")]
            heading = f"{title}, batch {batch_size}"
            sections[heading] = {"results": results, "unit": "images/s", "references": references}
            if title == "Training step" and contenders[0].name in results:
                operations = training.step_operations(**network)
                rates = [rate * operations for rate in results[contenders[0].name].rates]
                sections[f"{heading}, against a bfloat16 matrix product"] = {
                    "results": {contenders[0].name: Result(rates), "matrix product": limit},
                    "unit": "TFLOP/s",
                    "scale": 1e12,
                    "references": ["matrix product"],
                }
    report("gpu", {**network, "repetitions": args.repetitions, **_card()}, sections, args.out)


def _card() -> dict[str, str]:
    import torch

    return {"card": torch.cuda.get_device_name() if torch.cuda.is_available() else "none"}


if __name__ == "__main__":
    main()
