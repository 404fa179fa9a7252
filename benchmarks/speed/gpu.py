"""The package on JAX against PyTorch, compiled, in bfloat16, on one GPU (or, small, without one).

Needs `jax` (`jax[cuda13]` for an NVIDIA GPU) and `torch`.
"""

import dataclasses

from benchmarks.speed import inference, training
from benchmarks.speed.harness import Contender, measure, measuring_options, report, speed_parser
from benchmarks.speed.networks import network_size

SIDE = 8192
JAX = {
    "KERAS_BACKEND": "jax",
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # two contenders share the card
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
    """`benchmarks.speed.training.torch_step` on the GPU, compiled where there is one."""
    device = _device()
    return training.torch_step(**arguments, device=device, compiled=device == "cuda")


def torch_inference(**arguments):
    """`benchmarks.speed.inference.torch_model` on the GPU, compiled where there is one."""
    device = _device()
    return inference.torch_model(**arguments, device=device, compiled=device == "cuda")


def main(argv: list[str] | None = None) -> None:
    parser = speed_parser(__doc__)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[128, 1024])
    args = parser.parse_args(argv)
    network, options = network_size(args.miniature), measuring_options(args)
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
            backend = {} if args.miniature else JAX
            first = Contender("package on JAX, bfloat16", ours, bfloat16, batch_size, backend)
            peers = []
            for layout in ("channels_first", "channels_last"):
                arguments = {**size, "autocast": True, "channels_last": layout == "channels_last"}
                name = f"torch compiled, {layout}, bfloat16"
                peers.append(Contender(name, theirs, arguments, batch_size))
            heading = f"{title}, batch {batch_size}"
            results = measure(first, *peers, **options)
            sections[heading] = {"results": results, "unit": "images/s"}
            if title == "Training step":
                side = 64 if args.miniature else SIDE
                repeats = 100 if _device() == "cuda" else 1
                product = Contender(
                    "matrix product", matrix_product, {"size": side}, repeats * 2.0 * side**3
                )
                work = batch_size * training.step_operations(**network)
                sections[f"{heading}, against a bfloat16 matrix product"] = {
                    "results": measure(dataclasses.replace(first, work=work), product, **options),
                    "unit": "TFLOP/s",
                    "scale": 1e12,
                }
    report("gpu", {**network, "repetitions": args.repetitions, **_card()}, sections, args.out)


def _card() -> dict[str, str]:
    import torch

    return {"card": torch.cuda.get_device_name() if torch.cuda.is_available() else "none"}


if __name__ == "__main__":
    main()
