"""An evaluation as files: JSON, tables and pictures."""

import csv
import functools
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_keras.common import write_file, write_json
from alexnet_keras.evaluation.measures import Evaluation
from alexnet_keras.evaluation.plots import (
    plot_classes,
    plot_confusion,
    plot_curves,
    plot_mistakes,
    plot_reliability,
)
from alexnet_keras.pictures import ImageDataset, is_folder


def write_report(
    folder: str | Path,
    evaluation: Evaluation,
    dataset: ImageDataset,
    split: str,
    log: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Writes what is known of an evaluation.

    All of it is in `report.json`; its tables are in `per_class.csv`, `reliability.csv`,
    `confusion.csv` and `mistakes.csv`, and drawn in the `.png` files of these names; given a log,
    `curves.png` is drawn too.

    Args:
        folder: made if it is not there; files of those names in it are replaced.
        evaluation: what to report.
        dataset, split: what was evaluated.
        log: the run's columns by epoch, as from `Run.log`.

    Example:

    >>> from alexnet_keras import evaluate, load_run
    >>> run = load_run()
    >>> data = run.open_dataset()
    >>> write_report("report", evaluate(run.model, data, run.statistics), data, "validation")
    >>> len(list(Path("report").glob("*.png")))
    4
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    report = {"data": dataset.name, "split": split, **evaluation.as_dict()}
    examples = dataset.examples_at(split, [mistake["index"] for mistake in report["mistakes"]])
    for mistake, example in zip(report["mistakes"], examples):
        mistake["id"] = os.fsdecode(example["id"])
    write_json(folder / "report.json", report)
    names = evaluation.class_names
    tables = {
        "confusion": (
            ("label", *names),
            [(name, *row) for name, row in zip(names, report["confusion"])],
        ),
        "mistakes": (
            ("index", "label", "predicted", "probability", "id"),
            [mistake.values() for mistake in report["mistakes"]],
        ),
        "per_class": (report["classes"][0], [row.values() for row in report["classes"]]),
        "reliability": (
            report["reliability"][0],
            [row.values() for row in report["reliability"]],
        ),
    }
    for name, (header, rows) in tables.items():
        write_file(folder / f"{name}.csv", functools.partial(_write_csv, header=header, rows=rows))
    name = Path(dataset.name).resolve().name if is_folder(dataset.name) else dataset.name
    title = f"{name}, {split}: top-1 error {evaluation.top1_error:.1%}"
    figures = {
        "confusion": plot_confusion(evaluation, title),
        "mistakes": plot_mistakes(evaluation, dataset, split),
        "per_class": plot_classes(evaluation, title),
        "reliability": plot_reliability(evaluation, title),
    }
    if log is not None:
        figures["curves"] = plot_curves(log, title)
    for name, figure in figures.items():
        write_file(folder / f"{name}.png", functools.partial(figure.savefig, dpi=100))


def _write_csv(path: Path, header: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    with open(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
