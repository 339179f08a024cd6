"""What is written: progress, and complaints."""

from __future__ import annotations

import io
import time

import numpy as np
from command_line import SMALL

from autorec_np.cli.options import LINE_WIDTH, complain, error_message
from autorec_np.cli.train import Progress
from autorec_np.training.solvers import EpochState


def test_progress_goes_to_stderr_as_lines_unless_quiet(run, folder):
    _, out, err = run("train", folder / "numbers.csv", *SMALL)
    lines = err.split("\n")
    assert [line[:14] for line in lines] == [f"epoch {k} of 3: "[:14] for k in (1, 2, 3)] + [""]
    assert lines[0].endswith(" s left")
    assert "epoch 1" not in out
    assert run("train", folder / "numbers.csv", *SMALL, "--quiet")[2] == ""


def state(epoch: int, n_epochs: int = 4, validation: float | None = None) -> EpochState:
    return EpochState(epoch, n_epochs, 12345.678, validation, 2.0 * epoch, 0.1, np.zeros(1))


def test_progress_lines_tell_the_time_left():
    stream = io.StringIO()
    with Progress(stream, n_runs=2) as progress:
        for epoch in (1, 2, 3, 4, 1):
            progress(state(epoch, validation=0.9 if epoch == 2 else None))
    assert stream.getvalue().split("\n") == [
        "run 1 of 2, epoch 1 of 4: objective 12345.7, 2.0 s, 14.0 s left",
        "run 1 of 2, epoch 2 of 4: objective 12345.7, validation RMSE 0.9000, 4.0 s, 12.0 s left",
        "run 1 of 2, epoch 3 of 4: objective 12345.7, 6.0 s, 10.0 s left",
        "run 1 of 2, epoch 4 of 4: objective 12345.7, 8.0 s, 8.0 s left",
        "run 2 of 2, epoch 1 of 4: objective 12345.7, 2.0 s, 6.0 s left",
        "",
    ]


def test_progress_on_a_terminal_draws_one_line_and_removes_it(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    stream = io.StringIO()
    with Progress(stream, as_lines=False) as progress:
        for epoch, moment in (1, 100.0), (2, 100.01), (3, 100.2):
            now[0] = moment
            progress(state(epoch))
    frames = stream.getvalue().split("\r")
    assert [frame[:12].strip() for frame in frames] == ["", "epoch 1 of 4", "epoch 3 of 4", "", ""]
    assert {len(frame) for frame in frames[1:-1]} == {LINE_WIDTH}
    assert "\n" not in stream.getvalue()


def test_messages_take_one_line(capsys):
    complain("a\n  b")
    assert capsys.readouterr().err == "autorec-np: a b\n"


def test_errors_of_the_system_are_named_without_numbers():
    error = OSError(28, "No space left on device", "model.npz")
    assert error_message(error) == "model.npz: No space left on device"
    assert error_message(ArithmeticError()) == "ArithmeticError"
