"""Writes the repository's address into the notebooks and the README.

The address stands in one place, `[project.urls] Repository` in `pyproject.toml`. Every notebook has
a badge that opens it in Colab, a line that begins with `[![Open In Colab]`; the README may have
some. The badges, and the `git+https://...` that installs the package, say which address a file
holds now: `python -m notebooks.links` replaces that one wherever it stands in the file, and leaves
links to other repositories alone. With `--check` nothing is written.
"""

import argparse
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
_NAME = r"([\w.-]+/[\w-]+(?:\.(?!git\b)[\w-]+)*)"  # OWNER/NAME
_BADGE = re.compile(
    rf"(\[!\[Open In Colab\]\([^)]*\)\]\()[^)\s]*?/github/{_NAME}/blob/main/([^)]*)\)"
)
_INSTALL = re.compile(rf"git\+https://github\.com/{_NAME}")


def main() -> int:
    """Writes the links, or checks them; returns the exit status."""
    parser = argparse.ArgumentParser(description="Write the repository's address into the links.")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail and name the files that disagree"
    )
    check = parser.parse_args().check
    name = repository_name((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    disagree, without_badge = [], []
    for path in [*sorted(ROOT.glob("notebooks/*.ipynb")), ROOT / "README.md"]:
        if not path.is_file():
            continue
        before = path.read_text(encoding="utf-8")
        place = path.relative_to(ROOT).as_posix()
        after = with_links(before, name, place if path.suffix == ".ipynb" else None)
        if after != before:
            disagree.append(place)
            if not check:
                path.write_text(after, encoding="utf-8")
        if path.suffix == ".ipynb" and not _BADGE.search(after):
            without_badge.append(place)
    for place in disagree:
        print(f"{place}: {'other links' if check else 'links written'}")
    for place in without_badge:
        print(f"{place}: no badge")
    return int(bool(without_badge) or (check and bool(disagree)))


def repository_name(pyproject: str) -> str:
    """`OWNER/NAME` of the repository.

    >>> repository_name('Repository = "https://github.com/someone/something"')
    'someone/something'
    """
    address = re.search(
        rf'^Repository = "https://github\.com/{_NAME}(?:\.git)?/?"', pyproject, re.M
    )
    if address is None:
        raise ValueError('pyproject.toml must hold: Repository = "https://github.com/OWNER/NAME"')
    return address.group(1)


def with_links(text: str, name: str, notebook: str | None = None) -> str:
    """The text with all links to the repository set to `name`.

    Args:
        text: of a notebook's file or of the README.
        name: `OWNER/NAME`.
        notebook: path of the notebook in the repository, to which its badge leads; `None` to keep
            the paths of the badges.

    >>> with_links("git+https://github.com/a/b and https://github.com/a/b/issues", "c/d")
    'git+https://github.com/c/d and https://github.com/c/d/issues'
    """
    olds = {match.group(2) for match in _BADGE.finditer(text)}
    olds |= {match.group(1) for match in _INSTALL.finditer(text)}
    for old in sorted(olds - {name}):
        pattern = rf"(github\.com/|/github/){re.escape(old)}(?![\w-])"
        text = re.sub(pattern, lambda match: match.group(1) + name, text)
    if notebook is not None:
        address = f"https://colab.research.google.com/github/{name}/blob/main/{notebook}"
        text = _BADGE.sub(lambda match: f"{match.group(1)}{address})", text)
    return text


if __name__ == "__main__":
    sys.exit(main())
