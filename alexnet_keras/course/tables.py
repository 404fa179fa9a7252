"""Small tables, and the colours of the layers."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

LAYER_COLORS = {
    "image": "#999999",
    "conv1": "#0072B2",
    "conv2": "#56B4E9",
    "conv3": "#009E73",
    "conv4": "#8CC152",
    "conv5": "#E69F00",
    "fc6": "#D55E00",
    "fc7": "#CC79A7",
    "fc8": "#7B4173",
}
"""Each layer has its colour in all figures of the course."""


def table(columns: Mapping[str, Sequence[Any]], formats: Mapping[str, str] | None = None):
    """A table to end a cell with, or to print.

    Args:
        columns: the values of each column under its heading.
        formats: format specifications for columns, for example `{"share": ".1%"}`. Without one,
            integers have commas at the thousands and floats four digits.

    Returns:
        A `Table`, shown by Jupyter as such and by `print` in letters.

    Raises:
        ValueError: if the columns differ in length.

    Example:

    >>> table({"layer": ["conv1", "fc6"], "parameters": [34944, 37752832], "share": [0.001, 0.62]},
    ...       {"share": ".1%"})
    layer  parameters  share
    conv1      34,944   0.1%
    fc6    37,752,832  62.0%
    """
    lengths = {len(values) for values in columns.values()}
    if len(lengths) > 1:
        received = {name: len(values) for name, values in columns.items()}
        raise ValueError(f"The columns of a table must be of one length. Received: {received}")
    formats = formats or {}
    return Table({n: [_text(x, formats.get(n)) for x in values] for n, values in columns.items()})


def _text(value, spec):
    if value is None:
        return "-"
    if isinstance(value, str) or spec == "":
        return str(value)
    if spec is not None:
        return format(value, spec)
    if hasattr(value, "item"):  # of numpy
        value = value.item()
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return format(value, ",")
    return format(value, ".4g") if isinstance(value, float) else str(value)


class Table:
    """Headings and cells, all text; columns of numbers stand to the right."""

    def __init__(self, columns: Mapping[str, Sequence[str]]):
        self.columns = columns
        self.right = {
            name: any(text[:1] in "+-0123456789" and text != "-" for text in values)
            for name, values in columns.items()
        }

    def __repr__(self) -> str:
        widths = {n: max(map(len, (n, *values))) for n, values in self.columns.items()}
        rows = [tuple(self.columns), *zip(*self.columns.values())]
        lines = []
        for row in rows:
            texts = (
                text.rjust(widths[name]) if self.right[name] else text.ljust(widths[name])
                for name, text in zip(self.columns, row)
            )
            lines.append("  ".join(texts).rstrip())
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        def row(tag, texts):
            cells = "".join(
                f'<{tag} style="text-align: {"right" if self.right[name] else "left"}">'
                f"{html.escape(text)}</{tag}>"
                for name, text in zip(self.columns, texts)
            )
            return f"<tr>{cells}</tr>"

        body = "".join(row("td", texts) for texts in zip(*self.columns.values()))
        return f"<table><thead>{row('th', self.columns)}</thead><tbody>{body}</tbody></table>"
