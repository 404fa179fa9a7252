"""How the package's speed changes with the batch, the size of the pictures and the threads.

With a plot of each, which `benchmarks.plots` draws again from `scaling.json`.
"""

import json
from pathlib import Path

from alexnet_keras.figures import Figure, course_style
from benchmarks.common import machine
from benchmarks.speed.harness import Contender, measure, measuring_options, report, speed_parser
from benchmarks.speed.inference import package as inference
from benchmarks.speed.networks import network_size
from benchmarks.speed.training import package as training

KINDS = {"training": training, "inference": inference}


@course_style(formulas=True)
def plot(saved: dict, path: Path) -> None:
    """Draws the sections of `scaling.json` side by side."""
    sections = saved["sections"]
    figure = Figure(figsize=(4.2 * len(sections), 3.8), layout="constrained")
    for axes, (title, section) in zip(
        figure.subplots(1, len(sections), squeeze=False)[0], sections.items()
    ):
        series = {}
        for name, result in section["results"].items():
            kind, _, value = name.rpartition(" ")
            rate = sorted(result["rates"])[len(result["rates"]) // 2]
            series.setdefault(kind, []).append((int(value), rate))
        for kind, points in series.items():
            axes.plot(*zip(*points), marker="o", label=kind)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        ticks = sorted({value for points in series.values() for value, _ in points})
        axes.set_xticks(ticks, map(str, ticks), minor=False)
        axes.minorticks_off()
        rates = [10, 20, 50, 100, 200, 500, 1000, 2000, 5000]
        top = max(rate for points in series.values() for _, rate in points)
        low = min(rate for points in series.values() for _, rate in points)
        shown = [rate for rate in rates if low / 2 < rate < 2 * top]
        axes.set_yticks(shown, map(str, shown))
        axes.set(title=title, xlabel=title.lower(), ylabel="images/s")
        axes.legend()
    processor = saved["machine"]["processor"]
    figure.suptitle(f"AlexNet, float32, {saved['machine']['cores']} cores ({processor})")
    figure.savefig(path, dpi=100)


def main(argv: list[str] | None = None) -> None:
    parser = speed_parser(__doc__)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 4, 16, 64, 128, 256, 512])
    parser.add_argument("--image-sizes", type=int, nargs="+", default=[64, 96, 128, 160, 227])
    args = parser.parse_args(argv)
    base = {"batch_size": 2 if args.miniature else 64, **network_size(args.miniature)}
    cores = machine()["cores"]
    threads = sorted({1, cores} if args.threads is None else {1, args.threads})
    axes = {
        "Batch": ("batch_size", [1, 2] if args.miniature else args.batch_sizes),
        "Image size, pixels": ("image_size", [64, 67] if args.miniature else args.image_sizes),
        "Threads": ("threads", threads),
    }
    sections = {}
    for title, (name, values) in axes.items():
        results = {}
        for kind, prepare in KINDS.items():
            for value in values:
                size = {**base, name: value}
                limit = size.pop("threads", args.threads)
                contender = Contender(f"{kind} {value}", prepare, size, size["batch_size"])
                # One process at a time: a batch of 512 takes many gigabytes.
                results |= measure(contender, **measuring_options(args) | {"threads": limit})
        sections[title] = {"results": results, "unit": "images/s"}
    report("scaling", {**base, "repetitions": args.repetitions}, sections, args.out)
    path = args.out / "scaling.json"
    plot(json.loads(path.read_text(encoding="utf-8")), path.with_suffix(".png"))
    print(path.with_suffix(".png"))


if __name__ == "__main__":
    main()
