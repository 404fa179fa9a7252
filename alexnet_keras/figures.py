"""The course's style for the figures of the package, the reports and the benchmarks.

It is that of `style.mplstyle`, with three differences that suit figures of somebody's data: names
are drawn as they are and not as formulas, characters that the first font lacks are taken from
another that is installed, and titles stand over the middle, where a picture's caption belongs.
"""

import functools
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import figure, font_manager

_STYLE = Path(__file__).with_name("style.mplstyle")
_MISSING = re.compile(r"Glyph (\d+) .*missing from")


@functools.cache
def _settings() -> dict[str, Any]:
    settings = dict(matplotlib.rc_params_from_file(str(_STYLE), use_default_template=False))
    installed = set(font_manager.get_font_names())
    fonts = [name for name in settings["font.sans-serif"] if name in installed]
    # By name: of a generic family matplotlib takes the first font only.
    return {
        **settings,
        "font.family": fonts or settings["font.family"],
        "text.parse_math": False,
        "axes.titlelocation": "center",
    }


@contextmanager
def course_style(formulas: bool = False) -> Iterator[None]:
    """The style within a `with` block, or within a function that `@course_style()` stands before.

    After it matplotlib's own settings are back.

    Args:
        formulas: whether what stands between two dollar signs is a formula, as the labels of
            logarithmic axes are. If false, a class named "$5" is drawn so.

    Example:

    >>> import matplotlib
    >>> with course_style():
    ...     matplotlib.rcParams["axes.spines.top"]
    False
    >>> matplotlib.rcParams["axes.spines.top"]
    True
    >>> @course_style()
    ... def draw():
    ...     figure = Figure()
    ...     figure.subplots().plot([1, 2])
    ...     return figure
    >>> draw().axes[0].lines[0].get_color()
    '#0072B2'
    """
    with matplotlib.rc_context({**_settings(), "text.parse_math": formulas}):
        yield


class Figure(figure.Figure):
    """A figure of matplotlib's that has the style, too, when it is shown or written.

    Only then matplotlib makes some of the ticks and looks for the fonts. Where no installed font
    has a character, one sentence says so, in place of a warning for each.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        self._warned: set[str] = set()
        with course_style():
            super().__init__(*args, **kwargs)

    def draw(self, renderer: Any) -> None:
        # What is still made now are the ticks of numbers.
        with course_style(formulas=True), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            super().draw(renderer)
        missing = set()
        for warning in caught:
            found = _MISSING.match(str(warning.message))
            if found:
                missing.add(chr(int(found[1])))
            else:
                warnings.warn_explicit(
                    warning.message, warning.category, warning.filename, warning.lineno
                )
        if missing - self._warned:
            self._warned |= missing
            characters = "".join(sorted(missing))
            warnings.warn(
                f"No font that is installed has the characters {characters}; "
                "Noto Sans CJK has those of Chinese, Japanese and Korean.",
                stacklevel=2,
            )

    def savefig(self, *args: Any, **kwargs: Any) -> None:
        with course_style():
            super().savefig(*args, **kwargs)
