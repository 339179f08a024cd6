"""Files of ratings for tests: ids of every kind, dialects, and what must come back."""

from __future__ import annotations

import re

import numpy as np
from hypothesis import strategies as st

INT64 = np.iinfo(np.int64)
SEPARATORS = ["::", "\t", ",", ";", "|", "whitespace"]

integer_ids = st.one_of(st.integers(0, 9), st.integers(INT64.min, INT64.max)).map(str)
ODD_IDS = """007 NA null nan None +1 -0 -7 1.0 1e3 1_0 inf True é \u0663 \x1f \u2028 \x85 \ufeff"""
odd_ids = st.sampled_from([*ODD_IDS.split(" "), str(2**63), str(-(2**63)), "9" * 5000])
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=4)
any_ids = st.one_of(integer_ids, odd_ids, texts)
numbers = st.floats(-1000, 1000, width=32)
ratings = st.one_of(st.integers(-9, 9), st.sampled_from([0.0, 0.5, 3.5]), numbers).map(
    lambda number: np.format_float_positional(number, trim="-") if number % 1 else f"{number:.0f}"
)


def write(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def expected_ids(ids):
    """Apply the rule for ids literally: all canonical decimal integers within int64, or strings."""
    if all(re.fullmatch(r"0|-?[1-9][0-9]*", one, re.ASCII) and len(one) < 25 for one in ids):
        numbers = [int(one) for one in ids]
        if all(INT64.min <= number <= INT64.max for number in numbers):
            return numbers
    return list(ids)


def assert_triples(R, users, items, values):
    got_users, got_items, got_ratings = R.triples()
    for got, ids in ((got_users, users), (got_items, items)):
        expected = expected_ids(ids)
        assert got.dtype == (np.int64 if isinstance(expected[0], int) else object)
        assert got.tolist() == expected
    assert got_ratings.tolist() == [float(np.float32(float(value))) for value in values]


@st.composite
def rows(draw, ids=any_ids):
    """Rows (user, item, rating) of strings, each pair once."""
    users, items = draw(st.sampled_from([(ids, ids), (integer_ids, ids), (ids, integer_ids)]))
    pairs = draw(st.lists(st.tuples(users, items), min_size=1, max_size=12, unique=True))
    return [(*pair, draw(ratings)) for pair in pairs]


def fits(row, separator):
    """Whether the fields can be written in the dialect without quotes."""
    unsafe = "[\r\n \t]" if separator == "whitespace" else "[\r\n]"
    joined = (" " if separator == "whitespace" else separator).join(row)
    parts = joined.split(" " if separator == "whitespace" else separator)
    quotes = len(separator) == 1 and '"' in joined
    return not quotes and parts == list(row) and not re.search(unsafe, "".join(row))


def plain(table, separator, random):
    glue = (lambda: random.choice([" ", "\t", "  \t "])) if separator == "whitespace" else None
    lines = []
    for row in table:
        line = row[0]
        for field in row[1:]:
            line += (glue() if glue else separator) + field
        lines.append(line + random.choice(["\n", "\r\n"]))
        lines.extend(random.choice([[], [], ["\n"], ["\r\n"]]))
    return "".join(lines)
