"""Writes the Chinese edition of the notebooks.

A translation, `zh/NN_topic.md`, holds prose only: the Markdown cells of `NN_topic.ipynb`, each
under a comment with the cell's id and the first digits of the SHA-256 of its English text, which
says what was translated. `python -m notebooks.translate` joins it with the code and the outputs of
the English notebook to `zh/NN_topic.ipynb`, so that code can differ nowhere. Where the English text
of a cell has changed since, or a translation has other code, formulas, numbers or links than its
original, it names the cells, does not write that notebook, and fails.

With `--check` nothing is written. `--begin NN_topic` writes a file to translate, in English.
"""

import argparse
import hashlib
import re
import sys
from collections import Counter
from pathlib import Path

import nbformat

from notebooks import links

HERE = Path(__file__).parent
EDITION = HERE / "zh"
_MARK = re.compile(r"^<!-- (\S+) ([0-9a-f]{8}) -->\n", re.MULTILINE)
_CODE = re.compile(r"(^```.*?^```|`[^`\n]+`)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_KEPT = {  # what a translation has in common with its original
    "code": _CODE,
    "formulas": re.compile(r"\$\$[^$]+\$\$|\$[^$]+\$"),
    "numbers": re.compile(r"\d+(?:[.,]\d+)*"),
    "links": _LINK,
}


def main() -> int:
    """Writes the notebooks, or checks them; returns the exit status."""
    parser = argparse.ArgumentParser(description="Write the Chinese notebooks from their prose.")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--check", action="store_true", help="write nothing, fail at a difference")
    choice.add_argument("--begin", metavar="NN_topic", help="write a file to translate")
    arguments = parser.parse_args()
    if arguments.begin:
        return _begin(arguments.begin)
    failed = False
    for path in sorted(EDITION.glob("*.md")):
        text = links.with_links(path.read_text("utf-8"), "OWNER/NAME")
        found = problems(english_cells(path.stem), read_translation(text))
        for problem in found:
            print(f"{path.name}: {problem}", file=sys.stderr)
        failed |= bool(found)
        if found:
            continue
        written = path.with_suffix(".ipynb")
        after = notebook_text(path.stem)
        if not written.is_file() or written.read_text("utf-8") != after:
            print(
                f"{written.name}: {'not as it would be written' if arguments.check else 'written'}"
            )
            failed |= arguments.check
            if not arguments.check:
                written.write_text(after, "utf-8")
    return int(failed)


def english_cells(stem: str) -> dict[str, str]:
    """The Markdown cells of an English notebook, by their ids.

    Args:
        stem: name of the notebook without `.ipynb`.

    Returns:
        Their sources, with `OWNER/NAME` for the repository: a copy that is published elsewhere is
        no reason to translate again.
    """
    path = HERE / f"{stem}.ipynb"
    if not path.is_file():
        raise ValueError(f"A translation is named as a notebook is. Received: {stem}")
    text = links.with_links(path.read_text("utf-8"), "OWNER/NAME")
    cells = nbformat.reads(text, as_version=4).cells
    return {cell.id: cell.source for cell in cells if cell.cell_type == "markdown"}


def digest(text: str) -> str:
    """The mark of an English text.

    >>> digest("# A first training")
    '24efd4ef'
    """
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def read_translation(text: str) -> dict[str, tuple[str, str]]:
    r"""Mark and text of each cell, by its id.

    >>> read_translation("<!-- cell-01 0123abcd -->\n\n# 标题\n")
    {'cell-01': ('0123abcd', '# 标题')}
    """
    _, *parts = _MARK.split(text)
    cells = {}
    for name, mark, source in zip(parts[::3], parts[1::3], parts[2::3]):
        if name in cells:
            raise ValueError(f"Each cell is translated once. Received: {name} twice")
        cells[name] = (mark, source.strip("\n"))
    return cells


def problems(english: dict[str, str], translation: dict[str, tuple[str, str]]) -> list[str]:
    """What keeps a translation from being used, a line each.

    >>> problems({"a": "Two of `x`", "b": "3"}, {"a": (digest("Two of `x`"), "两个 `y`")})
    ['a: other code: `y` for `x`', 'b: not translated']
    """
    found = [f"{name}: no such cell" for name in translation if name not in english]
    for name, source in english.items():
        if name not in translation:
            found.append(f"{name}: not translated")
            continue
        mark, text = translation[name]
        if mark != digest(source):
            found.append(f"{name}: the English text has changed; its mark is now {digest(source)}")
            continue
        for what, pattern in _KEPT.items():
            ours, theirs = Counter(pattern.findall(source)), Counter(pattern.findall(text))
            if ours != theirs:
                only = ((theirs - ours).elements(), (ours - theirs).elements())
                received, expected = (", ".join(values) or "nothing" for values in only)
                found.append(f"{name}: other {what}: {received} for {expected}")
    return found


def notebook_text(stem: str) -> str:
    """The file of a Chinese notebook: the English one with the prose of `zh/<stem>.md`.

    Raises:
        KeyError: if a cell is not translated.
    """
    notebook = nbformat.read(HERE / f"{stem}.ipynb", as_version=4)
    translation = read_translation((EDITION / f"{stem}.md").read_text("utf-8"))
    stems = {path.stem for path in EDITION.glob("*.md")}
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = relocated(translation[cell.id][1], stems)
    name = links.repository_name((links.ROOT / "pyproject.toml").read_text("utf-8"))
    text = nbformat.writes(notebook)
    return links.with_links(text, name, f"notebooks/{EDITION.name}/{stem}.ipynb") + "\n"


def relocated(source: str, stems: set[str]) -> str:
    """The Markdown text with its links set for the folder of the translations.

    Args:
        source: written as if it stood in the English notebook.
        stems: of the notebooks that are translated; links lead to the translation of these.

    >>> relocated("[1](01_a.ipynb), [2](02_b.ipynb), `f[0](x)`, [3](https://a.b)", {"01_a"})
    '[1](01_a.ipynb), [2](../02_b.ipynb), `f[0](x)`, [3](https://a.b)'
    """

    def moved(match):
        target = match.group(1)
        on_the_web = re.fullmatch(r"(http.*/blob/main/notebooks/)((\w+)\.ipynb.*)", target)
        if on_the_web and on_the_web.group(3) in stems:
            target = f"{on_the_web.group(1)}{EDITION.name}/{on_the_web.group(2)}"
        elif not re.match(r"\w+:|#", target) and target.partition(".ipynb")[0] not in stems:
            target = f"../{target}"
        return f"]({target})"

    parts = _CODE.split(source)
    parts[::2] = [_LINK.sub(moved, part) for part in parts[::2]]
    return "".join(parts)


def _begin(stem: str) -> int:
    path = EDITION / f"{stem}.md"
    if path.exists():
        print(f"There is a translation already: {path}", file=sys.stderr)
        return 1
    cells = english_cells(stem)
    text = "\n".join(f"<!-- {name} {digest(cell)} -->\n\n{cell}\n" for name, cell in cells.items())
    path.write_text(text, "utf-8")
    print(f"Translate {path}, then run `python -m notebooks.translate`.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
