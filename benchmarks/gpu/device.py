"""Which GPU there is, with which driver and libraries, and what of it each of them sees."""

import json
import shutil
import subprocess
import sys

from benchmarks.common import machine
from benchmarks.gpu.figures import DEVICE, part_parser

SEES = {
    "tensorflow": (
        "import tensorflow as tf; print([d.name for d in tf.config.list_physical_devices('GPU')])",
        "pip install 'tensorflow[and-cuda]<2.22'",
    ),
    "jax": (
        "import jax; print([str(d) for d in jax.devices() if d.platform != 'cpu'])",
        "pip install 'jax[cuda13]'",
    ),
    "torch": (
        "import torch.cuda as c; print([c.get_device_name(i) for i in range(c.device_count())])",
        "pip install torch",
    ),
}
"""What each library is asked, in a process of its own, and how one gets it for a GPU."""


def cards() -> list[dict[str, str]]:
    """Name, driver and memory of NVIDIA's cards."""
    if shutil.which("nvidia-smi") is None:
        return []
    fields = ["name", "driver_version", "memory.total"]
    command = ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader"]
    lines = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    return [dict(zip(fields, (cell.strip() for cell in line.split(",")))) for line in lines]


def seen_by(library: str) -> str | None:
    """What a library answers; `None` if it is not there or fails."""
    command = [sys.executable, "-c", SEES[library][0]]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except subprocess.SubprocessError:
        return None
    return answer.stdout.strip().splitlines()[-1]


def main(argv: list[str] | None = None) -> None:
    args = part_parser(__doc__).parse_args(argv)
    found, about = cards(), machine()
    saved = {
        "device": found[0]["name"] if found else about["processor"],
        "gpu": found[0] if found else None,
        "seen_by": {library: seen_by(library) for library in SEES},
        "machine": about,
    }
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / DEVICE).write_text(json.dumps(saved, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(saved, indent=2))
    for library, (_, command) in SEES.items():
        if not (saved["seen_by"][library] or "[]").strip("[]"):
            print(f"device: {library} is missing or sees no GPU; to get it: {command}")


if __name__ == "__main__":
    main()
