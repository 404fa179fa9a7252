"""Runs notebooks on a GPU and keeps them, with their outputs, in the folder of the results."""

import os
import sys
from pathlib import Path

from benchmarks.gpu.figures import Keeper, part_parser

NOTEBOOKS = ("08_training_for_real", "09_many_gpus")
HERE = Path(__file__).parents[2] / "notebooks"


def main(argv: list[str] | None = None) -> int:
    parser = part_parser(__doc__)
    parser.add_argument("--notebooks", nargs="+", default=NOTEBOOKS, help="names, without .ipynb")
    args = parser.parse_args(argv)
    try:
        import nbformat

        from notebooks.refresh import clean, execute
    except ImportError as error:
        print(f"notebooks: not run ({error}); to get it: pip install nbclient ipykernel")
        return 0
    keep, failed = Keeper("notebooks", args.out), False
    folder = args.out / "notebooks"
    folder.mkdir(parents=True, exist_ok=True)
    # A kernel starts in the notebook's folder and has to find the package from there.
    os.environ["PYTHONPATH"] = os.pathsep.join(
        path for path in (str(HERE.parent), os.environ.get("PYTHONPATH")) if path
    )
    for name in args.notebooks:
        notebook = nbformat.read(HERE / f"{name}.ipynb", as_version=4)
        try:
            keep(name, execute(notebook, folder, int(args.seconds)), "s")
        except Exception as error:
            failed = True
            print(f"notebooks: {name} failed\n{str(error)[-3000:]}", flush=True)
        clean(notebook)
        nbformat.write(notebook, folder / f"{name}.ipynb")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
