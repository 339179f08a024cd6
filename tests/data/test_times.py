"""Timestamps: whole seconds since 1970, of whatever says when."""

from __future__ import annotations

import datetime
import decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorec_np.data.values import are_times, check_timestamps, is_date, seconds_of_texts

FIRST_OF_FEBRUARY = 1075593600  # 2004-02-01 in UTC
UTC = datetime.timezone.utc
BERLIN = datetime.timezone(datetime.timedelta(hours=1))


@pytest.mark.parametrize(
    "times",
    [
        [FIRST_OF_FEBRUARY],
        np.array([FIRST_OF_FEBRUARY], np.uint32),
        [float(FIRST_OF_FEBRUARY)],
        [FIRST_OF_FEBRUARY + 0.75],
        [decimal.Decimal(FIRST_OF_FEBRUARY)],
        ["2004-02-01"],
        ["2004/02/01"],
        ["2004-02-01 00:00"],
        ["2004-02-01T00:00:00"],
        ["2004-02-01T00:00:00.5Z"],
        ["2004-02-01 01:00:00+01:00"],
        ["2004-01-31 20:00:00 -0400"],
        [str(FIRST_OF_FEBRUARY)],
        [f"{FIRST_OF_FEBRUARY}.9"],
        [datetime.date(2004, 2, 1)],
        [datetime.datetime(2004, 2, 1)],
        [datetime.datetime(2004, 2, 1, 1, tzinfo=BERLIN)],
        np.array(["2004-02-01"], "M8[D]"),
        np.array(["2004-02-01T00:00:00.9"], "M8[ns]"),
        pd.Series(pd.to_datetime(["2004-02-01"])),
        pd.Series(pd.to_datetime(["2004-02-01"], utc=True)),
        pd.Series(pd.to_datetime(["2004-02-01 01:00"]).tz_localize("Europe/Berlin")),
        pd.Series([FIRST_OF_FEBRUARY], dtype="Int64"),
    ],
)
def test_every_way_to_say_when(times):
    seconds = check_timestamps(times)
    assert seconds.dtype == np.int64
    assert seconds.tolist() == [FIRST_OF_FEBRUARY]


@pytest.mark.parametrize(
    "times",
    [
        ["yesterday"],
        ["2004-13-01"],
        ["nan"],
        [""],
        [None],
        [np.nan],
        [np.inf],
        [1e30],
        [True, None],
        [b"2004-02-01"],
        [1j],
        np.array(["NaT"], "M8[s]"),
        pd.Series([pd.NaT]),
        [[1, 2]],
    ],
)
def test_what_does_not_say_when(times):
    with pytest.raises(TypeError, match="timestamps must be a one-dimensional array of integers, "):
        check_timestamps(times)


@given(st.datetimes(datetime.datetime(1, 1, 1), datetime.datetime(9999, 12, 31)))
def test_iso_texts_come_back(moment):
    whole = moment.replace(microsecond=0, tzinfo=UTC)
    seconds = round((whole - datetime.datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
    for text in (moment.isoformat(), moment.isoformat(" "), f"{moment.isoformat()}Z"):
        assert check_timestamps([text]).tolist() == [seconds]
    if moment.year < 9999:
        assert check_timestamps([whole.astimezone(BERLIN).isoformat()]).tolist() == [seconds]


def test_seconds_before_1970_are_rounded_down():
    assert check_timestamps([-0.5, 0.5]).tolist() == [-1, 0]
    assert check_timestamps(np.array(["1969-12-31T23:59:59.5"], "M8[ms]")).tolist() == [-1]


def test_a_column_of_texts_is_of_one_kind():
    seconds, wrong = seconds_of_texts(["1", "2.5", "-3"], are_dates=False)
    assert (seconds.tolist(), wrong) == ([1, 2, -3], None)
    seconds, wrong = seconds_of_texts(["2004-02-01", "1970-01-02"], are_dates=True)
    assert (seconds.tolist(), wrong) == ([FIRST_OF_FEBRUARY, 86400], None)
    assert seconds_of_texts(["1", "2004-02-01"], are_dates=False)[1] == 1
    assert seconds_of_texts(["2004-02-01", "7"], are_dates=True)[1] == 1
    assert is_date("2004-02-01")
    assert not is_date("7")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1200000000, 978300760], True),
        ([1200000000.5], True),
        (["1200000000"], True),
        (["2004-02-01", "2004-02-02 10:00"], True),
        (np.array(["2004-02-01"], "M8[D]"), True),
        ([datetime.date(2004, 2, 1)], True),
        ([1, 2, 3], False),
        ([2004, 2005], False),
        ([1200000000, 5], False),
        (["2004-02-01", "x"], False),
        (["x"], False),
        ([np.nan], False),
        ([], False),
    ],
)
def test_values_that_can_only_be_times(values, expected):
    kind = object if isinstance(values, list) and values and isinstance(values[0], str) else None
    assert are_times(np.array(values, dtype=kind)) == expected
