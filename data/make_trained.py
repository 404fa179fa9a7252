"""Copies a run into `data/trained/`, as a network of the package: `load_run` opens it by its name.

Without the optimizer's state. With `--half` the kernels are stored in float16, half as large; Keras
reads them into float32 again. The errors of what is kept and of the run are printed where the data
is there. Run this with the oldest Keras of `requirements.txt`: it does not know all the arguments
that a later one writes into a `.keras` file.

    alexnet-keras train
    python data/make_trained.py runs/openclipart-paper --name openclipart

    python -m benchmarks.claims.recipe --data-dir DATA --recipes "paper, decay 0.001" --out runs
    python data/make_trained.py runs/runs/paper-decay-0.001 --name imagenette --half --data-dir DATA
"""

import argparse
import dataclasses
import json
import shutil
import tempfile
import zipfile
from pathlib import Path

import h5py
import keras

from alexnet_keras import evaluate, load_run
from alexnet_keras.common import DataError, write_json
from alexnet_keras.training import build_model, read_config

TRAINED = Path(__file__).parent / "trained"
WEIGHTS = "model.weights.h5"
"""In a `.keras` file, which is a ZIP archive."""


def halve_kernels(path: Path) -> None:
    """Stores the kernels of a `.keras` file in float16.

    Vectors are few and stay: the variances of batch normalization may be above float16's range.
    """

    def copied(name, item):
        if isinstance(item, h5py.Group):
            kept = after.require_group(name)
        else:
            kernel = item.ndim > 1 and item.dtype == "float32"
            kept = after.create_dataset(
                name, data=item[()].astype("float16" if kernel else item.dtype)
            )
        kept.attrs.update(item.attrs)

    with tempfile.TemporaryDirectory() as folder:
        whole, old, new = (Path(folder, name) for name in ("whole.keras", "old.h5", "new.h5"))
        with zipfile.ZipFile(path) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        old.write_bytes(parts[WEIGHTS])
        with h5py.File(old) as before, h5py.File(new, "w") as after:
            after.attrs.update(before.attrs)
            before.visititems(copied)
        parts[WEIGHTS] = new.read_bytes()
        with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in parts.items():
                archive.writestr(name, content)
        shutil.copyfile(whole, path)


def keep(source: Path, folder: Path, half: bool) -> Path:
    """Writes what `load_run` needs of a run into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("statistics.npz", "log.csv"):
        shutil.copy(source / name, folder)
    saved = json.loads((source / "config.json").read_text(encoding="utf-8"))
    saved["config"]["data_dir"] = None  # which is of the machine that trained
    if saved["config"]["from_weights"]:
        saved["config"]["from_weights"] = Path(saved["config"]["from_weights"]).name
    write_json(folder / "config.json", saved)
    config, class_names, _ = read_config(source)
    # In full precision, whatever it was trained in: that is faster where it is used.
    model = build_model(dataclasses.replace(config, precision="float32"), len(class_names))
    model.load_weights(source / "best.keras")
    model.save(folder / "best.keras")
    if half:
        halve_kernels(folder / "best.keras")
    return folder


def errors(folder: Path, data_dir: str | None) -> str:
    """Top-1 errors in validation, of one view and of ten."""
    run = load_run(folder)
    run = dataclasses.replace(run, config=dataclasses.replace(run.config, data_dir=data_dir))
    dataset = run.open_dataset()
    found = [evaluate(run.model, dataset, run.statistics, views=views) for views in (1, 10)]
    return " and ".join(f"{result.top1_error:.2%}" for result in found)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="folder that train wrote")
    parser.add_argument("--name", required=True, help="that load_run will know it by")
    parser.add_argument("--half", action="store_true", help="store kernels in float16")
    parser.add_argument("--data-dir", help="of TensorFlow Datasets, for the errors")
    parser.add_argument("--out", type=Path, default=TRAINED, help="folder (default: data/trained)")
    args = parser.parse_args(argv)
    folder = keep(args.run, args.out / args.name, args.half)
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{folder}: {size / 1e6:.1f} MB, Keras {keras.__version__}")
    try:
        for name, path in (("the run", args.run), ("what is kept", folder)):
            print(f"top-1 error of one view and of ten, {name}: {errors(path, args.data_dir)}")
    except DataError as error:
        print(f"errors: not measured ({error})")


if __name__ == "__main__":
    main()
