"""What AlexNet wants on the 9,469 photographs of Imagenette: configurations, trained together.

    python -m benchmarks.claims.recipe --data-dir FOLDER --epochs 90 --seconds 400
    python -m benchmarks.claims.recipe --data-dir FOLDER --width 1 --recipes paper batchnorm

Each has a process of its own, so that several share one GPU, and is evaluated with its best
weights, on one view and on ten. Each is a line of `recipe.jsonl`; the runs are kept in `runs/`
beside it, less what `resume` would need. One that has not ended after `--seconds` is stopped and
evaluated as it is.
"""

import concurrent.futures
import dataclasses
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.claims import trained
from benchmarks.common import argument_parser, markdown_table

GOALS = {"paper": 0.80, "batchnorm": 0.84}
"""Top-1 accuracy of ten views to reach, by variant."""

BASE = {"batch_size": 128, "learning_rate": 0.02, "schedule": "cosine", "weight_decay": 0.0005}

RECIPES: dict[str, dict[str, Any]] = {
    "paper": {},
    "paper, decay 0.001": {"weight_decay": 0.001},
    "paper, decay 0.002": {"weight_decay": 0.002},
    "paper, dropout 0.6": {"dropout": 0.6, "weight_decay": 0.001},
    "paper, noise 0.3": {"color_noise": 0.3, "weight_decay": 0.001},
    "batchnorm": {"variant": "batchnorm"},
    "batchnorm, decay 0.001": {"variant": "batchnorm", "weight_decay": 0.001},
    "batchnorm, decay 0.002": {"variant": "batchnorm", "weight_decay": 0.002},
    "batchnorm, rate 0.05": {
        "variant": "batchnorm",
        "weight_decay": 0.001,
        "learning_rate": 0.05,
    },
    "batchnorm, noise 0.3": {
        "variant": "batchnorm",
        "weight_decay": 0.001,
        "color_noise": 0.3,
    },
}
"""What differs from `BASE`, by the name of the recipe."""


@dataclasses.dataclass(frozen=True)
class Run:
    """A line of `recipe.jsonl`.

    Attributes:
        recipe: its name.
        whole: whether it came to its last epoch in time.
        trained: what is kept of it.
    """

    recipe: str
    whole: bool
    trained: trained.Run


def train_one(name: str, config: Any, folder: Path, end: float) -> Run:
    """Trains until `end` at the latest (by `time.time`), evaluates and reports.

    Args:
        name: of the recipe.
        config: a `TrainingConfig`.
        folder: of the run, new.
        end: when training is told to stop.
    """
    from alexnet_keras import evaluate, load_run, train
    from alexnet_keras.common import Interrupted, write_json
    from alexnet_keras.evaluation import write_report
    from alexnet_keras.training import CHECKPOINT

    started, whole = time.time(), True
    stop = threading.Timer(max(end - started, 1), os.kill, (os.getpid(), signal.SIGTERM))
    stop.start()
    try:
        run = train(config, folder, verbose=0)
    except Interrupted:
        whole = False
        run = load_run(folder)
        write_json(folder / "time.json", {"training_seconds": round(time.time() - started, 1)})
    finally:
        stop.cancel()
    for file in ("last.keras", CHECKPOINT):  # several runs of full width take gigabytes
        (folder / file).unlink(missing_ok=True)
    dataset = run.open_dataset()
    for views in (1, 10):
        result = evaluate(run.model, dataset, run.statistics, views=views)
        out = folder if views == 1 else folder / "evaluation-validation-10"
        write_report(out, result, dataset, "validation", run.log() if views == 1 else None)
    return Run(name, whole, trained.read_run(folder)[0])


def folder_of(out: Path, name: str) -> Path:
    """Where the run of a recipe is kept."""
    return out / "runs" / name.replace(", ", "-").replace(" ", "-")


def table(runs: list[Run]) -> str:
    """A line a run, in Markdown, the best first."""
    rows = []
    for run in sorted(runs, key=lambda run: run.trained.top1_errors[1]):
        kept = run.trained
        one, ten = (1 - error for error in kept.top1_errors)
        epochs = len(kept.log["epoch"])
        cells = [f"{epochs} of {kept.config['epochs']}", f"{kept.config['width']:g}"]
        cells += [f"{kept.log['top1'][-1]:.2%}", f"{one:.2%}", f"{ten:.2%}"]
        goal = GOALS.get(kept.config["variant"])
        rows.append([run.recipe, *cells, f"{goal:.0%}" if goal else "", f"{kept.seconds:,.0f}"])
    head = ["recipe", "epochs", "width", "right in training, last epoch", "one view", "ten views"]
    return markdown_table([*head, "goal", "seconds"], rows)


def main(argv: list[str] | None = None) -> list[Run]:
    parser = argument_parser(__doc__)
    parser.add_argument("--data", default="imagenette/160px-v2")
    parser.add_argument("--data-dir", type=Path, help="of TensorFlow Datasets")
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=90)
    parser.add_argument("--seconds", type=float, default=3600, help="for all of the training")
    parser.add_argument("--jobs", type=int, help="trained at the same time (default: all)")
    parser.add_argument("--precision", default="bfloat16")
    args = parser.parse_args(argv)

    from alexnet_keras.configuration import TrainingConfig
    from alexnet_keras.experiments import append_line

    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    values = {"width": args.width, "image_size": args.image_size, "epochs": args.epochs}
    if args.miniature:
        values = {"width": 0.05, "image_size": 64, "epochs": 1}
    else:
        data_dir = None if args.data_dir is None else str(args.data_dir)
        values |= {"data": args.data, "data_dir": data_dir, "precision": args.precision}
    args.out.mkdir(parents=True, exist_ok=True)
    end = time.time() + args.seconds
    context = multiprocessing.get_context("spawn")
    runs, jobs = [], args.jobs or len(args.recipes)
    with concurrent.futures.ProcessPoolExecutor(
        jobs, mp_context=context, max_tasks_per_child=1
    ) as pool:
        waiting = {}
        for name in args.recipes:
            config = TrainingConfig(**(BASE | values | RECIPES[name]))
            submitted = pool.submit(train_one, name, config, folder_of(args.out, name), end)
            waiting[submitted] = name
        for done in concurrent.futures.as_completed(waiting):
            try:
                run = done.result()
            except Exception as error:
                print(f"{waiting[done]}: failed ({type(error).__name__}: {error})", flush=True)
                continue
            append_line(args.out / "recipe.jsonl", run)
            runs.append(run)
            print(f"{run.recipe}: {1 - run.trained.top1_errors[1]:.2%} of ten views", flush=True)
    if runs:
        print(f"\n{table(runs)}")
    return runs


if __name__ == "__main__":
    main()
