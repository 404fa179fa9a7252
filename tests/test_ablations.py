import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from alexnet_keras import TrainingConfig, ablate, layer_costs
from alexnet_keras.cli import main
from alexnet_keras.common import DataError, Interrupted, RunError
from alexnet_keras.experiments import (
    CONDITIONS,
    Result,
    ablations,
    append_line,
    compare,
    condition_config,
    equal_cost_width,
    markdown_table,
    plot_comparisons,
    read_lines,
    read_results,
)
from alexnet_keras.pictures import open_dataset
from alexnet_keras.training import build_model

ROOT = Path(__file__).parents[1]
BASE = TrainingConfig(image_size=64, width=0.05, epochs=2, batch_size=8, schedule="cosine")
CHANGED = {
    "base": set(),
    "tanh": {"activation"},
    "sigmoid": {"activation"},
    "no-lrn": {"normalization"},
    "batch-norm": {"normalization"},
    "plain-pooling": {"overlapping"},
    "no-dropout": {"dropout"},
    "no-mirror": {"mirror"},
    "no-crop": {"crop"},
    "no-color-noise": {"color_noise"},
    "one-column": {"columns", "width"},
    "half": {"columns", "width"},
}


def multiply_adds(config):
    return sum(layer.multiply_adds for layer in layer_costs(build_model(config, 10)))


def result(condition, seed, error, **others):
    fields = {
        "config": {},
        "fingerprint": "",
        "parameters": 1,
        "multiply_adds": 1,
        "top1_error": error + 0.05,
        "top5_error": 0.1,
        "top1_error_ten_views": error,
        "top5_error_ten_views": 0.1,
        "training_loss": 1.0,
        "training_error": 0.25,
        "training_seconds": 1.0,
        "versions": {},
        **others,
    }
    return Result(condition, seed, **fields)


def results(condition, base, errors):
    return [result("base", s, e) for s, e in enumerate(base)] + [
        result(condition, s, e) for s, e in enumerate(errors)
    ]


@pytest.mark.parametrize("name", CONDITIONS)
def test_condition_changes_one_thing(name):
    base = dataclasses.asdict(BASE)
    config = dataclasses.asdict(condition_config(name, BASE, 10))
    assert {field for field in base if config[field] != base[field]} == CHANGED[name]


def test_every_condition_is_another_network_or_pipeline():
    configs = [condition_config(name, BASE, 10) for name in CONDITIONS]
    assert len(set(configs)) == len(CONDITIONS) == len(CHANGED)
    assert condition_config("half", BASE, 10).width == BASE.width / 2


@pytest.mark.parametrize(("size", "width"), [(64, 0.125), (96, 0.2)])
def test_one_column_of_equal_cost(size, width):
    base = TrainingConfig(image_size=size, width=width)
    single = dataclasses.replace(base, columns=1, width=equal_cost_width(base, 10))
    assert multiply_adds(single) == pytest.approx(multiply_adds(base), rel=0.02)
    assert width / 2 < single.width < width  # one column of the same width costs more
    for step in (-1, 1):  # the neighbours are no nearer
        near = dataclasses.replace(single, width=single.width + step / 4096)
        distance = abs(multiply_adds(near) - multiply_adds(base))
        assert distance >= abs(multiply_adds(single) - multiply_adds(base))


def test_comparison_is_scipys_paired_test():
    rng = np.random.default_rng(0)
    base, other = rng.uniform(0.3, 0.5, (2, 5))
    row = compare(results("tanh", base, other))[1]
    expected = stats.ttest_rel(other, base)
    interval = expected.confidence_interval(0.95)
    assert row.interval == pytest.approx((interval.low, interval.high))
    assert row.mean == pytest.approx(other.mean())
    assert row.deviation == pytest.approx(other.std(ddof=1))
    assert row.difference == pytest.approx((other - base).mean())
    assert row.difference / row.standard_error == pytest.approx(expected.statistic)


def test_seeds_are_paired():
    runs = [result("base", s, 0.1 * s) for s in range(3)]
    runs += [result("half", s, 0.1 * s + 0.02) for s in (2, 1, 7)]  # another order, another seed
    row = compare(runs)[1]
    assert row.differences == pytest.approx({1: 0.02, 2: 0.02}) and len(row.errors) == 3
    assert row.interval == pytest.approx((0.02, 0.02), abs=1e-9)


NOISE = "within the noise"


@pytest.mark.parametrize(
    ("condition", "errors", "verdict"),
    [
        ("tanh", [0.5, 0.51, 0.52], "agrees"),
        ("tanh", [0.2, 0.21, 0.22], "differs"),
        ("batch-norm", [0.5, 0.51, 0.52], "higher"),
        ("batch-norm", [0.2, 0.21, 0.22], "lower"),
        ("tanh", [0.41, 0.41, 0.42], NOISE),  # the mean is higher, by less than the noise
        ("tanh", [0.40, 0.40, 0.42], NOISE),
        ("batch-norm", [0.40, 0.44, 0.42], NOISE),
        ("tanh", [0.6], "noise unknown: fewer than two pairs"),
    ],
)
def test_verdict(condition, errors, verdict):
    runs = results(condition, [0.4, 0.41, 0.42], errors)
    assert compare(runs)[1].verdict == verdict
    row = markdown_table(runs).splitlines()[3]
    assert row.startswith(f"| {CONDITIONS[condition].label} |") and row.endswith(f"{verdict} |")


def test_noise_is_the_t_interval():
    # 3 seeds, differences 1 +- d points: the interval reaches 4.303 d / sqrt(3) to both sides.
    limit = math.sqrt(3) / stats.t.ppf(0.975, 2)
    for factor, verdict in ((0.99, "agrees"), (1.01, NOISE)):
        d = factor * limit
        errors = [0.41 - d / 100, 0.41, 0.41 + d / 100]
        assert compare(results("tanh", [0.4] * 3, errors))[1].verdict == verdict


def test_table():
    base, other = [0.40, 0.41, 0.42], [0.50, 0.51, 0.55]
    row = markdown_table(results("no-lrn", base, other)).splitlines()[3].split(" | ")
    mean, reach = 11.0, stats.t.ppf(0.975, 2) * np.std([10, 10, 13], ddof=1) / math.sqrt(3)
    assert row[1:4] == ["3", "25.0", "57.0 ± 2.6"]
    assert row[4:6] == ["52.0 ± 2.6", "+11.0"]
    assert row[6] == f"{mean - reach:+.1f} to {mean + reach:+.1f}"
    assert "1.4 / 1.2" in row[7] and row[8] == "higher"


def test_plot_shows_intervals_and_the_papers_figures():
    rows = compare(results("no-lrn", [0.40, 0.41, 0.42], [0.50, 0.51, 0.55]))
    axes = plot_comparisons(rows).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == [CONDITIONS["no-lrn"].label]
    bar, _ = axes.containers
    (ends,) = bar.lines[2][0].get_segments()
    assert ends[:, 0] / 100 == pytest.approx(rows[1].interval)
    diamond = [line for line in axes.lines if line.get_marker() == "D"]
    assert [list(line.get_xdata()) for line in diamond] == [[1.4]]


def test_compare_needs_the_base():
    with pytest.raises(ValueError, match="must have runs of the base"):
        compare([result("tanh", 0, 0.5)])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": "0"}, "line 2 of .*seed must be of type int, not '0'"),
        ({"top1_error": True}, "top1_error must be of type float"),
        ({"top1_error": math.nan}, "must be finite"),
        ({"more": 1}, "unexpected keyword argument 'more'"),
    ],
)
def test_lines_of_another_schema_are_refused(tmp_path, change, said):
    lines = [dataclasses.asdict(result("base", 0, 0.5)) for _ in range(2)]
    lines[1].update(change)
    (tmp_path / "results.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    with pytest.raises(RunError, match=said):
        read_results(tmp_path)


@dataclasses.dataclass(frozen=True)
class Line:
    name: str | None
    errors: list[float]
    right: bool = True


def test_types_of_lines(tmp_path):
    path = tmp_path / "lines.jsonl"
    good = [Line(None, [0.5, 1]), Line("a", [])]
    for line in good:
        append_line(path, line)
    assert read_lines(path, Line) == good
    for bad in (Line(1, []), Line("a", ["b"]), Line("a", [True]), Line("a", {}), Line("a", [], 1)):
        path.unlink()
        append_line(path, bad)
        with pytest.raises(RunError, match="must have the fields of Line. Received: line 1 of"):
            read_lines(path, Line)


def test_lines_come_back(tmp_path):
    runs = [result("base", s, 0.5, config={"width": 0.05}) for s in range(2)]
    for run in runs:
        append_line(tmp_path / "results.jsonl", run)
    assert read_results(tmp_path) == read_results(tmp_path / "results.jsonl") == runs
    append_line(tmp_path / "results.jsonl", dataclasses.replace(runs[0], condition="other"))
    with pytest.raises(RunError, match="known conditions. Received: .'other'."):
        read_results(tmp_path)


@pytest.mark.parametrize(
    ("base", "name", "said"),
    [
        ({}, "nothing", "`conditions` must be among .*no-lrn.*Received: 'nothing'"),
        ({"variant": "single"}, "tanh", "variant 'paper', with two columns. Received.*'single'"),
        ({"columns": 1}, "base", "two columns. Received: .*columns=1"),
        ({"dropout": 0.0}, "no-dropout", "must have what 'no-dropout' switches off"),
    ],
)
def test_condition_errors(base, name, said):
    with pytest.raises(ValueError, match=said):
        condition_config(name, dataclasses.replace(BASE, **base), 10)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"seeds": ()}, "`seeds` must be given"),
        ({"seeds": (1, 1)}, "each once. Received: .1, 1."),
        ({"conditions": ["base", "base"]}, "`conditions` must be given, each once"),
    ],
)
def test_argument_errors(tmp_path, arguments, said):
    with pytest.raises(ValueError, match=said):
        ablate(BASE, tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


@pytest.fixture
def tiny(make_folder):
    data = str(make_folder(counts={"blue": 10, "red": 10}))
    return dataclasses.replace(BASE, data=data)


def test_interrupted_and_continued(tiny, tmp_path, monkeypatch):
    """Cut off after the first epoch of the second run; the end is that of a straight run."""
    tiny = dataclasses.replace(tiny, schedule="constant")
    conditions, out = ("base", "no-dropout"), tmp_path / "out"
    (straight,) = ablate(tiny, tmp_path / "straight", seeds=(3,), conditions=["no-dropout"])

    trained, resumed = [], []
    train, resume = ablations.train, ablations.resume

    def cut(config, folder, **how):
        trained.append(folder.name)
        if len(trained) == 2:
            from alexnet_keras.training import checkpoint

            def leave(self, epoch, logs=None, original=checkpoint.Checkpoints.on_epoch_end):
                original(self, epoch, logs)
                raise Interrupted(15, folder)

            with monkeypatch.context() as patch:
                patch.setattr(checkpoint.Checkpoints, "on_epoch_end", leave)
                return train(config, folder, **how)
        return train(config, folder, **how)

    def count(folder, **how):
        resumed.append(folder.name)
        return resume(folder, **how)

    monkeypatch.setattr(ablations, "train", cut)
    monkeypatch.setattr(ablations, "resume", count)
    with pytest.raises(Interrupted):
        ablate(tiny, out, seeds=(3,), conditions=conditions)
    assert [r.condition for r in read_results(out)] == ["base"]
    assert [folder.name for folder in (out / "runs").iterdir()] == ["no-dropout-3"]

    with pytest.raises(ValueError, match="`epochs` must be that of the results.*Received: 3 with"):
        ablate(dataclasses.replace(tiny, epochs=3), out, seeds=(3,), conditions=["no-dropout"])

    continued = ablate(tiny, out, seeds=(3,), conditions=conditions)
    assert trained == ["base-3", "no-dropout-3"] and resumed == ["no-dropout-3"]
    assert not any((out / "runs").iterdir())
    assert ablate(tiny, out, seeds=(3,), conditions=conditions) == continued == read_results(out)
    assert len(trained) == 2 and len(resumed) == 1
    seconds = continued[1].training_seconds
    assert continued[1] == dataclasses.replace(straight, training_seconds=seconds)


def test_figures_are_those_of_the_last_epoch(tiny, tmp_path, monkeypatch):
    from alexnet_keras import evaluate, load_run

    kept = {}
    rmtree = ablations.shutil.rmtree

    def look(folder, **how):  # Keras deletes folders, too
        if (Path(folder) / "log.csv").exists():
            run = load_run(folder, "last")
            for views in (1, 10):
                kept[views] = evaluate(run.model, run.open_dataset(), run.statistics, views=views)
            kept["log"], kept["parameters"] = run.log(), run.model.count_params()
        rmtree(folder, **how)

    monkeypatch.setattr(ablations.shutil, "rmtree", look)
    folder = tmp_path / "out" / "runs" / "half-0"
    folder.mkdir(parents=True)
    (folder / "statistics.npz").write_bytes(b"")  # cut off before it began
    (found,) = ablate(tiny, tmp_path / "out", seeds=(0,), conditions=["half"], verbose=False)
    assert found.top1_error == kept[1].top1_error
    assert found.top5_error == kept[1].top5_error
    assert found.top1_error_ten_views == kept[10].top1_error
    assert found.top5_error_ten_views == kept[10].top5_error
    assert found.training_loss == kept["log"]["loss"][1]
    assert found.training_error == 1 - kept["log"]["top1"][1]
    assert found.parameters == kept["parameters"] and found.training_seconds > 0
    half = dataclasses.replace(tiny, columns=1, width=tiny.width / 2)
    expected = {k: v for k, v in dataclasses.asdict(half).items() if k != "data_dir"}
    assert found.config == expected and found.seed == 0
    assert found.multiply_adds == sum(a.multiply_adds for a in layer_costs(build_model(half, 2)))


def test_other_settings_or_data_are_refused(tiny, tmp_path, make_folder):
    out = tmp_path / "out"
    out.mkdir()
    fingerprint = open_dataset(tiny.data).fingerprint
    line = result("base", 0, 0.5, config=dataclasses.asdict(tiny), fingerprint=fingerprint)
    append_line(out / "results.jsonl", line)
    assert ablate(tiny, out, seeds=(0,), conditions=("base",)) == [line]
    before = (out / "results.jsonl").read_text()
    other = dataclasses.replace(tiny, learning_rate=0.02)
    with pytest.raises(ValueError, match="`learning_rate` must be.*0.01; .*Received: 0.02 with"):
        ablate(other, out, seeds=(1,), conditions=("tanh",))
    other = dataclasses.replace(tiny, data=str(make_folder("more", {"blue": 9, "red": 9})))
    with pytest.raises(DataError, match="must be that of the results"):
        ablate(other, out, seeds=(1,), conditions=["tanh"])
    assert (out / "results.jsonl").read_text() == before
    assert [path.name for path in out.iterdir()] == ["results.jsonl"]


def test_command(tiny, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["ablate", "--data", tiny.data, "--width", "0.05", "--image-size", "64"]
    command += ["--epochs", "1", "--batch-size", "8", "--out", str(out)]
    assert main([*command, "--seeds", "4", "--conditions", "base", "plain-pooling"]) == 0
    table = markdown_table(read_results(out))
    assert table in capsys.readouterr().out
    assert (out / "table.md").read_text(encoding="utf-8") == table + "\n"
    assert (out / "ablations.png").stat().st_size > 5_000
    assert [(r.seed, r.config["schedule"]) for r in read_results(out)] == [(4, "cosine")] * 2
    assert main([*command, "--epochs", "2", "--conditions", "base"]) == 1
    said = capsys.readouterr().err
    assert "`epochs` must be that of the results" in said and len(said.splitlines()) == 1
    assert main([*command, "--conditions", "dropout"]) == 1
    assert "`conditions` must be among" in capsys.readouterr().err


def test_table_in_the_readme_is_that_of_the_results():
    root = Path(__file__).parents[1]
    committed = read_results(root / "benchmarks" / "results" / "ablations.jsonl")
    assert markdown_table(committed) in (root / "README.md").read_text(encoding="utf-8")
