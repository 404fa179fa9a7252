import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.calibration import calibration_curve

from alexnet_keras.evaluation import Calibration, wilson_interval


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
