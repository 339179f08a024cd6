"""Plain text: tables, times, the line of an epoch, values for JSON, what was meant."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from autorec_np._text import did_you_mean, duration, epoch_line, indented, plain, table


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (59.4, "59.4 s"),
        (59.6, "1 min 0 s"),
        (7500, "125 min 0 s"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_text_helpers():
    assert table(["a", "bb"], [["ccc", "1"]]) == "a    bb\nccc   1"
    assert table(["a", "bb"], [["c"]]) == "a  bb\nc"
    assert indented("a\n\nb") == "  a\n\n  b"


def test_json_holds_only_what_json_has():
    value = {1: (np.int64(2), np.float32(0.5)), "a": np.array([math.nan, math.inf]), "b": {3, 4}}
    expected = {"1": [2, 0.5], "a": [None, None], "b": "{3, 4}"}
    assert plain(value) == expected
    assert json.loads(json.dumps(plain(value), allow_nan=False)) == expected


def test_json_may_refuse_what_it_has_no_form_for():
    def refuse(value):
        raise TypeError(f"got {type(value).__name__}")

    assert plain({"a": np.arange(2)}, refuse) == {"a": [0, 1]}
    with pytest.raises(TypeError, match="got set"):
        plain({"a": {3, 4}}, refuse)


def test_the_line_of_an_epoch():
    assert epoch_line(2, 20, 12345.678, None, 4.0) == "epoch 2 of 20: objective 12345.7, 4.0 s"
    assert epoch_line(2, 20, 0.5, 0.91239, 75.0) == (
        "epoch 2 of 20: objective 0.5, validation RMSE 0.9124, 1 min 15 s"
    )


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("trian", "; did you mean 'train'?"),
        ("RECOMMENDS", "; did you mean 'recommend'?"),
        ("ml-100K", "; did you mean 'ml-100k'?"),
        ("sing", ""),
        ("", ""),
    ],
)
def test_what_somebody_may_have_meant(word, said):
    assert did_you_mean(word, ["train", "tune", "recommend", "ml-100k", "ml-10m"]) == said
