"""That each benchmark runs, at a tiny size. What it measures is not tested."""

import importlib
import json

import pytest

pytest.importorskip("torch")

SCRIPTS = {
    "training": "Training step, bfloat16",
    "inference": "Batch 2",
    "lrn": "conv1, 55 x 55 x 96",
    "pipeline": "Input pipeline",
    "memory": "Reading 500 x 375 JPEG files",
    "scaling": "Threads",
    "gpu": "Inference, batch 2",
}


def test_precision_runs(tmp_path, capsys):
    from benchmarks import precision

    precision.main(["--miniature", "--repetitions", "1", "--out", str(tmp_path)])
    saved = json.loads((tmp_path / "precision.json").read_text())
    assert capsys.readouterr().out.count("| mean | ") == 2
    assert all(row["bfloat16"] > 0 < row["float32"] for row in saved["losses"])
    assert all(0 < row["bfloat16"] < 1 for row in saved["errors"])


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_runs(name, tmp_path, capsys):
    script = importlib.import_module(f"benchmarks.{name}")
    script.main(["--miniature", "--repetitions", "2", "--out", str(tmp_path)])
    said = capsys.readouterr().out
    saved = json.loads((tmp_path / f"{name}.json").read_text())
    assert f"\n{SCRIPTS[name]}\n" in said
    for title, section in saved["sections"].items():
        for contender, result in section["results"].items():
            assert f"| {contender} |" in said, title
            assert result["rates"] and min(result["rates"]) > 0
    if name == "scaling":
        assert (tmp_path / "scaling.png").stat().st_size > 10_000


def test_pages_are_those_of_the_results():
    from benchmarks.harness import RESULTS, saved_tables
    from benchmarks.summary import summary

    assert (RESULTS / "README.md").read_text(encoding="utf-8") == summary(RESULTS)
    readme = (RESULTS.parents[1] / "README.md").read_text(encoding="utf-8")
    tables = [saved_tables(RESULTS / "training.json")["Training step, float32"]]
    for table in [*tables, *saved_tables(RESULTS / "inference.json").values()]:
        assert table in readme
