"""The lines of `gpu.jsonl`, one a figure, and the page that they make."""

import argparse
import dataclasses
import datetime
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import argument_parser, markdown_table

FILE, DEVICE = "gpu.jsonl", "device.json"


@dataclasses.dataclass(frozen=True)
class Figure:
    """A line of `gpu.jsonl`.

    Attributes:
        part: of `benchmarks.gpu` that measured it.
        name: what was measured.
        value: the median where it was measured several times.
        unit: of the value.
        device: the card, or the processor where there is none.
        date: of the measurement, in UTC.
        settings: what else belongs to it.
    """

    part: str
    name: str
    value: float
    unit: str
    device: str
    date: str
    settings: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Keeper:
    """Writes the figures of a part, and prints them.

    Attributes:
        part: its name.
        out: folder of `gpu.jsonl`, and of `device.json`, which tells the device.
        settings: of every figure.
    """

    part: str
    out: Path
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __call__(self, name: str, value: float, unit: str, **settings: Any) -> None:
        """Keeps a figure; a number that is not finite is only printed."""
        print(f"{self.part}: {name}: {value:,.4g} {unit}", flush=True)
        if value - value != 0:
            return
        date = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
        settings = self.settings | settings
        figure = Figure(
            self.part, name, float(value), unit, read_device(self.out)["device"], date, settings
        )
        self.out.mkdir(parents=True, exist_ok=True)
        # Parts may run at the same time: a line is added at once.
        with open(self.out / FILE, "a", encoding="utf-8") as file:
            file.write(json.dumps(dataclasses.asdict(figure)) + "\n")

    def rates(self, name: str, rates: Sequence[float], unit: str, **settings: Any) -> None:
        """Keeps the median of several measurements, and these."""
        rounded = [float(f"{rate:.5g}") for rate in rates]
        self(name, statistics.median(rates), unit, rates=rounded, **settings)


def read_device(out: Path) -> dict[str, Any]:
    """What the first part found out; without it only that nothing is known of the device."""
    path = out / DEVICE
    if not path.exists():
        return {"device": "not known", "gpu": None}
    return json.loads(path.read_text(encoding="utf-8"))


def read_figures(path: Path) -> list[Figure]:
    """The lines of `gpu.jsonl`.

    Raises:
        RunError: if a line does not have the fields of a `Figure`.
    """
    from alexnet_keras.experiments import read_lines

    return read_lines(path, Figure)


def part_parser(description: str) -> argparse.ArgumentParser:
    """What the parts take."""
    parser = argument_parser(description)
    parser.add_argument("--data-dir", type=Path, help="of TensorFlow Datasets, with Imagenette")
    parser.add_argument("--seconds", type=float, default=300, help="that it may take")
    return parser


def page(figures: Sequence[Figure]) -> dict[str, str]:
    """A table a part, in Markdown, by the part's name, the device and the date."""
    tables: dict[str, list[list[str]]] = {}
    for figure in figures:
        value = f"{figure.value:.3g}" if abs(figure.value) < 100 else f"{figure.value:,.0f}"
        title = f"{figure.part}, {figure.device}, {figure.date}"
        tables.setdefault(title, []).append([figure.name, figure.unit, value])
    return {
        title: markdown_table(["", "unit", "value"], rows, texts=2)
        for title, rows in tables.items()
    }
