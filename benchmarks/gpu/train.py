"""Trains the paper's network and the one with batch normalization on Imagenette at full width, and
keeps logs, curves, the filters of conv1 and the errors of one view and of ten.
"""

import json
import shutil
from pathlib import Path

from benchmarks.claims import recipe, trained
from benchmarks.gpu.feed import EPOCH
from benchmarks.gpu.figures import FILE, Keeper, part_parser, read_device

RESERVE = 60
"""Seconds of its time that are kept for evaluating."""

STARTING = 25
"""Seconds until the first step."""


def fitting_epochs(out: Path, seconds: float, runs: int) -> int:
    """How many epochs fit for each of several runs at the same time, or 40 if nothing is known.

    They are taken to share the machine: each takes as long as one after the other.
    """
    path = out / FILE
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        figure = json.loads(line)
        if (figure["part"], figure["name"]) == ("feed", EPOCH):
            fitting = (seconds - RESERVE - STARTING) / (figure["value"] * runs)
            return min(max(int(fitting), 2), 120)
    return 40


def main(argv: list[str] | None = None) -> None:
    parser = part_parser(__doc__)
    parser.add_argument("--epochs", type=int, help="(default: as many as fit, by part feed)")
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument(
        "--recipes",
        nargs="+",
        choices=recipe.RECIPES,
        default=["paper, decay 0.001", "batchnorm, decay 0.001"],
        help="of benchmarks.claims.recipe; trained at the same time",
    )
    args = parser.parse_args(argv)
    if not args.miniature and read_device(args.out)["gpu"] is None:
        print("train: not run, as there is no GPU here.")
        return
    if not args.miniature and args.data_dir is None:
        print("train: not run, as --data-dir does not name a folder with Imagenette.")
        return
    words = ["--out", str(args.out), "--recipes", *args.recipes]
    epochs = args.epochs or fitting_epochs(args.out, args.seconds, len(args.recipes))
    words += ["--epochs", str(epochs), "--width", str(args.width)]
    words += ["--seconds", str(max(args.seconds - RESERVE, 10))]
    words += ["--miniature"] if args.miniature else ["--data-dir", str(args.data_dir)]
    shutil.rmtree(args.out / "runs", ignore_errors=True)  # of an earlier call
    runs = recipe.main(words)
    keep = Keeper("train", args.out)
    for run in runs:
        kept = run.trained
        settings = {name: kept.config[name] for name in ("variant", "width", "image_size", "data")}
        settings |= {"epochs": len(kept.log["epoch"]), "of": kept.config["epochs"]}
        settings["goal"] = recipe.GOALS.get(kept.config["variant"])
        for views, error in zip(("one view", "ten views"), kept.top1_errors):
            keep(f"{run.recipe}: right, {views}", 1 - error, "share", **settings)
        keep(f"{run.recipe}: training", kept.seconds, "s", **settings)
    if runs:
        folders = [recipe.folder_of(args.out, run.recipe) for run in runs]
        trained.main([*map(str, folders), "--out", str(args.out)])


if __name__ == "__main__":
    main()
