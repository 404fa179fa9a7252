"""Copies a run on the embedded pictures into `data/trained/`, as the network of the package.

Without the optimizer's state. Run this with the oldest Keras of `requirements.txt`: it does not
know all the arguments that a later one writes into a `.keras` file.

    alexnet-keras train
    python data/make_trained.py runs/openclipart-paper
"""

import argparse
import shutil
from pathlib import Path

from alexnet_keras.common import EMBEDDED
from alexnet_keras.training import build_model, read_config

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder that train wrote")
    source = parser.parse_args().run
    folder = Path(__file__).parent / "trained" / EMBEDDED
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "statistics.npz", "log.csv"):
        shutil.copy(source / name, folder)
    config, class_names, _ = read_config(source)
    model = build_model(config, len(class_names))
    model.load_weights(source / "best.keras")
    model.save(folder / "best.keras")
    print(folder)
