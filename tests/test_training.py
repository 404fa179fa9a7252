import csv
import dataclasses
import json
import math
import re
import shutil
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats
from sklearn import metrics

from alexnet_keras.common import DataError, DivergedError, RunError
from alexnet_keras.configuration import TrainingConfig
from alexnet_keras.devices import choose_strategy
from alexnet_keras.evaluation import Mistake, evaluate, predict, predict_views, write_report
from alexnet_keras.optimizers import MomentumSGD
from alexnet_keras.pictures import color_statistics, open_dataset
from alexnet_keras.training import (
    StuckLoss,
    build_model,
    jit_compile,
    load_run,
    train,
)

SMALL = {"image_size": 64, "width": 0.1, "epochs": 2, "batch_size": 8, "dropout": 0.1}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two classes that differ in colour, learned in two epochs."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for label, name in enumerate(("blue", "green", "red")):
        (folder / name).mkdir()
        for i in range(20):
            image = rng.integers(0, 60, (80, 75, 3))
            image[:, :, 2 - label] += 180
            encoded = tf.io.encode_jpeg(image.astype("uint8")).numpy()
            (folder / name / f"{i}.jpg").write_bytes(encoded)
    config = TrainingConfig(data=str(folder), **SMALL, schedule="constant")
    return train(config, tmp_path_factory.mktemp("runs") / "run", verbose=0)


def momentum_by_hand(w, gradients, rate, momentum, decay):
    """The paper's section 5, in numpy."""
    v = np.zeros_like(w)
    for gradient in gradients:
        v = momentum * v - decay * rate * w - rate * gradient
        w = w + v
    return w


def test_optimizer_is_the_papers():
    rng = np.random.default_rng(0)
    kernel, bias = rng.normal(size=(4, 3)), rng.normal(size=3)
    gradients = [(rng.normal(size=(4, 3)), rng.normal(size=3)) for _ in range(5)]
    variables = [keras.Variable(kernel, dtype="float64"), keras.Variable(bias, dtype="float64")]
    optimizer = MomentumSGD(0.1, 0.9, 0.05)
    for pair in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(g) for g in pair], variables)
    by_hand = [
        momentum_by_hand(kernel, [g for g, _ in gradients], 0.1, 0.9, 0.05),
        momentum_by_hand(bias, [g for _, g in gradients], 0.1, 0.9, 0.0),  # no decay on biases
    ]
    for ours, expected in zip(variables, by_hand):
        np.testing.assert_allclose(ours, expected, rtol=1e-6)


def test_optimizer_equals_l2_and_not_keras_weight_decay():
    """An L2 regularizer of half the decay is the same update; SGD's own decay is another."""
    x, y = np.random.default_rng(0).normal(size=(2, 16, 4)).astype("float32")

    def trained(optimizer, regularizer=None):
        keras.utils.set_random_seed(0)
        layers = [keras.layers.Dense(3, kernel_regularizer=regularizer), keras.layers.Dense(4)]
        layers[1].kernel_regularizer = regularizer
        model = keras.Sequential(layers)
        model.compile(optimizer, "mse")
        model.fit(x, y, epochs=5, batch_size=8, shuffle=False, verbose=0)
        return model.get_weights()

    ours = trained(MomentumSGD(0.05, 0.9, 0.1))
    by_l2 = trained(keras.optimizers.SGD(0.05, 0.9), keras.regularizers.L2(0.05))
    decoupled = trained(keras.optimizers.SGD(0.05, 0.9, weight_decay=0.1))
    for a, b in zip(ours, by_l2):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    assert not np.allclose(ours[0], decoupled[0], rtol=1e-3)


def test_optimizer_serializes():
    optimizer = MomentumSGD(0.02, 0.8, 0.001)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    assert isinstance(again, MomentumSGD)
    assert again.get_config() == optimizer.get_config()
    with pytest.raises(
        ValueError, match="`coupled_weight_decay` .* Received: coupled_weight_decay=-1"
    ):
        MomentumSGD(coupled_weight_decay=-1)


def test_run_learns_and_is_kept(run):
    names = {path.name for path in run.folder.iterdir()}
    assert names == {
        "best.keras",
        "checkpoint.npz",
        "config.json",
        "last.keras",
        "log.csv",
        "statistics.npz",
        "tensorboard",
        "time.json",
    }
    log = run.log()
    assert len(log["loss"]) == 2
    assert set(log) >= {"loss", "top1", "top5", "val_loss", "val_top1", "val_top5", "learning_rate"}
    saved = json.loads((run.folder / "config.json").read_text())
    assert TrainingConfig(**saved["config"]) == run.config
    assert saved["class_names"] == ["blue", "green", "red"]
    assert saved["versions"]["keras"] == keras.__version__
    result = evaluate(run.model, run.open_dataset(), run.statistics)
    assert 1 - result.top1_error == pytest.approx(log["val_top1"].max())
    assert result.top1_error < 0.2  # colours are easy


def test_best_is_the_best_epoch_and_last_the_last(run):
    for which, epoch in (("best", run.log()["val_top1"].argmax()), ("last", -1)):
        again = load_run(run.folder, which)
        result = evaluate(again.model, again.open_dataset(), again.statistics)
        assert 1 - result.top1_error == pytest.approx(run.log()["val_top1"][epoch])


def test_same_seed_same_log_and_another_not(run, tmp_path):
    other = train(dataclasses.replace(run.config, seed=1), tmp_path / "other", verbose=0)
    assert (other.log()["loss"] != run.log()["loss"]).all()
    again = train(run.config, tmp_path / "again", verbose=0)
    for name, column in run.log().items():
        np.testing.assert_array_equal(again.log()[name], column)
    assert json.dumps(again.statistics.mean.tolist()) == json.dumps(run.statistics.mean.tolist())


def test_folder_that_holds_something_is_left_alone(run):
    before = sorted((p.name, p.stat().st_mtime_ns) for p in run.folder.iterdir())
    with pytest.raises(FileExistsError, match=f"new or empty. Received: {run.folder}"):
        train(run.config, run.folder, verbose=0)
    assert sorted((p.name, p.stat().st_mtime_ns) for p in run.folder.iterdir()) == before


def test_evaluation_equals_sklearn(run):
    data = run.open_dataset()
    keras.utils.set_random_seed(7)
    fresh = build_model(run.config, 3)  # untrained: it makes mistakes
    result = evaluate(fresh, data, run.statistics, batch_size=5, mistakes=4)
    paths = [e["id"].decode() for e in data.encoded("validation").as_numpy_iterator()]
    labels = [e["label"] for e in data.encoded("validation").as_numpy_iterator()]
    probabilities = np.stack([p for _, p in predict(fresh, paths, run.statistics)])
    predicted = probabilities.argmax(axis=1)
    np.testing.assert_array_equal(result.confusion, metrics.confusion_matrix(labels, predicted))
    assert result.top1_error == pytest.approx(1 - metrics.accuracy_score(labels, predicted))
    assert result.pictures == 12 and result.largest_class_share == pytest.approx(1 / 3)
    wrong = [i for i in range(12) if predicted[i] != labels[i]]
    worst = sorted(wrong, key=lambda i: -probabilities[i].max())[:4]
    assert [m.index for m in result.mistakes] == worst
    i = worst[0]
    probability = pytest.approx(probabilities[i].max())
    assert result.mistakes[0] == Mistake(i, labels[i], predicted[i], probability)


def test_top5_equals_sklearn(make_folder):
    data = open_dataset(make_folder(counts={name: 10 for name in "abcdefgh"}))
    config = TrainingConfig(**SMALL)
    statistics = color_statistics(data, 64)
    fresh = build_model(config, 8)
    labels = [e["label"] for e in data.encoded("validation").as_numpy_iterator()]
    paths = [e["id"].decode() for e in data.encoded("validation").as_numpy_iterator()]
    probabilities = np.stack([p for _, p in predict(fresh, paths, statistics)])
    accuracy = metrics.top_k_accuracy_score(labels, probabilities, k=5, labels=range(8))
    assert 0 < accuracy < 1
    assert evaluate(fresh, data, statistics).top5_error == pytest.approx(1 - accuracy)


def test_ten_views_are_the_mean_of_ten_passes(run):
    data = run.open_dataset()
    path = next(data.encoded("validation").as_numpy_iterator())["id"].decode()
    (_, ten), (_, one) = (
        next(predict(run.model, [path], run.statistics, views=views)) for views in (10, 1)
    )
    picture = next(data.decoded("validation").as_numpy_iterator())["image"].astype("float32")
    from alexnet_keras.pictures import central_square, square_side, ten_views

    square = central_square(picture, square_side(64))
    passes = [run.model(v[None] - run.statistics.mean)[0] for v in ten_views(square, 64).numpy()]
    np.testing.assert_allclose(ten, np.mean(passes, axis=0), rtol=1e-4)
    np.testing.assert_allclose(one, passes[4], rtol=1e-4)
    images = np.random.default_rng(0).normal(0, 50, (3, 10, 64, 64, 3)).astype("float32")
    expected = [np.mean(run.model(image), axis=0) for image in images]
    np.testing.assert_allclose(predict_views(run.model, images, 7), expected, rtol=1e-4)


def test_report(run, tmp_path):
    data = run.open_dataset()
    result = evaluate(build_model(run.config, 3), data, run.statistics)
    write_report(tmp_path / "report", result, data, "validation", run.log())
    names = {path.name for path in (tmp_path / "report").iterdir()}
    assert {"report.json", "confusion.png", "mistakes.png", "curves.png"} <= names
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["top1_error"] == result.top1_error
    assert np.sum(report["confusion"]) == 12


def test_model_of_other_classes(run):
    with pytest.raises(ValueError, match="as many classes as the data, 10. Received: one with 3"):
        evaluate(run.model, open_dataset(), run.statistics)


def test_picture_that_cannot_be_decoded(run, tmp_path):
    (tmp_path / "x.jpg").write_bytes(b"nothing")
    (_, error), (_, missing) = predict(
        run.model, [tmp_path / "x.jpg", tmp_path / "y.jpg"], run.statistics
    )
    assert isinstance(error, DataError) and "x.jpg" in str(error)
    assert isinstance(missing, DataError) and "y.jpg" in str(missing)


def test_folder_without_a_run(tmp_path):
    with pytest.raises(RunError, match="A run must hold config.json. Received: "):
        load_run(tmp_path)


@pytest.mark.parametrize(
    "text", ['{"config": {"epoch": 3}}', '{"config": {"epochs": 0}}', "[", "[]"]
)
def test_run_with_a_broken_configuration(run, tmp_path, text):
    shutil.copytree(run.folder, tmp_path / "run")
    (tmp_path / "run" / "config.json").write_text(text)
    with pytest.raises(RunError, match="config.json must be as `train` wrote it"):
        load_run(tmp_path / "run")


def test_runs_are_equal_to_themselves_alone(run):
    """A comparison of their arrays would be an array."""
    other = load_run(run.folder)
    assert run == run and run != other and run.statistics != other.statistics
    assert len({run, other, run.statistics, other.statistics}) == 4


def rates(config, val_top1):
    """The learning rate of each epoch, given validation accuracies."""
    from alexnet_keras.training.callbacks import learning_rate_callback

    callback = learning_rate_callback(config)
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile(MomentumSGD(config.learning_rate), "mse")
    callback.set_model(model)
    callback.on_train_begin()
    seen = []
    for epoch, value in enumerate(val_top1):
        callback.on_epoch_begin(epoch)
        seen.append(float(model.optimizer.learning_rate))
        callback.on_epoch_end(epoch, {"val_top1": value})
    return seen


def test_schedules():
    flat = [0.1, 0.2, 0.2, 0.2, 0.2, 0.2, 0.3]
    assert rates(TrainingConfig(patience=2), flat) == pytest.approx(
        [0.01, 0.01, 0.01, 0.01, 0.001, 0.001, 0.0001]
    )
    assert rates(TrainingConfig(schedule="constant"), flat) == pytest.approx([0.01] * 7)
    cosine = rates(TrainingConfig(schedule="cosine", epochs=7), flat)
    expected = [0.005 * (1 + math.cos(math.pi * e / 7)) for e in range(7)]
    assert cosine == pytest.approx(expected)


def test_stuck_loss_is_noticed_once(capsys):
    equal = np.full(10, 0.1)
    callback = StuckLoss(equal, TrainingConfig(initialization="variant"), patience=2)
    for epoch, loss in enumerate([2.31, 2.0, 2.3, 2.303, 2.302]):
        callback.on_epoch_end(epoch, {"loss": loss})
    said = capsys.readouterr().err
    assert said.count("ln(10) = 2.303") == 1
    assert "`initialization='he'`" in said and "`learning_rate`" in said


def test_stuck_loss_of_unequal_classes_is_their_entropy(capsys):
    shares = open_dataset().class_shares("train")
    callback = StuckLoss(shares, TrainingConfig(), patience=2)
    assert callback.chance == pytest.approx(stats.entropy(shares))
    assert callback.chance < 0.96 * math.log(10)
    for epoch, loss in enumerate([2.245, 2.217]):  # of a network that looks at nothing
        callback.on_epoch_end(epoch, {"loss": loss})
    assert "that of guessing" in capsys.readouterr().err


def test_diverging_training_stops_and_keeps_good_weights(run, tmp_path):
    wild = dataclasses.replace(run.config, learning_rate=1e9)
    with pytest.raises(DivergedError, match="must stay finite. Received: .* try a smaller"):
        train(wild, tmp_path / "wild", verbose=0)
    assert not (tmp_path / "wild" / "best.keras").exists()


def test_network_that_has_diverged_is_not_evaluated(run):
    fresh = build_model(run.config, 3)
    fresh.get_layer("fc8").set_weights([w * np.nan for w in fresh.get_layer("fc8").get_weights()])
    with pytest.raises(ValueError, match="must be finite. Received: NaN"):
        evaluate(fresh, run.open_dataset(), run.statistics)


def test_run_is_evaluated_from_another_folder(run, tmp_path, monkeypatch):
    data = Path(run.config.data)
    monkeypatch.chdir(data.parent)
    relative = dataclasses.replace(run.config, data=data.name, epochs=1)
    again = train(relative, tmp_path / "run", verbose=0)
    monkeypatch.chdir(tmp_path)
    assert load_run(again.folder).open_dataset().sizes == run.open_dataset().sizes


def test_changed_data_is_refused(run, tmp_path):
    shutil.copytree(run.config.data, tmp_path / "data")
    config = dataclasses.replace(run.config, data=str(tmp_path / "data"), epochs=1)
    again = load_run(train(config, tmp_path / "run", verbose=0).folder)
    before = {split: ids(again.open_dataset(), split) for split in ("train", "validation")}
    shutil.copy(tmp_path / "data" / "red" / "0.jpg", tmp_path / "data" / "red" / "new.jpg")
    with pytest.raises(DataError, match="must be as it was in training"):
        again.open_dataset()
    other = again.open_dataset(tmp_path / "data")  # named explicitly: other data
    assert not ids(other, "validation") & before["train"]
    shutil.move(tmp_path / "data", tmp_path / "moved")
    assert again.open_dataset(tmp_path / "moved").fingerprint == other.fingerprint


def ids(dataset, split):
    return {example["id"] for example in dataset.encoded(split).as_numpy_iterator()}


def test_run_inside_its_data_is_refused(run):
    inside = Path(run.config.data) / "runs" / "x"
    with pytest.raises(RunError, match="outside of the data"):
        train(run.config, inside, verbose=0)
    assert not inside.parent.exists()


def test_channels_first_is_refused_in_a_sentence(run, tmp_path):
    keras.config.set_image_data_format("channels_first")
    try:
        with pytest.raises(ValueError, match="must be 'channels_last'"):
            train(run.config, tmp_path / "x", verbose=0)
    finally:
        keras.config.set_image_data_format("channels_last")


@pytest.mark.parametrize("name", ["statistics.npz", "best.keras"])
def test_damaged_run(run, tmp_path, name):
    shutil.copytree(run.folder, tmp_path / "run")
    path = tmp_path / "run" / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(RunError, match=f"{name} must be as `train` wrote it"):
        load_run(tmp_path / "run")


def test_stuck_network_is_told_what_to_try(run, tmp_path, capsys):
    """The original start in a tiny network: the biases of 1 drown the pictures."""
    config = dataclasses.replace(
        run.config, initialization="variant", epochs=3, learning_rate=1e-4, width=0.05
    )
    train(config, tmp_path / "stuck", verbose=0)
    assert "Try `initialization='he'`" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"epochs": True}, "`epochs` must be an integer of at least 1. Received: epochs=True"),
        (
            {"width": float("nan")},
            "`width` must be a finite number greater than 0. Received: width=nan",
        ),
        ({"epochs": 0}, "`epochs` must be an integer of at least 1. Received: epochs=0"),
        ({"batch_size": 1.5}, "`batch_size` must be .* of at least 1. Received: batch_size=1.5"),
        ({"learning_rate": -1}, "`learning_rate` must be .* of at least 0..* learning_rate=-1"),
        ({"momentum": 1.0}, "`momentum` must be .* at least 0 and less than 1..* momentum=1.0"),
        ({"schedule": "steps"}, "`schedule` must be one of .* Received: schedule='steps'"),
        ({"precision": "int8"}, "`precision` must be one of .* Received: precision='int8'"),
        ({"seed": -3}, "`seed` must be an integer from 0 to .* Received: seed=-3"),
        ({"mean": "gray"}, "`mean` must be 'color' or 'image'. Received: 'gray'"),
    ],
)
def test_bad_configuration(arguments, message):
    with pytest.raises(ValueError, match=message):
        TrainingConfig(**arguments)


def test_configuration_of_numpy_numbers():
    """As they come out of `np.arange` and `np.logspace`; a run's config.json has to hold them."""
    plain = TrainingConfig(epochs=3, width=0.5, seed=1, columns=1, learning_rate=1.0)
    config = TrainingConfig(
        epochs=np.int64(3),
        width=np.float32(0.5),
        seed=np.uint8(1),
        columns=np.int32(1),
        learning_rate=np.int64(1),
    )
    assert json.dumps(dataclasses.asdict(config)) == json.dumps(dataclasses.asdict(plain))


def test_tensorboard_shows_rate_loss_errors_and_speed(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run.folder / "tensorboard" / "train"))
    events.Reload()
    shown = {"learning_rate", "loss", "top1", "top5", "images_per_second"}
    assert {f"epoch_{name}" for name in shown} <= set(events.Tags()["tensors"])
    assert len(events.Tensors("epoch_images_per_second")) == SMALL["epochs"]


@pytest.mark.parametrize("rule, rate", [("none", 0.01), ("sqrt", 0.02), ("linear", 0.04)])
def test_rate_rules(rule, rate):
    config = TrainingConfig(batch_size=512, rate_rule=rule, schedule="constant")
    assert config.first_rate == pytest.approx(rate)
    assert rates(config, [0.0]) == pytest.approx([rate])


def test_data_without_training_pictures_is_refused(run, tmp_path, monkeypatch):
    from alexnet_keras.training import recipe

    data = open_dataset(run.config.data)
    data = dataclasses.replace(data, sizes={"validation": data.sizes["validation"]})
    monkeypatch.setattr(recipe, "open_dataset", lambda *args, **kwargs: data)
    with pytest.raises(DataError, match="to train on.*Received: .* without train"):
        train(run.config, tmp_path / "new", verbose=0)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "changes, compiled",
    [
        ({}, True),
        ({"precision": "bfloat16"}, False),
        ({"deterministic": True}, False),  # Keras would warn, and go on without XLA
    ],
)
def test_xla_compiles_float16_on_one_cpu(changes, compiled, monkeypatch):
    config = TrainingConfig(**{"precision": "float16"} | changes)
    assert jit_compile(config) is compiled
    assert jit_compile(config, choose_strategy("mirrored")) is False
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind])
    assert jit_compile(config) is False


def test_log_is_a_csv_file(run):
    with open(run.folder / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1"]


def test_trained_network_of_the_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = load_run()
    assert run.config == TrainingConfig()  # what `alexnet-keras train` does
    result = evaluate(run.model, run.open_dataset(), run.statistics)
    log = run.log()
    assert log["val_top1"].max() == pytest.approx(1 - result.top1_error, abs=2 / 337)  # rounding
    assert len(log["epoch"]) == run.config.epochs
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    assert f"| {1 - log['val_top1'].max():.2%} |".replace("%", " %") in readme
    (tmp_path / "openclipart").mkdir()  # such a folder changes nothing, as with the data
    assert load_run("openclipart").config == run.config
    # A later Keras would write arguments that the oldest does not know.
    with zipfile.ZipFile(run.folder / "best.keras") as archive:
        written_by = json.loads(archive.read("metadata.json"))["keras_version"]
    constraints = (Path(__file__).parents[1] / "constraints.txt").read_text(encoding="utf-8")
    assert written_by == re.search(r"^keras==(\S+)", constraints, re.MULTILINE)[1]
