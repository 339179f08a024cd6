"""What ``verbose=True`` shows: in a plain script, in a notebook, and to who listens to the log."""

from __future__ import annotations

import io
import logging
import re
import subprocess
import sys

import pytest

from autorec_np.data.synthetic import make_ratings
from autorec_np.models.autorec import AutoRec

R = make_ratings(n_users=20, n_items=15, n_ratings=120, random_state=0)
SMALL = {"hidden_layer_sizes": (2,), "max_iter": 3, "n_jobs": 1, "random_state": 0}
LINE = r"epoch {} of 3: objective [\d.]+, [\d.]+ s"

SCRIPT = """
import logging
import re
{setting}
from autorec_np import AutoRec, make_ratings
R = make_ratings(n_users=20, n_items=15, n_ratings=120, random_state=0)
AutoRec(hidden_layer_sizes=(2,), max_iter=3, n_jobs=1, random_state=0, verbose={verbose}).fit(R)
"""


def lines_of(setting="", verbose=True):
    """Return what a script of its own writes to stderr; nothing may go to stdout."""
    program = SCRIPT.format(setting=setting, verbose=verbose)
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert ended.stdout == ""
    return ended.stderr.splitlines()


def test_a_plain_script_shows_a_line_for_each_epoch():
    lines = lines_of()
    assert len(lines) == 3
    for number, line in enumerate(lines, 1):
        assert re.fullmatch(LINE.format(number), line)


def test_without_verbose_there_is_nothing():
    assert lines_of(verbose=False) == []


@pytest.mark.parametrize(
    ("setting", "start"),
    [
        ('logging.basicConfig(level="INFO")', "INFO:autorec_np.training.solvers:epoch"),
        ('logging.basicConfig(level="ERROR")', "epoch"),
        ('logging.getLogger("autorec_np").setLevel("INFO")', "epoch"),  # but nobody shows it
    ],
)
def test_each_epoch_is_shown_once(setting, start):
    lines = lines_of(setting)
    assert len(lines) == 3
    assert all(line.startswith(start) for line in lines)


def test_a_notebook_shows_lines(monkeypatch):
    """There stderr is no terminal, and IPython has replaced it."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    AutoRec(**SMALL, verbose=True).fit(R)
    assert len(stream.getvalue().splitlines()) == 3


def test_who_listens_gets_records_and_stderr_nothing(caplog, capsys):
    with caplog.at_level(logging.INFO):
        AutoRec(**SMALL, verbose=True).fit(R)
    assert len(caplog.messages) == 3
    assert capsys.readouterr() == ("", "")


def test_without_stderr_nothing_fails(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)  # pythonw
    assert AutoRec(**SMALL, verbose=True).fit(R).n_iter_ == 3


def test_a_program_without_a_last_resort_is_left_in_peace(monkeypatch, capsys):
    monkeypatch.setattr(logging, "lastResort", None)
    AutoRec(**SMALL, verbose=True).fit(R)
    assert capsys.readouterr() == ("", "")
