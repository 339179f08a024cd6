"""The way in: Ctrl-C is one line, whatever is imported when it comes."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from autorec_np.cli import commands, main

PROGRAM = """
import os, signal, sys
class Interrupter:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), {sent})
from autorec_np.cli import main
sys.meta_path.insert(0, Interrupter())
sys.exit(main({arguments!r}))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "name",
    [
        "argparse",
        "autorec_np.cli.commands",
        "autorec_np.models.autorec",
        "numpy",
        "datetime",  # NumPy's C code makes an ImportError of the interrupt
        "numpy.linalg",
        "scipy.sparse",
        "scipy.sparse._sparsetools",
        "concurrent.futures",
    ],
)
def test_ctrl_c_or_sigterm_while_something_is_imported_is_one_line(name, sent):
    program = PROGRAM.format(name=name, sent=int(sent), arguments=["demo", "--quiet"])
    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        # A shell's background jobs inherit that SIGINT is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert (ended.returncode, ended.stderr) == (128 + sent, "autorec-np: interrupted\n")


@pytest.mark.parametrize("error", [ImportError, SystemError])
def test_what_is_no_interrupt_is_a_bug_with_its_traceback(error, monkeypatch):
    def fail(argv):
        raise error("not interrupted")

    monkeypatch.setattr(commands, "main", fail)
    with pytest.raises(error, match="not interrupted"):
        main([])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_handler_of_the_program_stays(number, capsys):
    handler = signal.getsignal(number)
    assert main(["--version"]) == 0
    assert signal.getsignal(number) is handler
    own = lambda number, frame: None  # noqa: E731
    before = signal.signal(number, own)
    try:
        assert main(["--version"]) == 0
        assert signal.getsignal(number) is own
    finally:
        signal.signal(number, before)
    assert capsys.readouterr().err == ""
