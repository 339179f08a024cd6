"""The confidence interval of a mean; that of errors is tested where they are: test_held_out."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from autorec_np.evaluation.held_out import MeanInterval, mean_and_interval

RATINGS = st.floats(-100, 100, allow_nan=False, width=32)
law = settings(deadline=None, derandomize=True, max_examples=60)


@given(
    st.lists(RATINGS, min_size=2, max_size=12).filter(lambda values: len(set(values)) > 1),
    st.sampled_from([0.5, 0.9, 0.95, 0.99]),
)
@law
def test_the_interval_is_that_of_students_t(values, confidence):
    result = mean_and_interval(values, confidence)
    reference = stats.ttest_1samp(values, 0.0).confidence_interval(confidence)
    assert result.mean == pytest.approx(np.mean(values))
    assert result.low == pytest.approx(reference.low, rel=1e-9, abs=1e-9)
    assert result.high == pytest.approx(reference.high, rel=1e-9, abs=1e-9)
    assert result.half_width == pytest.approx(result.high - result.mean, rel=1e-6, abs=1e-9)
    assert (result.n, result.confidence) == (len(values), confidence)


def test_the_interval_covers_the_true_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    intervals = [mean_and_interval(rng.normal(3.0, 2.0, size=5), 0.8) for _ in range(2000)]
    covered = np.mean([one.low <= 3.0 <= one.high for one in intervals])
    # Three standard errors of a share of 2000; a normal quantile instead of t would give 0.73.
    assert covered == pytest.approx(0.8, abs=0.027)


def test_equal_values_have_an_interval_of_length_zero():
    assert mean_and_interval([2.0, 2.0, 2.0]) == MeanInterval(2.0, 2.0, 2.0, 3, 0.95)


def test_one_value_has_an_unknown_interval_and_no_warning():
    result = mean_and_interval([0.9])
    assert result.mean == 0.9
    assert math.isnan(result.low)
    assert math.isnan(result.high)
    assert str(result) == "0.9000 (one value, no interval)"
    assert json.loads(json.dumps(result.to_dict(), allow_nan=False))["low"] is None


def test_the_interval_reads_well_and_becomes_json():
    result = mean_and_interval(iter([0.90, 0.91, 0.92]))
    assert str(result) == "0.9100 ± 0.0248 (95 % CI, n = 3)"
    assert result.to_dict() == {
        "mean": result.mean,
        "low": result.low,
        "high": result.high,
        "n": 3,
        "confidence": 0.95,
    }


@pytest.mark.parametrize(
    ("values", "confidence", "error", "message"),
    [
        ([], 0.95, ValueError, "values is empty"),
        ([1.0, np.nan], 0.95, ValueError, "values must be finite"),
        ([1.0, 2.0], 1.0, ValueError, "confidence must be"),
        ([1.0, 2.0], 0.0, ValueError, "confidence must be"),
        ([1.0, 2.0], 95, ValueError, "confidence must be"),
        (["a"], 0.95, TypeError, "values must hold real numbers"),
    ],
)
def test_a_wrong_interval_is_refused(values, confidence, error, message):
    with pytest.raises(error, match=message):
        mean_and_interval(values, confidence)
