import tracemalloc

import keras
import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn import metrics
from sklearn.calibration import calibration_curve

from alexnet_keras.common import DataError
from alexnet_keras.configuration import TrainingConfig
from alexnet_keras.evaluation import Mistake, evaluate, predict, predict_views
from alexnet_keras.pictures import (
    central_square,
    color_statistics,
    open_dataset,
    square_side,
    ten_views,
)
from alexnet_keras.training import (
    build_model,
)
from tests.conftest import SMALL
from tests.evaluation.conftest import STATISTICS, generated, quick_model

pytestmark = [pytest.mark.portable, pytest.mark.usefixtures("no_gradients")]


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


@pytest.mark.slow
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

    square = central_square(picture, square_side(64))
    passes = [run.model(v[None] - run.statistics.mean)[0] for v in ten_views(square, 64)]
    np.testing.assert_allclose(ten, np.mean(passes, axis=0), rtol=1e-4)
    np.testing.assert_allclose(one, passes[4], rtol=1e-4)
    images = np.random.default_rng(0).normal(0, 50, (3, 10, 64, 64, 3)).astype("float32")
    expected = [np.mean(np.asarray(run.model(image)), axis=0) for image in images]
    np.testing.assert_allclose(predict_views(run.model, images, 7), expected, rtol=1e-4)


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


def test_network_that_has_diverged_is_not_evaluated(run):
    fresh = build_model(run.config, 3)
    fresh.get_layer("fc8").set_weights([w * np.nan for w in fresh.get_layer("fc8").get_weights()])
    with pytest.raises(ValueError, match="must be finite. Received: NaN"):
        evaluate(fresh, run.open_dataset(), run.statistics)


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


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow's memory")
@pytest.mark.slow
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
