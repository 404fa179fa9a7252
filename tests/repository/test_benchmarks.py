"""That each benchmark runs, at a tiny size. What it measures is not tested."""

import dataclasses
import importlib
import json

import numpy as np
import pytest

pytestmark = pytest.mark.slow

pytest.importorskip("torch")


SCRIPTS = {
    "training": "Training step, bfloat16",
    "inference": "Batch 2",
    "lrn": "conv1, 55 x 55 x 96",
    "pipeline": "Input pipeline",
    "memory": "Reading 500 x 375 JPEG files",
    "scaling": "Threads",
}


def test_precision_runs_and_goes_on(tmp_path, capsys):
    from benchmarks.claims import precision

    arguments = ["--miniature", "--precisions", "bfloat16", "--out", str(tmp_path)]
    arguments += ["--repetitions", "1"]
    precision.main(arguments)
    first = json.loads((tmp_path / "precision.json").read_text())
    assert "| bfloat16 | 1 | " in capsys.readouterr().out
    first["losses"]["bfloat16"]["0"] = 0.75  # it is not measured again
    assert first["losses"]["float32"].pop("0") > 0 < first["errors"]["bfloat16"].pop("0")
    (tmp_path / "precision.json").write_text(json.dumps(first))
    precision.main(arguments)
    saved = json.loads((tmp_path / "precision.json").read_text())
    assert saved["losses"]["bfloat16"]["0"] == 0.75
    assert list(saved["losses"]) == ["float32", precision.OTHERWISE, "bfloat16"]
    assert list(saved["errors"]) == ["float32", "bfloat16"]
    for kind in ("losses", "errors"):
        assert all(values["0"] > 0 for values in saved[kind].values())
    with pytest.raises(SystemExit):
        precision.main(["--out", str(tmp_path)])
    assert "must have been written with" in capsys.readouterr().err


def test_tables_of_precision():
    from benchmarks.claims import precision

    losses = {"float32": {"0": 2.0, "1": 1.0}, "bfloat16": {"0": 2.02, "1": 1.03}}
    errors = {"float32": {"0": 0.5, "1": 0.4}, "bfloat16": {"0": 0.51, "1": 0.41}}
    settings = {"steps": 3, "last": 1, "learning_rate": 0.1, "epochs": 2}
    loss, error = precision.saved_tables(
        {"settings": settings, "losses": losses, "errors": errors}
    ).values()
    # Of +1 and +3 %: a standard error of 1, times Student's 12.71 for two seeds.
    assert "| bfloat16 | 2 | 1.5250 | +2.00 | -10.71 to +14.71 |" in loss
    assert "| bfloat16 | 2 | 46.00% | +1.00 | +1.00 to +1.00 |" in error


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "runs", "options"),
    [("relu", 8, ["--regimes", "paper"]), ("lrn", 4, [])],
)
def test_small_network_runs(name, runs, options, tmp_path, capsys):
    from alexnet_keras.experiments import read_lines
    from benchmarks import plots

    script = importlib.import_module(f"benchmarks.claims.{name}")
    script.main(["--miniature", "--repetitions", "2", "--out", str(tmp_path), *options])
    (path,) = tmp_path.glob("*.jsonl")
    lines = read_lines(path, script.Run)
    assert len(lines) == runs and script.sentence(lines) in capsys.readouterr().out
    picture = path.with_suffix(".png")
    drawn = picture.read_bytes()
    picture.unlink()
    plots.main(["--folder", str(tmp_path)])
    assert picture.read_bytes() == drawn and len(drawn) > 10_000


def relu_run(activation, rate, seed, errors):
    from benchmarks.claims.relu import Run

    about = ("pictures", 10, 1.0, "paper", activation, rate, seed, 2)
    return Run(*about, errors, 1.0, "CPU", {})


def test_epochs_until_a_quarter():
    assert relu_run("relu", 0.1, 0, [0.9, 0.5, 0.2, 0.1]).epochs == pytest.approx(1 + 0.25 / 0.3)
    assert relu_run("relu", 0.1, 0, [0.9, 0.25]).epochs == 1
    assert relu_run("relu", 0.1, 0, [0.9, 0.8]).epochs == float("inf")


def test_ratio_is_of_the_best_rates_by_seed():
    from benchmarks.claims.relu import best_rate, ratios, sentence

    runs = [
        relu_run("relu", 0.1, 0, [0.9, 0.8, 0.25]),
        relu_run("relu", 0.2, 0, [0.9, 0.25]),
        relu_run("tanh", 0.1, 0, [0.9, 0.8, 0.8, 0.25]),
        relu_run("tanh", 0.2, 0, [0.9, 0.8, 0.8, 0.8]),
        relu_run("relu", 0.2, 1, [0.9, 0.25]),
        relu_run("relu", 0.2, 2, [0.9, 0.8, 0.25]),
        relu_run("tanh", 0.1, 2, [0.9, 0.8, 0.8, 0.25]),
        relu_run("tanh", 0.1, 1, [0.9, 0.8, 0.25]),
    ]
    assert [best_rate(runs, "paper", name) for name in ("relu", "tanh")] == [0.2, 0.1]
    assert ratios(runs, "paper") == pytest.approx([2, 1.5])
    assert "1.75 times as many" in sentence(runs) and "1.50 to 2.00 over 2 seeds" in sentence(runs)


def overfitted(condition, seed, error, rate=0.1, right=""):
    from benchmarks.claims.overfitting import Run

    lists = ([], [], 1, [], [0.0], [], [error], right)
    return Run("pictures", 9, 64, 72, 0.1, condition, rate, seed, 2, 1, *lists, 1.0, "CPU", {})


def test_conditions_are_compared_at_their_own_best_rates():
    from benchmarks.claims.overfitting import best_rate, comparisons, table

    runs = [
        overfitted("base", 100, 0.5),
        overfitted("base", 100, 0.4, rate=0.2),
        *(overfitted("base", seed, 0.3) for seed in range(3)),
        *(overfitted("no LRN", seed, 0.35 + 0.01 * seed) for seed in range(3)),
    ]
    assert best_rate(runs, "base") == 0.2
    base, other = comparisons(runs)
    assert base.errors == {0: 0.3, 1: 0.3, 2: 0.3}  # not the seed that chose the rate
    assert other.differences == pytest.approx({0: 0.05, 1: 0.06, 2: 0.07})
    # A mean of 6 points, a standard error of 1 / sqrt(3), Student's 4.303 for three seeds.
    assert "| no LRN | 3 | 0.1 | 0.0 % | 36.0 % | +6.0 | +3.5 to +8.5 |" in table(runs)


def test_interval_takes_in_which_pictures_there_are():
    import base64

    from benchmarks.claims.overfitting import interval_with_pictures

    def run(condition, seed, answers):
        right = base64.b64encode(np.packbits(answers)).decode()
        return overfitted(condition, seed, 1 - np.mean(answers), right=right)

    rng = np.random.default_rng(0)
    answers = rng.random((2, 3, 400)) < np.array([0.8, 0.6])[:, None, None]
    pairs = list(zip(("base", "no LRN"), answers))
    runs = [run(name, seed, rows[seed]) for name, rows in pairs for seed in range(3)]
    low, high = interval_with_pictures(runs, "no LRN")
    assert runs[0].answers().tolist() == answers[0, 0].tolist()
    assert low < 0.2 < high
    without = interval_with_pictures([dataclasses.replace(run, right="") for run in runs], "no LRN")
    assert high - low > without[1] - without[0]


@pytest.mark.slow
def test_overfitting_runs_and_goes_on(tmp_path, capsys):
    from benchmarks.claims import overfitting

    options = ["--miniature", "--conditions", "base", "no LRN", "--out", str(tmp_path)]
    overfitting.main(options)
    assert capsys.readouterr().out.count("validation") == 8 + 1  # 2 rates, 2 seeds each; the table
    before = (tmp_path / "overfitting.jsonl").read_text()
    assert len(before.splitlines()) == 8
    overfitting.main(options)
    assert (tmp_path / "overfitting.jsonl").read_text() == before


def test_pictures_in_memory_are_cropped_and_mirrored():
    from benchmarks.claims.in_memory import Lookup

    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), "uint8")
    lookup = Lookup(images, 6)
    centre = np.asarray(lookup(np.array([3, 0], "int32"), training=False))
    np.testing.assert_array_equal(centre, images[[3, 0], 1:7, 1:7])
    seen = np.asarray(lookup(np.full(200, 2, "int32"), training=True))
    crops = {images[2, y : y + 6, x : x + 6].tobytes() for y in range(3) for x in range(3)}
    mirrored = {
        images[2, y : y + 6, x : x + 6][:, ::-1].tobytes() for y in range(3) for x in range(3)
    }
    assert {picture.tobytes() for picture in seen} == crops | mirrored


def test_four_layers():
    from benchmarks.claims.four_layers import four_layers

    plain, normalized = (four_layers(10, 1.0, alpha=alpha) for alpha in (None, 1.0))
    assert [a.output.shape[1:] for a in plain.layers if "pool" in a.name] == [
        (16, 16, 32),
        (8, 8, 32),
        (4, 4, 64),
    ]
    # 5 x 5 kernels and biases: 3 to 32, 32 to 32, 32 to 64 maps; 4 x 4 x 64 to 10 classes.
    assert plain.count_params() == 2432 + 25632 + 51264 + 10250 == normalized.count_params()
    assert len(normalized.layers) == len(plain.layers) + 2


def test_difference_of_normalization():
    from benchmarks.claims.lrn import Run, comparison, sentence

    def run(seed, normalized, error):
        return Run("pictures", 10, 1.0, normalized, 0.1, seed, 2, 1, 0.1, error, 1.0, {})

    runs = [run(seed, False, 0.5 + 0.01 * seed) for seed in range(3)]
    runs += [run(seed, True, 0.45) for seed in range(3)]
    assert comparison(runs).differences == pytest.approx({0: 0.05, 1: 0.06, 2: 0.07})
    assert "+6.0 points" in sentence(runs) and sentence(runs).endswith("agrees.")


def test_committed_lines_have_their_schema():
    from alexnet_keras.experiments import Result, read_lines
    from benchmarks.claims import comparison, lrn, overfitting, relu, trained, transfer
    from benchmarks.common import RESULTS
    from benchmarks.gpu.figures import FILE, Figure

    schemas = {
        "ablations.jsonl": Result,
        "comparison.jsonl": comparison.Run,
        "overfitting.jsonl": overfitting.Run,
        "relu.jsonl": relu.Run,
        "lrn_claim.jsonl": lrn.Run,
        "trained.jsonl": trained.Run,
        "transfer.jsonl": transfer.Run,
        FILE: Figure,
    }
    for path in RESULTS.glob("*.jsonl"):
        assert read_lines(path, schemas[path.name])
        assert path.name == FILE or path.with_suffix(".png").exists()


def test_plots_are_drawn_again(tmp_path, capsys):
    import shutil

    from benchmarks import plots
    from benchmarks.common import RESULTS

    sources = [RESULTS / name for name in plots.DRAWN_BY if (RESULTS / name).exists()]
    for source in sources:
        shutil.copy(source, tmp_path)
    plots.main(["--folder", str(tmp_path)])
    drawn = {path.name for path in tmp_path.glob("*.png")}
    assert drawn == {source.with_suffix(".png").name for source in sources}
    # Every committed plot is drawn by it.
    assert {path.name for path in RESULTS.glob("*.png")} <= drawn


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_runs(name, tmp_path, capsys):
    script = importlib.import_module(f"benchmarks.speed.{name}")
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
    from alexnet_keras.experiments import read_lines
    from benchmarks.claims import comparison, lrn, overfitting, relu, trained, transfer
    from benchmarks.common import RESULTS
    from benchmarks.speed.harness import saved_tables
    from benchmarks.summary import summary

    def lines(name, script):
        return read_lines(RESULTS / f"{name}.jsonl", script.Run)

    assert (RESULTS / "README.md").read_text(encoding="utf-8") == summary(RESULTS)
    readme = (RESULTS.parents[1] / "README.md").read_text(encoding="utf-8")
    rates = comparison.rates(RESULTS / "comparison.json")
    parts = [
        saved_tables(RESULTS / "training.json")["Training step, float32"],
        *saved_tables(RESULTS / "inference.json").values(),
        transfer.table(lines("transfer", transfer)),
        trained.table(lines("trained", trained)),
        relu.sentence(lines("relu", relu)),
        overfitting.table(lines("overfitting", overfitting)),
        lrn.sentence(lines("lrn_claim", lrn)),
        *comparison.tables(lines("comparison", comparison), rates).values(),
    ]
    for part in parts:
        assert part in readme


def test_transfer_runs_and_goes_on(tmp_path, capsys):
    from alexnet_keras.experiments import read_lines
    from benchmarks.claims import transfer

    arguments = ["--miniature", "--out", str(tmp_path)]
    transfer.main(arguments)
    runs = read_lines(tmp_path / "transfer.jsonl", transfer.Run)
    assert [run.way for run in runs] == list(transfer.WAYS)
    assert all(len(run.errors) == 1 and 0 < run.errors[0] < 1 for run in runs)
    said = capsys.readouterr().out
    transfer.main([*arguments, "--plot-only"])
    again = capsys.readouterr().out
    assert again and said.endswith(again)
    assert all(f"| {way} | 1 | " in again for way in transfer.WAYS)
    assert (tmp_path / "transfer.png").stat().st_size > 10_000


def test_comparison_runs_and_goes_on(tmp_path, capsys, monkeypatch):
    from benchmarks.claims import comparison

    for name in ("train/a", "train/b", "val/a", "val/b"):
        noise(tmp_path / name, 8)
    arguments = ["--miniature", "--data", str(tmp_path), "--out", str(tmp_path / "out")]
    # Of 16 pictures, three times as many as fit into 0.05 seconds, and too few.
    fixed = {"paper": (3 * 16 / 0.05, 1), "resnet18": (16 / 0.05 / 3, 1)}
    measured = comparison.rates
    monkeypatch.setattr(comparison, "rates", lambda path: fixed)
    comparison.main(arguments)
    said = capsys.readouterr().out
    runs = read_comparison(tmp_path / "out")
    assert [(run.variant, run.limit) for run in runs] == [
        *(("paper", None), ("paper", 0.05), ("resnet18", None), ("resnet18", 0.05))
    ]
    assert [run.epochs for run in runs] == [1, 3, 1, 1]
    assert runs[3] == dataclasses.replace(runs[2], limit=0.05)  # not trained again
    assert all(run.training_pictures == 16 and 0 <= run.top1_error <= 1 for run in runs)
    speeds = measured(tmp_path / "out" / "comparison.json")
    assert speeds["paper"][0] > 0 < speeds["resnet18"][0]
    comparison.main(arguments)
    again = capsys.readouterr().out
    assert (
        "images/s" in again and said.endswith(again) and read_comparison(tmp_path / "out") == runs
    )
    assert "| AlexNet | " in again and "| ResNet-18 | " in again
    assert (tmp_path / "out" / "comparison.png").stat().st_size > 10_000
    with pytest.raises(SystemExit):
        comparison.main([*arguments, "--batch-size", "16"])
    assert "other runs are in" in capsys.readouterr().err


def noise(folder, pictures):
    from PIL import Image

    folder.mkdir(parents=True)
    for i in range(pictures):
        pixels = np.random.default_rng(i).integers(0, 256, (80, 80, 3)).astype("uint8")
        Image.fromarray(pixels).save(folder / f"{i}.png")


def read_comparison(folder):
    from alexnet_keras.experiments import read_lines
    from benchmarks.claims import comparison

    return read_lines(folder / "comparison.jsonl", comparison.Run)


def test_runs_are_kept(tmp_path, capsys):
    from alexnet_keras import load_run
    from alexnet_keras.cli import main
    from alexnet_keras.experiments import read_lines
    from benchmarks import plots
    from benchmarks.claims import trained

    for name in ("train/a", "train/b", "val/a", "val/b"):
        noise(tmp_path / "data" / name, 4)
    out, run = tmp_path / "out", tmp_path / "run"
    size = ["--image-size", "64", "--width", "0.05", "--epochs", "2", "--batch-size", "8"]
    assert main(["train", "--data", str(tmp_path / "data"), *size, "--out", str(run)]) == 0
    trained.main([str(run), "--out", str(out)])
    (kept,) = read_lines(out / "trained.jsonl", trained.Run)
    assert trained.table([kept]) in capsys.readouterr().out
    log = load_run(run).log()
    assert kept.top1_errors[0] == pytest.approx(1 - log["val_top1"].max())
    assert kept.last_error == pytest.approx(1 - log["val_top1"][-1])
    assert kept.log["val_loss"] == pytest.approx(log["val_loss"].tolist(), abs=1e-6)
    kernel = load_run(run).model.get_layer("conv1").kernel
    with np.load(out / "trained_filters.npz") as columns:
        joined = np.concatenate([columns["column_a"], columns["column_b"]])
    np.testing.assert_allclose(joined, np.moveaxis(np.asarray(kernel), -1, 0), atol=1e-3)
    drawn = {path.name: path.read_bytes() for path in out.glob("*.png")}
    plots.main(["--folder", str(out)])
    assert drawn == {path.name: path.read_bytes() for path in out.glob("*.png")}
    assert set(drawn) == {"trained.png", "trained_filters.png"}


def test_epochs_to_reach_an_error():
    from benchmarks.claims.transfer import epochs_to_reach

    errors = np.array([[0.9, 0.5, 0.6, 0.4], [0.9, 0.8, 0.7, 0.6]])
    assert epochs_to_reach(errors, 0.5) == [2, None]
    assert epochs_to_reach(errors, 0.9) == [1, 1]
