import json
import os
import subprocess
import sys

import keras
import pytest
from tensorflow.python.framework import config

from alexnet_keras import __version__
from alexnet_keras.cli import main

QUICK = ["--image-size", "64", "--width", "0.1", "--epochs", "1", "--batch-size", "8"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    import numpy as np
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("data")
    for label, name in enumerate(("blue", "red")):
        (folder / name).mkdir()
        for i in range(10):
            image = np.random.default_rng(i).integers(0, 60, (80, 75, 3))
            image[:, :, 2 * label] += 180
            encoded = tf.io.encode_jpeg(image.astype("uint8")).numpy()
            (folder / name / f"{i}.jpg").write_bytes(encoded)
    return folder


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "r"
    assert main(["train", "--data", str(folder), *QUICK, "--out", str(out)]) == 0
    return out


@pytest.mark.slow
@pytest.mark.portable
def test_train_prints_errors_and_writes_a_report(folder, tmp_path, capfd):
    (folder / "red" / "bad.jpg").write_bytes(b"x")
    out = tmp_path / "new"
    arguments = ["train", "--data", str(folder), *QUICK, "--skip-bad", "--out", str(out)]
    try:
        assert main(arguments) == 0
    finally:
        (folder / "red" / "bad.jpg").unlink()
    said = capfd.readouterr().out
    assert "4 pictures, central crop: top-1 error" in said
    assert "mean of ten views" in said
    assert "always naming the largest class: top-1 error 50.00%" in said
    assert "could not be decoded: 1 of the files" in said and "bad.jpg" in said
    for name in ("report.json", "curves.png", "confusion.png", "mistakes.png", "best.keras"):
        assert (out / name).is_file()
    saved = json.loads((out / "config.json").read_text())
    backend = keras.backend.backend()
    assert saved["versions"]["backend"] == backend and saved["versions"][backend]
    assert any((out / "tensorboard").rglob("events.*"))


@pytest.mark.slow
def test_deterministic_operations(folder, tmp_path):
    arguments = ["train", "--data", str(folder), *QUICK, "--deterministic"]
    try:
        assert main([*arguments, "--out", str(tmp_path / "run")]) == 0
        assert config.is_op_determinism_enabled()
    finally:
        config.disable_op_determinism()


@pytest.mark.slow
def test_export(run, capsys):
    assert main(["export", str(run), "--format", "saved_model"]) == 0
    assert f"The network is in {run / 'alexnet-saved-model'}" in capsys.readouterr().out
    assert (run / "alexnet-saved-model" / "saved_model.pb").is_file()


def test_run_is_not_overwritten(folder, run, capsys):
    assert main(["train", "--data", str(folder), *QUICK, "--out", str(run)]) == 1
    assert "must be new or empty" in capsys.readouterr().err


@pytest.mark.parametrize("views", ["1", "10"])
def test_evaluate(run, capsys, views):
    assert main(["evaluate", str(run), "--split", "train", "--views", views]) == 0
    assert "16 pictures" in capsys.readouterr().out
    report = json.loads((run / f"evaluation-train-{views}" / "report.json").read_text())
    assert report["views"] == int(views) and report["split"] == "train"
    for mistake in report["mistakes"]:
        assert os.path.isfile(mistake["id"]) and mistake["label"] in ("blue", "red")


@pytest.mark.slow
def test_evaluate_other_data(run, folder, tmp_path, capsys):
    import shutil

    shutil.copytree(folder, tmp_path / "moved")
    assert main(["evaluate", str(run), "--data", str(tmp_path / "moved")]) == 0
    assert "4 pictures" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["evaluate", str(run), "--batch-size", "0"])
    assert "must be at least 1, not 0" in capsys.readouterr().err


def test_predict(run, folder, capsys):
    picture = folder / "red" / "1.jpg"
    assert main(["predict", str(run), str(picture), str(folder / "blue"), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == 11 and rows[0]["path"] == str(picture)
    assert sum(row["probability"] for row in rows[0]["classes"]) == pytest.approx(1)
    assert main(["predict", str(run), str(picture), "--top", "1"]) == 0
    path, best = capsys.readouterr().out.splitlines()
    assert path == str(picture) and best.endswith(rows[0]["classes"][0]["name"])


def test_predict_goes_on_after_a_bad_picture(run, folder, tmp_path, capsys):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"nothing")
    good = folder / "red" / "1.jpg"
    missing = tmp_path / "missing.jpg"
    assert main(["predict", str(run), str(bad), str(missing), str(good)]) == 1
    said = capsys.readouterr()
    assert str(bad) in said.err and "Traceback" not in said.err
    assert f"A picture must exist. Received: {missing}" in said.err
    assert str(good) in said.out


@pytest.mark.slow
def test_train_and_evaluate_what_came_after(folder, tmp_path, capfd):
    out = tmp_path / "run"
    assert (
        main(["train", "--data", str(folder), *QUICK, "--variant", "vgg11", "--out", str(out)]) == 0
    )
    assert main(["evaluate", str(out)]) == 0
    assert main(["summary", "--variant", "vgg11", "--width", "0.05"]) == 0
    assert main(["export", str(out), "--format", "keras"]) == 0
    assert (out / "vgg11-keras.keras").is_file()
    assert capfd.readouterr().out.count("4 pictures, central crop: top-1 error") == 2


@pytest.mark.slow
def test_trained_network_of_the_package(folder, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert main(["predict", "openclipart", str(folder / "red"), "--json"]) == 0
    assert len(json.loads(capfd.readouterr().out)) == 10
    assert main(["export", "openclipart", "--format", "keras"]) == 0
    assert (tmp_path / "runs" / "openclipart" / "alexnet-keras.keras").is_file()


def test_summary(capsys):
    assert main(["summary", "--variant", "single"]) == 0
    said = capsys.readouterr().out
    assert "62,378,344" in said and "1,135,256,096" in said


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            ["summary", "--image-size", "32"],
            "`image_size` (--image-size) must be an integer of",
        ),
        (["train", "--data", "no_such_set"], "Received: 'no_such_set'"),
        (["train", "--data", ""], "The data must be named"),
        (["train", "--epochs", "0"], "`epochs` (--epochs) must be an integer of at least 1"),
        (["train", "--activation", "rely"], "rely"),
        (["evaluate", "no/run"], "A run must hold config.json. Received: no/run"),
    ],
)
def test_errors_are_one_sentence(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    said = capsys.readouterr().err
    assert said.startswith("alexnet-keras: error: ") and message in said
    assert len(said.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["--version"]])
def test_help_needs_no_keras(arguments):
    """By what is imported, not by the clock."""
    command = [sys.executable, "-X", "importtime", "-m", "alexnet_keras", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, done.stderr
    assert ("usage: " in done.stdout) or done.stdout.strip() == __version__
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "alexnet_keras.configuration" in imported
    assert not imported & {"keras", "tensorflow", "matplotlib", "numpy"}


@pytest.mark.slow
def test_layers_are_registered_in_a_module_that_is_run(tmp_path):
    """As `python -m package.job`, whose package imports this one before the job is run."""
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text("import alexnet_keras\n")
    (tmp_path / "pack" / "job.py").write_text(
        "import keras\nprint(keras.saving.get_registered_object('alexnet_keras>GroupedConv2D'))\n"
    )
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    done = subprocess.run(
        [sys.executable, "-m", "pack.job"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": here},
        capture_output=True,
        text=True,
    )
    assert "GroupedConv2D" in done.stdout, done.stderr


def test_usage_error(capsys):
    with pytest.raises(SystemExit) as error:
        main(["train", "--variant", "vgg"])
    assert error.value.code == 2
    assert "invalid choice: 'vgg'" in capsys.readouterr().err
