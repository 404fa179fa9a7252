import re
import subprocess
import sys
import warnings

import matplotlib
import numpy as np
import pytest
from matplotlib import font_manager

from alexnet_keras.evaluation import Calibration, Evaluation, plot_confusion, plot_pictures
from alexnet_keras.figures import Figure, course_style
from alexnet_keras.inspection import Embedding, plot_embedding

PICTURE = np.zeros((9, 9, 3), "uint8")
CHINESE = ("猫", "狗")


@course_style()
def line():
    figure = Figure(layout="constrained")
    figure.subplots().plot([1, 2], [3, 4])
    return figure


def pixels(figure, path):
    figure.savefig(path)
    return matplotlib.image.imread(path)


def test_style_does_not_depend_on_settings_and_leaves_them(tmp_path):
    plain = pixels(line(), tmp_path / "plain.png")
    before = dict(matplotlib.rcParams)
    with matplotlib.rc_context({"axes.grid": False, "grid.color": "red", "savefig.dpi": 30}):
        figure = line()
    # The ticks, and with them the lines of the grid, are made where it is written.
    with matplotlib.rc_context({"grid.color": "red", "xtick.labelsize": 30, "savefig.dpi": 30}):
        np.testing.assert_array_equal(pixels(figure, tmp_path / "other.png"), plain)
    assert dict(matplotlib.rcParams) == before


def test_style_is_the_notebooks():
    with course_style(formulas=True):
        figure = dict(matplotlib.rcParams)
    with matplotlib.style.context("alexnet_keras.style"):
        notebook = dict(matplotlib.rcParams)
    different = {name for name in figure if figure[name] != notebook[name]}
    assert different <= {"font.family", "axes.titlelocation"}


@pytest.mark.parametrize("name", ("$1 bill, or\n$5 bill", "US$_5, US$_1", "$$", "A$AP", "_a_^b"))
def test_names_are_drawn_as_they_are(name, tmp_path):
    figure = plot_pictures([PICTURE], [name], title=name)
    figure.savefig(tmp_path / "pictures.png", dpi=30)
    texts = [figure.axes[0].title, figure._suptitle]
    assert [text.get_text() for text in texts] == [name, name]
    assert not any(text.get_parse_math() for text in texts)
    plane = Embedding(np.eye(2), "pca", (0.5, 0.25))
    figure = plot_embedding(plane, np.array([0, 1]), [name, "dog"])
    figure.savefig(tmp_path / "embedding.png", dpi=30)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [name, "dog"]


def test_formulas_where_they_are_wanted():
    with course_style(formulas=True):
        axes = Figure().subplots()
        axes.set_xscale("log")
    assert axes.xaxis.get_major_ticks()[0].label1.get_parse_math()


def confusion():
    calibration = Calibration.empty().add(np.full(2, 0.9), np.ones(2, bool))
    return plot_confusion(Evaluation(CHINESE, 1, 0, np.eye(2, dtype=int), (), calibration))


def test_chinese_names(tmp_path):
    """Drawn where a font has them; else one sentence names the characters."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        confusion().savefig(tmp_path / "figure.png")
    messages = [str(warning.message) for warning in caught]
    if any("CJK" in name for name in font_manager.get_font_names()):
        assert messages == []
    else:
        (message,) = messages
        assert re.match("No font that is installed has the characters 狗猫; Noto Sans CJK", message)


def test_one_sentence_without_a_font(tmp_path):
    """In a process whose matplotlib knows its own fonts only."""
    script = (
        "from matplotlib import font_manager\n"
        "font_manager.get_font_names = lambda: ['DejaVu Sans']\n"
        "from alexnet_keras.figures import Figure\n"
        "figure = Figure(layout='constrained')\n"
        "figure.subplots().set(title='猫狗', xlabel='狗')\n"
        f"figure.savefig({str(tmp_path / 'figure.png')!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Warning: No font that is installed has the characters 狗猫") == 1
    assert "Glyph" not in done.stderr


def test_other_warnings_are_passed_on(tmp_path):
    def draw(renderer):
        warnings.warn("of a part", stacklevel=1)

    figure = Figure()
    figure.subplots().title.draw = draw
    with pytest.warns(UserWarning, match="of a part"):
        figure.savefig(tmp_path / "figure.png")
