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


def test_transfer_runs_and_goes_on(tmp_path, capsys):
    from benchmarks import transfer

    arguments = ["--miniature", "--out", str(tmp_path)]
    transfer.main(arguments)
    lines = (tmp_path / "transfer.jsonl").read_text()
    rows = [json.loads(line) for line in lines.splitlines()]
    assert [row["way"] for row in rows] == list(transfer.WAYS)
    assert all(len(row["errors"]) == 1 and 0 < row["errors"][0] < 1 for row in rows)
    said = capsys.readouterr().out
    (tmp_path / "transfer.jsonl").write_text(lines + '{"cut')
    transfer.main([*arguments, "--plot-only"])
    again = capsys.readouterr().out
    assert again and said.endswith(again)
    assert all(f"| {way} | 1 | " in again for way in transfer.WAYS)
    assert (tmp_path / "transfer.png").stat().st_size > 10_000


def test_epochs_to_reach_an_error():
    import numpy as np

    from benchmarks.transfer import epochs_to_reach

    errors = np.array([[0.9, 0.5, 0.6, 0.4], [0.9, 0.8, 0.7, 0.6]])
    assert epochs_to_reach(errors, 0.5) == [2, None]
    assert epochs_to_reach(errors, 0.9) == [1, 1]
