"""Training on ImageNet with 1, 8 and 64 GPUs: worked out for `docs/scale.md`, not measured.

The operations and the bytes are those of the paper's network; the rates of the CPU's cores are
measured. How fast a GPU computes and how fast bytes move are assumptions, the constants below.
Communication is taken to wait for the computation, and to have no latency.
"""

import dataclasses
import json
import math
import statistics
from typing import Any

from alexnet_keras import AlexNet
from alexnet_keras.devices import communication
from benchmarks.common import RESULTS, markdown_table
from benchmarks.gpu import figures, speed
from benchmarks.speed.training import step_operations

PICTURES, EPOCHS = 1_281_167, 90
"""ImageNet's training pictures (ILSVRC 2012), and the paper's epochs over them."""

FLOPS = 0.3 * 312e12
"""Operations a second of a GPU: 30 percent, assumed, of NVIDIA's figure for an A100 in bfloat16."""

NODE, WITHIN, BETWEEN = 8, 300e9, 25e9
"""GPUs of a DGX A100; bytes a second that each sends, and receives, by NVLink and InfiniBand."""

BATCH = 128
"""Pictures a step on each GPU."""

ORIGINAL_BYTES, PREPARED_BYTES = 115e3, 28e3
"""Of a picture: the archive of the training pictures has 147,897,477,120 bytes; what
`alexnet-keras prepare` makes of the pictures of `benchmarks.speed.pipeline` has 27.8 kB."""

PLANS = {
    (1, ""): "1",
    (8, "one"): "8, sums on the first GPU",
    (8, "data"): "8, all-reduce",
    (8, "mixed"): "8, mixture",
    (64, "data"): "64, all-reduce",
    (64, "mixed"): "64, mixture",
}
"""By GPUs and scheme: "one" is `--strategy mirrored`, the others are those of `communication`."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """A way to train.

    Attributes:
        batch, rate: pictures a step and a second, on all GPUs.
        steps: of an epoch.
        within, between: bytes a step that the busiest GPU moves in its node and between nodes.
        compute, exchange: seconds a step, of the computation and of moving these.
        hours: for `EPOCHS`, without validation.
    """

    batch: int
    steps: int
    within: float
    between: float
    compute: float
    exchange: float
    rate: float
    hours: float


def moved(model: Any, gpus: int, scheme: str) -> tuple[float, float]:
    """Bytes that the busiest GPU moves in a step, within its node and between nodes.

    With "one", the first GPU receives all gradients and sends the sums back, one after the other.
    With "data" every GPU receives as much as it sends at the same time; with "mixed" the first,
    which has fc8, receives the most. Several nodes sum within each first, then each GPU its part
    of the gradients with its like in the other nodes.
    """
    inside, nodes = min(gpus, NODE), math.ceil(gpus / NODE)
    here = communication(model, inside * BATCH, inside)
    if scheme == "one":
        return here.total("data"), 0.0
    within = sum(
        (row.forward + row.backward) / (1 if (scheme, row.layer) == ("mixed", "fc8") else inside)
        for row in here.exchanges
        if row.scheme == scheme
    )
    across = communication(model, gpus * BATCH, nodes).total("data") if nodes > 1 else 0.0
    return within, across / gpus


def break_even(model: Any, gpus: int) -> int:
    """The largest batch, on all GPUs, at which the mixture moves no more bytes than an all-reduce.

    The mixture's bytes for the dense layers grow with the batch, those of the gradients do not.
    """
    one, two = (communication(model, batch, gpus) for batch in (1, 2))
    slope = two.total("mixed") - one.total("mixed")
    return 1 + (one.total("data") - one.total("mixed")) // slope


def plan(model: Any, operations: float, gpus: int, scheme: str) -> Plan:
    """Works one way out, from the operations of one picture's training step."""
    batch = gpus * BATCH
    within, between = moved(model, gpus, scheme) if gpus > 1 else (0.0, 0.0)
    compute, exchange = operations * BATCH / FLOPS, within / WITHIN + between / BETWEEN
    steps, seconds = math.ceil(PICTURES / batch), compute + exchange
    hours = EPOCHS * steps * seconds / 3600
    return Plan(batch, steps, within, between, compute, exchange, batch / seconds, hours)


def rates_of_a_core() -> list[float]:
    """Pictures a second that a core feeds, from originals and prepared, as they were measured."""
    saved = json.loads((RESULTS / "pipeline.json").read_text(encoding="utf-8"))
    threads, results = saved["settings"]["threads"], saved["sections"]["Input pipeline"]["results"]
    cores = saved["machine"]["cores"] if threads == "all" else threads
    names = ("package", "package, prepared")
    return [statistics.median(results[name]["rates"]) / cores for name in names]


def measured_on_a_gpu() -> list[str]:
    """A line on the training step that `make gpu` measured on one GPU, if its results are kept."""
    path = RESULTS / figures.FILE
    kept = figures.read_figures(path) if path.exists() else []
    return [
        f"- Measured on one {figure.device} by `make gpu`: {figure.value:,.0f} images/s of a "
        f"{figure.name}, in batches of {figure.settings['batch_size']}."
        for figure in kept
        if figure.name == f"training step: {speed.OURS}"
    ]


def main() -> None:
    model, operations, cores = AlexNet(), step_operations(227, 1.0, 1000), rates_of_a_core()
    head = "GPUs, gradients|batch|steps an epoch|MB within a node|MB between nodes|computation, ms"
    head += f"|communication, ms|images/s|hours for {EPOCHS} epochs"
    head += "|cores a GPU, originals|cores a GPU, prepared"
    rows = []
    for (gpus, scheme), name in PLANS.items():
        p = plan(model, operations, gpus, scheme)
        megabytes = [f"{p.within / 1e6:,.1f}", f"{p.between / 1e6:,.1f}"]
        times = [f"{1e3 * p.compute:.2f}", f"{1e3 * p.exchange:.2f}"]
        feeding = [f"{math.ceil(p.rate / gpus / core)}" for core in cores]
        row = [name, f"{p.batch:,}", f"{p.steps:,}", *megabytes, *times]
        rows.append([*row, f"{p.rate:,.0f}", f"{p.hours:.3g}", *feeding])
    print(
        markdown_table(head.split("|"), rows),
        "",
        f"- A training step takes {operations / 1e9:.2f} GFLOP a picture. Gradients: "
        f"{model.count_params():,} in float32, {4 * model.count_params() / 1e6:.1f} MB.",
        f"- Assumed: a GPU sustains {FLOPS / 1e12:.1f} TFLOP/s and moves {WITHIN / 1e9:g} GB/s "
        f"within a node of {NODE}, {BETWEEN / 1e9:g} GB/s between nodes.",
        f"- Measured: a CPU core feeds {cores[0]:,.0f} images/s from originals, {cores[1]:,.0f} "
        "from prepared records.",
        *measured_on_a_gpu(),
        f"- {PICTURES:,} training pictures take about {PICTURES * ORIGINAL_BYTES / 1e9:,.0f} "
        f"GB on disk as originals, {PICTURES * PREPARED_BYTES / 1e9:,.0f} GB prepared.",
        "- Over 8 GPUs the mixture moves no more bytes than an all-reduce of all gradients up to a "
        f"batch of {break_even(model, 8):,}.",
        sep="\n",
    )


if __name__ == "__main__":
    main()
