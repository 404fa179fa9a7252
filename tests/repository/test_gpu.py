"""That `make gpu` runs on a CPU in miniature, and what it computes with."""

import json
import os
import sys
import time

import numpy as np
import pytest

from benchmarks.gpu import __main__ as gpu
from benchmarks.gpu import figures
from benchmarks.speed.harness import Contender, measure_together


@pytest.fixture
def keep(tmp_path):
    (tmp_path / figures.DEVICE).write_text('{"device": "a card", "gpu": null}')
    return figures.Keeper("speed", tmp_path, {"batch_size": 2})


def test_figures_are_kept_read_and_made_a_page(keep, tmp_path, capsys):
    from benchmarks.summary import main

    keep.rates("fit", [3.0, 1.0, 1234.5], "images/s", steps=4)
    keep("not finite", float("nan"), "s")
    keep("large", 98765.4, "images/s")
    first, second = figures.read_figures(tmp_path / figures.FILE)
    assert (first.name, first.value, first.device) == ("fit", 3.0, "a card")
    assert first.settings == {"batch_size": 2, "rates": [3.0, 1.0, 1234.5], "steps": 4}
    assert "speed: not finite: nan s" in capsys.readouterr().out
    main(["--folder", str(tmp_path)])
    page = (tmp_path / "README.md").read_text()
    assert f"### speed, a card, {second.date}" in page
    assert "| fit | images/s | 3 |\n| large | images/s | 98,765 |" in page


def test_lines_of_an_earlier_call_are_forgotten(keep, tmp_path):
    keep("a", 1, "s")
    figures.Keeper("feed", tmp_path)("b", 2, "s")
    gpu.forget(tmp_path / figures.FILE, "speed")
    assert [figure.name for figure in figures.read_figures(tmp_path / figures.FILE)] == ["b"]


def test_a_page_that_is_wrong_is_refused(tmp_path):
    from alexnet_keras.common import RunError

    (tmp_path / figures.FILE).write_text('{"part": "speed", "name": "fit", "value": "fast"}\n')
    with pytest.raises(RunError, match="fields of Figure"):
        figures.read_figures(tmp_path / figures.FILE)


def waiting(seconds):
    return lambda: time.sleep(seconds)


def failing(how):
    def run():
        if how == "raises":
            raise ValueError("no kernel for it")
        if how == "hangs":
            time.sleep(60)
        os._exit(3)

    return run


def test_contenders_that_fail_are_left_out(capsys):
    slow = {"PART": "other"}
    contenders = [
        Contender("fast", waiting, {"seconds": 0.01}),
        Contender("raises", failing, {"how": "raises"}),
        Contender("ends", failing, {"how": "ends"}),
        Contender("twice", waiting, {"seconds": 0.02}, work=4.0, environment=slow),
        Contender("again", waiting, {"seconds": 0.01}),
    ]
    rates = measure_together(contenders, repetitions=2, seconds=0.02, limit=60)
    assert list(rates) == ["fast", "twice", "again"]
    assert all(len(values) == 2 for values in rates.values())
    assert max(rates["fast"]) <= 100 and max(rates["twice"]) <= 200
    said = capsys.readouterr().err
    assert "raises: not measured (ValueError: no kernel for it)" in said
    assert "ends: not measured (ends ended with exit code 3)" in said


@pytest.mark.slow
def test_a_contender_that_hangs_is_ended(capsys):
    contenders = [
        Contender("hangs", failing, {"how": "hangs"}),
        Contender("fast", waiting, {"seconds": 0.01}),
    ]
    rates = measure_together(contenders, repetitions=1, seconds=0, limit=9)
    assert list(rates) == ["fast"]
    assert "hangs: not measured (hangs took longer than 3 s)" in capsys.readouterr().err


def test_references_are_the_formulas():
    from benchmarks.gpu.parity import difference, lrn_reference, within_map_reference

    x = np.arange(1.0, 5).reshape(1, 1, 1, 4)
    expected = x / (1 + np.array([1 + 4, 1 + 4 + 9, 4 + 9 + 16, 9 + 16]))
    np.testing.assert_allclose(lrn_reference(x, 3, 1.0, 1.0, 1.0), expected)
    ones = np.ones((1, 3, 3, 1))
    found = within_map_reference(ones, 3, 1.0, 9.0, 1.0)[0, :, :, 0]
    neighbours = np.array([[4, 6, 4], [6, 9, 6], [4, 6, 4]])
    np.testing.assert_allclose(found, 1 / (1 + neighbours))
    assert difference([1.0, -3.0], [1.0, -4.0]) == 0.25


def test_epochs_that_fit(tmp_path):
    from benchmarks.gpu import train
    from benchmarks.gpu.feed import EPOCH

    assert train.fitting_epochs(tmp_path, 100, 2) == 40
    figures.Keeper("feed", tmp_path)(EPOCH, 1.5, "s")
    spent = train.RESERVE + train.STARTING
    assert train.fitting_epochs(tmp_path, 30 + spent, 2) == 10
    assert train.fitting_epochs(tmp_path, 0, 2) == 2
    assert train.fitting_epochs(tmp_path, 1e9, 2) == 120


def test_without_a_gpu_it_says_so(tmp_path, monkeypatch, capsys):
    def alone(name, words, out, seconds):
        assert name == "device"
        (out / figures.DEVICE).write_text('{"device": "a processor", "gpu": null}')
        return type("Part", (), {"wait": lambda self: True})()

    monkeypatch.setattr(gpu, "Part", alone)
    assert gpu.main(["--out", str(tmp_path)]) == 1
    assert "A GPU must be there, or --miniature be given." in capsys.readouterr().out


def test_a_part_that_fails_does_not_end_the_others(tmp_path, monkeypatch):
    started = []

    def part(name, words, out, seconds):
        started.append((name, round(seconds)))
        return type("Part", (), {"wait": lambda self: name != "parity", "process": Ended()})()

    monkeypatch.setattr(gpu, "Part", part)
    end = time.monotonic() + 15 + 90
    assert not gpu.run_parts(gpu.PARTS, {"all": []}, tmp_path, end)
    assert [name for name, _ in started] == list(gpu.PARTS)
    # Of 90 s, by their weights.
    assert started[0][1] == 15  # 90 * 1.5 / 9
    assert started[-1][1] == started[-2][1] == 90
    assert gpu.run_parts(["feed"], {"all": []}, tmp_path, end)


class Ended:
    def poll(self):
        return 0


def test_a_process_that_takes_too_long_is_cut_off(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gpu, "GRACE", 0)
    monkeypatch.setattr(gpu.subprocess, "Popen", sleeping(gpu.subprocess.Popen))
    part = gpu.Part("feed", [], tmp_path, 0.2)
    assert not part.wait() and part.process.poll() == -9
    assert "feed: cut off after 0 s" in capsys.readouterr().out


def sleeping(popen):
    return lambda command, **how: popen(["sleep", "60"], **how)


def test_notebooks_are_kept_with_outputs(keep, tmp_path, monkeypatch, capsys):
    import nbformat

    from benchmarks.gpu import notebooks

    monkeypatch.setattr(notebooks, "HERE", tmp_path / "notebooks")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    notebooks.HERE.mkdir()
    for name, code in (("good", "import alexnet_keras; print(6 * 7)"), ("bad", "1 / 0")):
        cells = [nbformat.v4.new_code_cell(code)]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), notebooks.HERE / f"{name}.ipynb")
    out = tmp_path / "out"
    assert notebooks.main(["--out", str(out), "--notebooks", "bad", "good"]) == 1
    kept = nbformat.read(out / "notebooks" / "good.ipynb", as_version=4)
    assert kept.cells[0].outputs[0].text == "42\n"
    assert not nbformat.read(notebooks.HERE / "good.ipynb", as_version=4).cells[0].outputs
    bad = nbformat.read(out / "notebooks" / "bad.ipynb", as_version=4)
    assert bad.cells[0].outputs[0].ename == "ZeroDivisionError"
    said = capsys.readouterr().out
    assert "notebooks: bad failed" in said and "ZeroDivisionError" in said
    assert [figure.name for figure in figures.read_figures(out / figures.FILE)] == ["good"]


@pytest.mark.slow
def test_parts_run_in_miniature(tmp_path, capsys):
    words = ["--only", "parity", "feed", "--minutes", "9", "--miniature", "--out", str(tmp_path)]
    assert gpu.main(words) == 0
    kept = figures.read_figures(tmp_path / figures.FILE)
    assert {figure.part for figure in kept} == {"parity", "feed"}
    forward = [f.value for f in kept if f.name.startswith("forward, paper")]
    assert len(forward) == 2 and max(forward) < 1e-4
    assert json.loads((tmp_path / figures.DEVICE).read_text())["machine"]["cores"] > 0
    assert "parity: all is within rounding" in capsys.readouterr().out


@pytest.mark.slow
def test_speed_runs_in_miniature(keep, tmp_path, capsys):
    pytest.importorskip("torch")
    from benchmarks.gpu import speed

    speed.main(["--miniature", "--repetitions", "1", "--out", str(tmp_path)])
    kept = {figure.name: figure.value for figure in figures.read_figures(tmp_path / figures.FILE)}
    step = f"training step: {speed.OURS}"
    assert {step, speed.PRODUCT, "inference: torch eager, bfloat16"} <= kept.keys()
    over = kept[f"{step} over torch eager, bfloat16"]
    assert over == pytest.approx(kept[step] / kept["training step: torch eager, bfloat16"])


@pytest.mark.slow
def test_training_runs_in_miniature(keep, tmp_path, capsys):
    from alexnet_keras import load_run
    from alexnet_keras.experiments import read_lines
    from benchmarks.claims import recipe
    from benchmarks.gpu import train

    train.main(["--miniature", "--recipes", "paper", "--out", str(tmp_path)])
    (run,) = read_lines(tmp_path / "recipe.jsonl", recipe.Run)
    assert run.whole and load_run(recipe.folder_of(tmp_path, "paper")).config.width == 0.05
    kept = {figure.name: figure.value for figure in figures.read_figures(tmp_path / figures.FILE)}
    assert kept["paper: right, ten views"] == pytest.approx(1 - run.trained.top1_errors[1])
    assert (tmp_path / "trained.png").stat().st_size > 10_000
    assert (tmp_path / "trained_filters.png").stat().st_size > 10_000
    assert recipe.table([run]) in capsys.readouterr().out
