"""All that a GPU is asked, in one folder.

    python -m benchmarks.gpu --out FOLDER --data-dir FOLDER_OF_TENSORFLOW_DATASETS

    device     which card, driver and libraries
    parity     that it computes what numpy and the CPU do
    speed      training, inference and `fit` beside PyTorch, JAX and Keras as usually written
    feed       an epoch of Imagenette from files to weights
    train      `paper` and `batchnorm` at full width on Imagenette
    notebooks  08 and 09, executed

Each part has a process of its own and its share of the time; one that fails or is cut off does not
end the others, and what is missing is told and left out. No network is used. A figure is a line of
`gpu.jsonl`, and `PART.log` is what a part printed.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common import argument_parser
from benchmarks.gpu.figures import DEVICE, FILE, read_device

ROUNDS = (("parity",), ("speed",), ("feed",), ("train", "notebooks"))
"""The parts in their order; those that stand together run at the same time."""

WEIGHTS = {"parity": 1.5, "speed": 4.0, "feed": 1.0, "train": 2.5, "notebooks": 2.5}
"""Of the time that is left, where all parts are wanted."""

PARTS = tuple(WEIGHTS)
GRACE = 10
"""Seconds after its time that a part is ended."""


def environment() -> dict[str, str]:
    """That of the parts: a card is shared, so none takes all of its memory."""
    root = str(Path(__file__).parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    defaults = {
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    }
    return defaults | os.environ | {"PYTHONPATH": os.pathsep.join(paths)}


class Part:
    """A part's process.

    Args:
        name: of the part, a module beside this.
        words: its arguments, `--out` and `--seconds` aside.
        out: folder of its results, and of its log.
        seconds: that it may take.
    """

    def __init__(self, name: str, words: Sequence[str], out: Path, seconds: float):
        self.name, self.log, self.seconds = name, out / f"{name}.log", seconds
        self.started = time.monotonic()
        command = [sys.executable, "-m", f"benchmarks.gpu.{name}", "--out", str(out), *words]
        print(f"\n{name}: up to {seconds:.0f} s", flush=True)
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [*command, "--seconds", str(round(seconds))],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment(),
                start_new_session=True,  # so that it can be ended with all that it started
            )

    def wait(self) -> bool:
        """Waits for the end, prints what it said, and tells whether all went well."""
        left = self.started + self.seconds + GRACE - time.monotonic()
        try:
            status = self.process.wait(max(left, 0))
            ended = f"ended with status {status}" if status else "done"
        except subprocess.TimeoutExpired:
            self.kill()
            status, ended = 1, "cut off"
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        said = [line for line in lines if line.startswith(f"{self.name}:") or ": not mea" in line]
        tables = [line for line in lines if line.startswith("| ")]
        print(*said, *tables, *(lines[-30:] if status else ()), sep="\n")
        print(f"{self.name}: {ended} after {time.monotonic() - self.started:.0f} s", flush=True)
        return status == 0

    def kill(self) -> None:
        """Ends the process and those that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def run_parts(names: Sequence[str], words: dict[str, list[str]], out: Path, end: float) -> bool:
    """Runs the parts until `end` (by `time.monotonic`); whether all went well."""
    well, rounds = True, [[name for name in together if name in names] for together in ROUNDS]
    rounds = [together for together in rounds if together]
    for number, together in enumerate(rounds):
        weights = [max(WEIGHTS[name] for name in later) for later in rounds[number:]]
        # The last 15 seconds are for what comes after a part's time.
        seconds = max((end - 15 - time.monotonic()) * weights[0] / sum(weights), 5)
        parts = [Part(name, words.get(name, []) + words["all"], out, seconds) for name in together]
        try:
            well = all([part.wait() for part in parts]) and well
        finally:
            for part in parts:
                if part.process.poll() is None:
                    part.kill()
    return well


def parser() -> argparse.ArgumentParser:
    """Its options."""
    whole = argument_parser(__doc__)
    whole.set_defaults(out=Path("runs/gpu"))
    whole.add_argument("--data-dir", type=Path, help="of TensorFlow Datasets, with Imagenette")
    whole.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART")
    whole.add_argument("--minutes", type=float, default=8, help="for all (default: 8)")
    whole.add_argument("--epochs", type=int, help="of train (default: as many as fit)")
    whole.add_argument("--recipes", nargs="+", help="of train, see benchmarks.claims.recipe")
    whole.add_argument("--notebooks", nargs="+", help="names, without .ipynb")
    return whole


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    end = time.monotonic() + 60 * args.minutes
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the parts are ended, too
    out = args.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    words = {"all": ["--miniature"] if args.miniature else []}
    if args.data_dir:
        words["all"] += ["--data-dir", str(args.data_dir.resolve())]
    words["train"] = ["--epochs", str(args.epochs)] if args.epochs else []
    words["train"] += ["--recipes", *args.recipes] if args.recipes else []
    words["notebooks"] = ["--notebooks", *args.notebooks] if args.notebooks else []
    for name in ("device", *args.only):  # lines of an earlier call stay, but for these parts
        forget(out / FILE, name)
    (out / DEVICE).unlink(missing_ok=True)
    well = Part("device", [], out, 120).wait()
    found = read_device(out)
    if found["gpu"] is None and not args.miniature:
        print("A GPU must be there, or --miniature be given. Received: none that nvidia-smi lists")
        return 1
    well = run_parts(args.only, words, out, end) and well
    print(f"\n{found['device']}: the figures are in {out / FILE}")
    return int(not well)


def forget(path: Path, part: str) -> None:
    """Removes a part's lines of an earlier call."""
    if path.exists():
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if not line.startswith(f'{{"part": "{part}"')]
        path.write_text("".join(kept), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
