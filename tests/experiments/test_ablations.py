import dataclasses
from pathlib import Path

import pytest

from alexnet_keras import ablate, layer_costs
from alexnet_keras.cli import main
from alexnet_keras.common import DataError, Interrupted
from alexnet_keras.experiments import (
    ablations,
    append_line,
    markdown_table,
    read_results,
)
from alexnet_keras.pictures import open_dataset
from alexnet_keras.training import build_model
from tests.experiments.conftest import BASE, result

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


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
    assert "`epochs` (--epochs) must be that of the results" in said and len(said.splitlines()) == 1
    assert main([*command, "--conditions", "dropout"]) == 1
    assert "`conditions` (--conditions) must be among" in capsys.readouterr().err
