"""A plan for training on ImageNet with 1, 8 and 64 GPUs: worked out, not measured.

The operations and the bytes are those of the paper's network. How fast a GPU computes and how fast
bytes move are assumptions, each an option. The defaults are NVIDIA's figures for a DGX A100, which
has eight A100: 312 TFLOP/s in bfloat16, of which 30 percent are assumed to be reached; NVLink of
300 GB/s in each direction; for each GPU, InfiniBand of 200 Gbit/s. Communication is taken to wait
for the computation, and to have no latency.
"""

import argparse
import dataclasses
import json
import math
import statistics
from pathlib import Path
from typing import Any

from benchmarks.common import RESULTS

PICTURES = 1_281_167
"""ImageNet's training pictures (ILSVRC 2012)."""

EPOCHS = 90
"""Of the paper."""

SCHEMES = {
    "one": "sums on the first GPU",
    "data": "all-reduce",
    "mixed": "mixture",
}
"""How the GPUs work together. "one" is what `--strategy mirrored` does (`choose_strategy`); the
others are those of `alexnet_keras.communication`, in nodes of several GPUs."""


@dataclasses.dataclass(frozen=True)
class Assumptions:
    """What the plan cannot work out from the network.

    Attributes:
        flops: floating-point operations a second that a GPU sustains on this network.
        within: bytes a second that a GPU sends, and receives, within its node.
        between: the same between nodes.
        gpus_per_node: of a machine.
        batch_per_gpu: pictures a step.
        originals_per_core: pictures a second that a core of the CPU prepares for training from the
            original files.
        prepared_per_core: the same from what `alexnet-keras prepare` wrote.
        original_bytes: of a picture: the archive of ImageNet's training pictures has
            147,897,477,120 bytes.
        prepared_bytes: of its record: the 256 x 256 JPEG files made of the pictures of
            `benchmarks.speed.pipeline`, parts of two photographs, have 27.8 kB in the mean.
    """

    flops: float = 0.3 * 312e12
    within: float = 300e9
    between: float = 25e9
    gpus_per_node: int = 8
    batch_per_gpu: int = 128
    originals_per_core: float = 550.0
    prepared_per_core: float = 900.0
    original_bytes: float = 115e3
    prepared_bytes: float = 28e3


@dataclasses.dataclass(frozen=True)
class Plan:
    """A way to train on some GPUs.

    Attributes:
        gpus: their number.
        scheme: one of `SCHEMES`; "" for one GPU.
        batch: pictures a step, on all GPUs.
        rates: the learning rate at the start, by the rule (`RATE_RULES`).
        steps: of an epoch.
        within, between: bytes a step that the busiest GPU receives, and for "one" also sends,
            within its node and between nodes.
        compute, communication: seconds a step.
        images_per_second: on all GPUs.
        hours: for `EPOCHS`, without validation.
        originals_cores, prepared_cores: cores of the CPU to feed one GPU, from the original files
            and from what `alexnet-keras prepare` wrote.
    """

    gpus: int
    scheme: str
    batch: int
    rates: dict[str, float]
    steps: int
    within: float
    between: float
    compute: float
    communication: float
    images_per_second: float
    hours: float
    originals_cores: int
    prepared_cores: int


def moved(model: Any, gpus: int, scheme: str, batch_per_gpu: int, gpus_per_node: int):
    """Bytes that the busiest GPU moves in a step, within its node and between nodes.

    - "one": the first GPU receives the gradients of all the others and sends the sums back, one
      after the other. On one node alone.
    - "data": a ring, in which every GPU receives as much as it sends at the same time.
    - "mixed": dense layers by units. The first GPU, which has fc8, receives the most.

    On several nodes the gradients are summed within each, then each GPU sums its part of them with
    its like in the other nodes, and the mixture is one of the GPUs of a node.

    Args:
        model: an `AlexNet`.
        gpus: at least 2; of several nodes, a multiple of `gpus_per_node`.
        scheme: one of `SCHEMES`.
        batch_per_gpu, gpus_per_node: see `Assumptions`.

    Returns:
        Two numbers of bytes.

    Raises:
        ValueError: if the GPUs do not fill whole nodes, or "one" is wanted of several.
    """
    from alexnet_keras.devices import communication

    nodes = math.ceil(gpus / gpus_per_node)
    if nodes > 1 and gpus % gpus_per_node:
        raise ValueError(
            f"`gpus` must be at most {gpus_per_node} or a multiple of it, the GPUs of a node. "
            f"Received: {gpus}"
        )
    inside = min(gpus, gpus_per_node)
    here = communication(model, inside * batch_per_gpu, inside)
    if scheme == "one":
        if nodes > 1:
            raise ValueError(f"`scheme` 'one' is for one node. Received: {gpus} GPUs")
        return here.total("data"), 0.0  # all of it passes through the first GPU
    within = sum(
        (row.forward + row.backward) / (1 if (scheme, row.layer) == ("mixed", "fc8") else inside)
        for row in here.exchanges
        if row.scheme == scheme
    )
    if nodes == 1:
        return within, 0.0
    across = communication(model, gpus * batch_per_gpu, nodes).total("data")
    return within, across / nodes / gpus_per_node


def break_even(model: Any, gpus: int) -> int:
    """The largest batch, on all GPUs, at which the mixture moves no more bytes than an all-reduce.

    The mixture's bytes for the dense layers grow with the batch, those of the gradients do not.
    """
    from alexnet_keras.devices import communication

    one, two = (communication(model, batch, gpus) for batch in (1, 2))
    slope = two.total("mixed") - one.total("mixed")
    return 1 + (one.total("data") - one.total("mixed")) // slope


def plan(model: Any, operations: float, gpus: int, scheme: str, assumed: Assumptions) -> Plan:
    """Works one way out.

    Args:
        model: an `AlexNet`.
        operations: floating-point operations of one picture's training step.
        gpus: their number.
        scheme: one of `SCHEMES`; "" for one GPU.
        assumed: the rest.

    Raises:
        ValueError: as `moved`.
    """
    from alexnet_keras.configuration import RATE_RULES, TrainingConfig

    batch = gpus * assumed.batch_per_gpu
    within = between = 0.0
    if gpus > 1:
        within, between = moved(model, gpus, scheme, assumed.batch_per_gpu, assumed.gpus_per_node)
    compute = operations * assumed.batch_per_gpu / assumed.flops
    communication = within / assumed.within + between / assumed.between
    steps = math.ceil(PICTURES / batch)
    rate = batch / (compute + communication)
    return Plan(
        gpus=gpus,
        scheme=scheme,
        batch=batch,
        rates={
            rule: TrainingConfig(batch_size=batch, rate_rule=rule).first_rate for rule in RATE_RULES
        },
        steps=steps,
        within=within,
        between=between,
        compute=compute,
        communication=communication,
        images_per_second=rate,
        hours=EPOCHS * steps * (compute + communication) / 3600,
        originals_cores=math.ceil(rate / gpus / assumed.originals_per_core),
        prepared_cores=math.ceil(rate / gpus / assumed.prepared_per_core),
    )


def measured_rates(path: Path) -> tuple[float, float] | None:
    """Pictures a second and core, of originals and prepared, from `benchmarks.speed.pipeline`.

    Returns:
        The two medians, or `None` where there is no such file.

    Raises:
        ValueError: if the file is another.
    """
    if not path.exists():
        return None
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        threads = saved["settings"]["threads"]
        cores = saved["machine"]["cores"] if threads == "all" else threads
        results = saved["sections"]["Input pipeline"]["results"]
        originals, prepared = (
            statistics.median(results[name]["rates"]) / cores
            for name in ("package", "package, prepared")
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            "The rates of the pipeline must be as `benchmarks.speed.pipeline` saves them. "
            f"Received: {path} ({type(error).__name__}: {error})"
        ) from None
    return originals, prepared


def _markdown(head: list[str], rows: list[list[str]], text_columns: int) -> str:
    rule = ["---"] * text_columns + ["---:"] * (len(head) - text_columns)
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, rule, *rows])


def tables(plans: list[Plan]) -> str:
    """The plans in two Markdown tables: what depends on the number of GPUs alone, and the rest."""
    by_gpus = {plan.gpus: plan for plan in plans}.values()
    recipe = _markdown(
        ["GPUs", "batch", "rate, sqrt", "rate, linear", "steps an epoch", "computation, ms a step"],
        [
            [
                f"{plan.gpus}",
                f"{plan.batch:,}",
                f"{plan.rates['sqrt']:.3f}",
                f"{plan.rates['linear']:.3f}",
                f"{plan.steps:,}",
                f"{1e3 * plan.compute:.2f}",
            ]
            for plan in by_gpus
        ],
        0,
    )
    head = [
        "GPUs, gradients",
        "MB within a node",
        "MB between nodes",
        "communication, ms a step",
        "of computation",
        "images/s",
        f"hours for {EPOCHS} epochs",
        "cores a GPU, originals",
        "cores a GPU, prepared",
    ]
    rows = [
        [
            f"{plan.gpus}" + (plan.scheme and f", {SCHEMES[plan.scheme]}"),
            f"{plan.within / 1e6:,.1f}",
            f"{plan.between / 1e6:,.1f}",
            f"{1e3 * plan.communication:.2f}",
            f"{plan.communication / plan.compute:.0%}",
            f"{plan.images_per_second:,.0f}",
            f"{plan.hours:.3g}",
            f"{plan.originals_cores}",
            f"{plan.prepared_cores}",
        ]
        for plan in plans
    ]
    return f"{recipe}\n\n{_markdown(head, rows, 1)}"


def notes(
    model: Any, operations: float, plans: list[Plan], assumed: Assumptions, sources: list[str]
) -> str:
    """What the tables rest on, and what they leave out, as a Markdown list.

    Args:
        model, operations, assumed: as for `plan`.
        plans: of the tables.
        sources: a word on each of the two rates of the CPU's cores.
    """
    parameters = model.count_params()
    per_gpu = max(plan.images_per_second / plan.gpus for plan in plans)
    picture = 4 * math.prod(model.input_shape[1:])
    several = sorted({plan.gpus for plan in plans if plan.gpus > 1})
    lines = [
        f"A training step takes {operations / 1e9:.2f} GFLOP a picture. Gradients: "
        f"{parameters:,} in float32, {4 * parameters / 1e6:.1f} MB.",
        f"Assumed: a GPU sustains {assumed.flops / 1e12:.1f} TFLOP/s and moves "
        f"{assumed.within / 1e9:g} GB/s within a node of {assumed.gpus_per_node}, "
        f"{assumed.between / 1e9:g} GB/s between nodes.",
        f"Images/s of a CPU core: {assumed.originals_per_core:,.0f} from originals ({sources[0]}), "
        f"{assumed.prepared_per_core:,.0f} from prepared records ({sources[1]}).",
        f"{PICTURES:,} training pictures take about {PICTURES * assumed.original_bytes / 1e9:,.0f} "
        f"GB on disk as originals, {PICTURES * assumed.prepared_bytes / 1e9:,.0f} GB prepared.",
        f"Up to {per_gpu * picture / 1e9:.1f} GB/s of float32 pictures go from the CPU to a GPU.",
    ]
    lines += [
        f"Over {gpus} GPUs at once the mixture moves no more bytes than an all-reduce of all "
        f"gradients up to a batch of {break_even(model, gpus):,}."
        for gpus in several
    ]
    if several:
        lines.append(
            "The linear rule needs a warm-up: some epochs in which the rate rises to its value, or "
            "training may diverge."
        )
    return "\n".join(f"- {line}" for line in lines)


def _positive(kind):
    def number(text):
        value = kind(text)
        if not 0 < value < math.inf:
            raise argparse.ArgumentTypeError(f"must be greater than 0, not {text}")
        return value

    number.__name__ = kind.__name__  # argparse names it in its message
    return number


def main(argv: list[str] | None = None) -> None:
    count, number = _positive(int), _positive(float)
    default = Assumptions()
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.plan",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--gpus", type=count, nargs="+", default=[1, 8, 64], help="numbers to plan for")
    add("--gpus-per-node", type=count, default=default.gpus_per_node, help="of a machine")
    add("--batch-per-gpu", type=count, default=default.batch_per_gpu, help="pictures a step")
    add("--tflops", type=number, default=default.flops / 1e12, help="that a GPU sustains")
    add("--within", type=number, default=default.within / 1e9, help="GB/s of a GPU in its node")
    add("--between", type=number, default=default.between / 1e9, help="GB/s of a GPU between nodes")
    add("--pipeline", type=Path, default=RESULTS / "pipeline.json", help="measured feeding rates")
    for name in ("originals", "prepared"):
        assumed = getattr(default, f"{name}_per_core")
        text = f"images/s that a core feeds (None: as measured, or else {assumed:g})"
        add(f"--{name}-per-core", type=number, help=text)
    add("--original-bytes", type=number, default=default.original_bytes, help="of a picture")
    add("--prepared-bytes", type=number, default=default.prepared_bytes, help="of a picture")
    args = parser.parse_args(argv)
    for gpus in args.gpus:
        if gpus > args.gpus_per_node and gpus % args.gpus_per_node:
            parser.error(
                f"--gpus must be at most {args.gpus_per_node} (--gpus-per-node) or a multiple of "
                f"it, not {gpus}"
            )
    try:
        measured = measured_rates(args.pipeline)
    except ValueError as error:
        parser.error(str(error))
    originals, prepared = measured or (default.originals_per_core, default.prepared_per_core)
    assumed = Assumptions(
        flops=1e12 * args.tflops,
        within=1e9 * args.within,
        between=1e9 * args.between,
        gpus_per_node=args.gpus_per_node,
        batch_per_gpu=args.batch_per_gpu,
        originals_per_core=args.originals_per_core or originals,
        prepared_per_core=args.prepared_per_core or prepared,
        original_bytes=args.original_bytes,
        prepared_bytes=args.prepared_bytes,
    )

    from alexnet_keras import AlexNet
    from benchmarks.speed.training import step_operations

    model, operations = AlexNet(), step_operations(227, 1.0, 1000)
    plans = []
    for gpus in args.gpus:
        schemes = [""]
        if gpus > 1:
            schemes = [name for name in SCHEMES if name != "one" or gpus <= args.gpus_per_node]
        plans += [plan(model, operations, gpus, scheme, assumed) for scheme in schemes]
    sources = [
        "given" if given else "measured" if measured else "assumed"
        for given in (args.originals_per_core, args.prepared_per_core)
    ]
    print(tables(plans), notes(model, operations, plans, assumed, sources), sep="\n\n")


if __name__ == "__main__":
    main()
