import csv
import json
import math
import tracemalloc

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn import metrics
from sklearn.calibration import calibration_curve

from alexnet_keras.evaluation import Calibration, evaluate, wilson_interval, write_report
from alexnet_keras.pictures import (
    ColorStatistics,
    ImageDataset,
    central_square,
    open_dataset,
    square_side,
    ten_views,
)

SIZE = 64
STATISTICS = ColorStatistics(np.array([100, 110, 120], "float32"), np.ones(3), np.eye(3))


def quick_model(classes, seed=0):
    """Guesses by the colours of sixteen parts of the picture: quick, and not always the same."""
    keras.utils.set_random_seed(seed)
    layers = [
        keras.Input((SIZE, SIZE, 3)),
        keras.layers.AveragePooling2D(16),
        keras.layers.Flatten(),
        keras.layers.Dense(
            classes, "softmax", kernel_initializer=keras.initializers.RandomNormal(0, 0.01)
        ),
    ]
    return keras.Sequential(layers)


def generated(count, classes, parts=16):
    """Pictures made while they are read: each a different colour in each part."""

    def example(i):
        seed = tf.stack([i, 0])
        pixels = tf.random.stateless_uniform((4, 4, 3), seed, 0, 255, tf.int32)
        picture = tf.repeat(tf.repeat(tf.cast(pixels, tf.uint8), 18, axis=0), 18, axis=1)
        return {
            "image": tf.io.encode_png(picture),
            "label": tf.random.stateless_uniform((), seed, 0, classes, tf.int64),
            "id": tf.strings.as_string(i),
        }

    names = tuple(f"class {i}" for i in range(classes))
    source = {"validation": lambda: tf.data.Dataset.range(count).map(example)}
    return ImageDataset("generated", names, {"validation": count}, lambda split: source[split]())


@pytest.fixture(scope="module")
def evaluated():
    """A network of eight classes over sixty pictures: all that it gives, by hand and by ours."""
    model, data = quick_model(8), generated(60, 8)
    squares, labels = [], []
    for example in data.decoded("validation").as_numpy_iterator():
        squares.append(central_square(example["image"], square_side(SIZE)).numpy())
        labels.append(example["label"])
    views = np.stack([ten_views(square, SIZE) for square in squares]) - STATISTICS.mean
    result = evaluate(model, data, STATISTICS, batch_size=7, mistakes=60)
    return model, data, views, np.array(labels), result


@given(st.integers(0, 2000), st.integers(0, 2000), st.sampled_from([0.5, 0.9, 0.95, 0.999]))
def test_interval_is_scipys(right, wrong, confidence):
    total = right + wrong
    if total == 0:
        assert np.isnan(wilson_interval(0, 0, confidence)).all()
        return
    expected = binomtest(right, total).proportion_ci(confidence, method="wilson")
    np.testing.assert_allclose(wilson_interval(right, total, confidence), expected, atol=1e-12)


def test_interval_of_arrays_and_its_ends():
    low, high = wilson_interval(np.array([0, 5, 10]), np.array([10, 10, 10]))
    assert low[0] == 0 and high[2] == 1
    np.testing.assert_allclose([low[1], high[1]], wilson_interval(5, 10))
    with pytest.raises(ValueError, match="between 0 and `total`. Received: 3 of 2"):
        wilson_interval(3, 2)
    with pytest.raises(
        ValueError, match="`confidence` must be .* and less than 1. Received: confidence=95"
    ):
        wilson_interval(1, 2, 95)


@given(
    st.lists(
        st.tuples(st.floats(0, 1, width=32, exclude_min=True), st.booleans()),
        min_size=1,
        max_size=40,
    ),
    st.integers(1, 39),
)
def test_calibration_is_sklearns(pairs, cut):
    confidence = np.array([p for p, _ in pairs], "float32")
    right = np.array([r for _, r in pairs])
    calibration = Calibration.empty()
    for part in (slice(cut), slice(cut, None)):  # in two batches
        calibration = calibration.add(confidence[part], right[part])
    # A class of its own keeps sklearn from refusing what is all right or all wrong.
    accuracy, mean = calibration_curve(right, confidence.astype("float64"), n_bins=15, pos_label=1)
    some = calibration.pictures > 0
    np.testing.assert_allclose(calibration.accuracy[some], accuracy)
    np.testing.assert_allclose(calibration.confidence[some], mean)
    assert np.isnan(calibration.accuracy[~some]).all()
    shares = calibration.pictures[some] / len(pairs)
    assert calibration.expected_error == pytest.approx((shares * abs(accuracy - mean)).sum())


def test_calibration_by_hand():
    calibration = Calibration.empty(10)
    calibration = calibration.add(
        np.array([0.75, 0.75, 0.35, 0.5]), np.array([True, False, False, False])
    )
    assert calibration.pictures.tolist() == [0, 0, 0, 1, 1, 0, 0, 2, 0, 0]  # 0.5: up to 0.5
    assert calibration.expected_error == pytest.approx(0.5 * 0.25 + 0.25 * 0.35 + 0.25 * 0.5)


def test_evaluation_is_sklearns(evaluated):
    model, _, views, labels, result = evaluated
    probabilities = np.asarray(model(views[:, 4]))
    predicted = probabilities.argmax(axis=1)
    assert 0 < result.top1_error < 1 and 0 < result.top5_error < 1
    assert result.top1_error == pytest.approx(1 - metrics.accuracy_score(labels, predicted))
    options = {"labels": range(8), "average": None, "zero_division": np.nan}
    np.testing.assert_allclose(
        result.precision, metrics.precision_score(labels, predicted, **options)
    )
    np.testing.assert_allclose(result.recall, metrics.recall_score(labels, predicted, **options))
    for errors, interval in (
        ((predicted != labels).sum(), result.top1_interval),
        (result.top5_errors, result.top5_interval),
    ):
        expected = binomtest(int(errors), 60).proportion_ci(0.95, method="wilson")
        np.testing.assert_allclose(interval, expected)
    accuracy, mean = calibration_curve(predicted == labels, probabilities.max(axis=1), n_bins=15)
    some = result.calibration.pictures > 0
    assert some.sum() > 5
    np.testing.assert_allclose(result.calibration.accuracy[some], accuracy)
    np.testing.assert_allclose(result.calibration.confidence[some], mean, rtol=1e-5)


def test_ten_views_are_the_mean_of_ten_explicit_passes(evaluated):
    model, data, views, labels, one_view = evaluated
    passes = [np.asarray(model(views[:, i])) for i in range(10)]
    mean = np.mean(passes, axis=0)
    predicted = mean.argmax(axis=1)
    ten = evaluate(model, data, STATISTICS, views=10, batch_size=70, mistakes=60)
    np.testing.assert_array_equal(
        ten.confusion, metrics.confusion_matrix(labels, predicted, labels=range(8))
    )
    wrong = sorted(np.flatnonzero(predicted != labels), key=lambda i: -mean[i].max())
    assert [m.index for m in ten.mistakes] == wrong
    np.testing.assert_allclose(
        [m.probability for m in ten.mistakes], mean.max(axis=1)[wrong], rtol=1e-4
    )
    total = mean.max(axis=1).sum()
    assert ten.calibration.confidence_sum.sum() == pytest.approx(total, rel=1e-5)
    assert total != pytest.approx(one_view.calibration.confidence_sum.sum(), rel=1e-3)


def test_memory_does_not_grow_with_the_data():
    """All that is allocated by Python and numpy, at its peak; 2 kB of probabilities a picture."""
    model = quick_model(500)

    def peak(count):
        data = generated(count, 500)
        tracemalloc.start()
        evaluate(model, data, STATISTICS, batch_size=16)
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    peak(64)  # what is traced and cached once
    assert peak(1600) < peak(160) + 300_000  # the probabilities of 1,440 pictures: 2,900,000


def test_report(evaluated, tmp_path):
    _, data, _, _, result = evaluated
    write_report(tmp_path, result, data, "validation")
    tables = ("confusion", "mistakes", "per_class", "reliability")
    assert {path.name for path in tmp_path.iterdir()} == {
        "report.json",
        *(f"{name}.csv" for name in tables),
        *(f"{name}.png" for name in tables),
    }

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    report = json.loads((tmp_path / "report.json").read_text(), parse_constant=refuse)
    assert report["top1_interval"] == list(result.top1_interval)
    assert report["expected_calibration_error"] == result.calibration.expected_error

    def rows(name):
        with open(tmp_path / f"{name}.csv", newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    for row, in_json, recall, precision in zip(
        rows("per_class"), report["classes"], result.recall, result.precision
    ):
        assert row["class"] == in_json["class"]
        assert float(row["recall"]) == in_json["recall"] == recall
        expected = binomtest(int(row["right"]), int(row["predicted"])).proportion_ci(
            method="wilson"
        )
        assert float(row["precision"]) == precision
        assert float(row["precision_low"]) == pytest.approx(expected.low)
        assert float(row["precision_high"]) == pytest.approx(expected.high)
    reliability = rows("reliability")
    assert sum(int(row["pictures"]) for row in reliability) == 60 and len(reliability) == 15
    assert [row["accuracy"] == "" for row in reliability] == [
        math.isnan(a) for a in result.calibration.accuracy
    ]
    confusion = rows("confusion")
    assert int(confusion[2]["class 5"]) == result.confusion[2, 5]
    assert [int(row["index"]) for row in rows("mistakes")] == [m.index for m in result.mistakes]
    assert rows("mistakes")[0]["id"] == str(result.mistakes[0].index)


def test_report_of_a_class_never_named_without_mistakes(make_folder, tmp_path):
    """The classes have names that the tables' own columns have, too."""
    data = open_dataset(make_folder(counts={"label": 10, "pictures": 10}))
    model = quick_model(2)
    model.layers[-1].set_weights([np.zeros((48, 2)), np.array([0, 1])])
    result = evaluate(model, data, STATISTICS, mistakes=0)
    assert result.top1_error == 0.5 and result.precision[1] == 0.5
    assert np.isnan(result.precision[0]) and result.recall[0] == 0
    write_report(tmp_path / "report", result, data, "validation")
    text = (tmp_path / "report" / "confusion.csv").read_text()
    assert text == "label,label,pictures\nlabel,0,2\npictures,0,2\n"
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["classes"][0]["precision"] is None and report["mistakes"] == []
