"""The Chinese edition has the code, figures and links of the English one, and nothing is stale."""

import re
import shutil
from pathlib import Path

import nbformat
import pytest

from notebooks import translate

ROOT = Path(__file__).parents[2]
TRANSLATED = sorted(path.stem for path in (ROOT / "notebooks" / "zh").glob("*.md"))


@pytest.fixture
def edition(tmp_path, monkeypatch):
    """A copy of the first notebooks and their translations."""
    (tmp_path / "zh").mkdir()
    for path in ROOT.glob("notebooks/0[12]_*.ipynb"):
        shutil.copy(path, tmp_path)
    for path in ROOT.glob("notebooks/zh/0[12]_*"):
        shutil.copy(path, tmp_path / "zh")
    monkeypatch.setattr(translate, "HERE", tmp_path)
    monkeypatch.setattr(translate, "EDITION", tmp_path / "zh")
    monkeypatch.setattr("sys.argv", ["translate"])
    return tmp_path


def change(path, before, after):
    text = path.read_text("utf-8")
    assert before in text
    path.write_text(text.replace(before, after), "utf-8")


class TestNotebooks:
    def test_are_what_would_be_written(self, monkeypatch, capsys):
        monkeypatch.setattr("sys.argv", ["translate", "--check"])
        assert translate.main() == 0, capsys.readouterr()
        assert TRANSLATED
        assert {path.stem for path in (ROOT / "notebooks/zh").glob("*.ipynb")} == set(TRANSLATED)

    @pytest.mark.parametrize("stem", TRANSLATED)
    def test_code_and_outputs_are_the_english_ones(self, stem):
        pair = [ROOT / "notebooks" / f"{stem}.ipynb", ROOT / "notebooks" / "zh" / f"{stem}.ipynb"]
        english, chinese = (nbformat.read(path, as_version=4).cells for path in pair)
        assert [cell.id for cell in english] == [cell.id for cell in chinese]
        for ours, theirs in zip(english, chinese):
            if ours.cell_type == "code":
                assert ours == theirs
            else:
                assert re.search("[\u4e00-\u9fff]", theirs.source), theirs.id

    @pytest.mark.parametrize("stem", TRANSLATED)
    def test_links_lead_somewhere(self, stem):
        folder = ROOT / "notebooks" / "zh"
        badge = False
        for cell in nbformat.read(folder / f"{stem}.ipynb", as_version=4).cells:
            if cell.cell_type == "markdown":
                prose = re.sub("^```.*?^```|`[^`]*`", "", cell.source, flags=re.M | re.S)
                for target in re.findall(r"\]\(([^)#\s]+)", prose):
                    in_repository = re.fullmatch("https?:.*/blob/main/(.*)", target)
                    badge |= target.endswith(f"/blob/main/notebooks/zh/{stem}.ipynb")
                    if in_repository:
                        assert (ROOT / in_repository.group(1)).exists(), target
                    elif not target.startswith("http"):
                        assert (folder / target).exists(), target
        assert badge


class TestTool:
    def test_changed_code_and_output_are_carried_over(self, edition):
        change(edition / "01_architecture.ipynb", "size = 227", "size = 231")
        assert translate.main() == 0
        assert "size = 231" in (edition / "zh" / "01_architecture.ipynb").read_text("utf-8")

    @pytest.mark.parametrize(
        "name, before, after, message",
        [
            ("01_architecture.ipynb", "The two agree", "They agree", "the English text"),
            ("zh/01_architecture.md", "+ 384\n", "+ 385\n", "other code"),
            ("zh/01_architecture.md", "3 GB 内存", "4 GB 内存", "other numbers: 4 for 3"),
            ("zh/01_architecture.md", "\\cdot", "\\times", "other formulas"),
            ("zh/02_first_training.md", "03_relu.ipynb", "04.ipynb", "other links"),
            ("zh/02_first_training.md", r"<!-- cell-\d+ \w+ -->\n\n## ", "## ", "not translated"),
            ("zh/02_first_training.md", "<!-- cell-", "<!-- box-", "no such cell"),
        ],
    )
    def test_differences_are_named_and_nothing_is_written(
        self, edition, capsys, name, before, after, message
    ):
        path = edition / name
        text = path.read_text("utf-8")
        pattern = before if before.startswith("<!-- cell-\\") else re.escape(before)
        changed = re.sub(pattern, lambda match: after, text, count=1)
        assert changed != text
        path.write_text(changed, "utf-8")
        stem = Path(name).stem
        written = edition / "zh" / f"{stem}.ipynb"
        written.unlink()
        assert translate.main() == 1
        assert re.search(rf"{stem}\.md: (cell|box)-\d+: {message}", capsys.readouterr().err)
        assert not written.exists()

    def test_check_notices_an_edited_copy(self, edition, monkeypatch):
        written = edition / "zh" / "01_architecture.ipynb"
        change(written, "size = 227", "size = 224")
        before = written.read_text("utf-8")
        monkeypatch.setattr("sys.argv", ["translate", "--check"])
        assert translate.main() == 1
        assert written.read_text("utf-8") == before

    def test_begin_writes_what_is_to_be_translated(self, edition, monkeypatch):
        path = edition / "zh" / "01_architecture.md"
        monkeypatch.setattr("sys.argv", ["translate", "--begin", "01_architecture"])
        assert translate.main() == 1  # never over a translation
        path.unlink()
        assert translate.main() == 0
        cells = translate.english_cells("01_architecture")
        begun = translate.read_translation(path.read_text("utf-8"))
        assert {name: text for name, (_, text) in begun.items()} == cells
        assert not translate.problems(cells, begun)

    def test_another_address_is_no_reason_to_translate_again(self, edition):
        change(edition / "01_architecture.ipynb", "alexnet-keras/alexnet-keras", "someone/else")
        assert translate.main() == 0

    def test_cell_given_twice(self):
        with pytest.raises(ValueError, match="Received: a twice"):
            translate.read_translation("<!-- a 01234567 -->\n\nA\n<!-- a 01234567 -->\n\nB\n")

    def test_translation_of_nothing(self):
        with pytest.raises(ValueError, match="Received: 99_nothing"):
            translate.english_cells("99_nothing")


class Section:
    """What a section of a README has in common in all languages."""

    def __init__(self, text):
        self.code = re.findall("^```.*?^```", text, re.MULTILINE | re.DOTALL)
        text = re.sub("^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
        self.names = sorted(re.findall("`([^`]+)`", text))
        self.links = sorted(re.findall(r"\]\(([^)]+)\)|<(https?:[^>]+)>", text))
        prose = re.sub(r"`[^`]+`|\]\([^)]+\)|<http[^>]+>", "", text)
        self.figures = sorted(re.findall(r"\d+(?:[.,]\d+)*", prose))
        self.tables = [
            [re.findall(r"`[^`]+`|\d+(?:[.,]\d+)*", cell) for cell in row.split("|")]
            for row in re.findall(r"^\|.*\|$", text, re.MULTILINE)
        ]


class TestReadme:
    @pytest.fixture(scope="class")
    def both(self):
        texts = [(ROOT / name).read_text("utf-8") for name in ("README.md", "README.zh-CN.md")]
        english, chinese = texts
        assert "\n\n[简体中文](README.zh-CN.md)\n\n" in english
        assert "\n\n[English](README.md)\n\n" in chinese
        own = "已译成中文的笔记在 `notebooks/zh/` 中：正文是中文，代码和输出与英文版相同。\n"
        assert own in chinese  # the only sentence that the original lacks
        english = english.replace("[简体中文](README.zh-CN.md)", "")
        chinese = chinese.replace("[English](README.md)", "").replace(own, "")
        return [re.split(r"^(#+) .*\n", text, flags=re.MULTILINE) for text in (english, chinese)]

    def test_headings_are_the_same(self, both):
        english, chinese = both
        assert len(english) > 20
        assert english[1::2] == chinese[1::2]

    @pytest.mark.parametrize("what", ["code", "names", "links", "figures", "tables"])
    def test_sections_hold_the_same(self, both, what):
        english, chinese = both
        found = 0
        for ours, theirs in zip(english[2::2], chinese[2::2]):
            expected = getattr(Section(ours), what)
            assert getattr(Section(theirs), what) == expected
            found += len(expected)
        assert found >= 8
