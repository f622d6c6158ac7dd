"""Ctrl-C that a library swallows still ends the run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tidemill.cli.interrupts import CtrlC


def test_a_swallowed_interrupt_is_raised_again_at_the_next_step(monkeypatch):
    """Whoever catches the first one, the next check ends the run; afterwards all is as before."""
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)  # put back for later tests
    with CtrlC() as ctrl_c:
        ctrl_c.check()
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt:
            swallowed = True
        assert swallowed
        with pytest.raises(KeyboardInterrupt):
            ctrl_c.check()
    assert signal.getsignal(signal.SIGINT) is before


CODE = """
import os, signal, sys, time
from tidemill.cli.interrupts import CtrlC

class Half:
    def __init__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)
        self.whole = True

    def __del__(self):
        self.whole

with CtrlC():
    try:
        Half()
    except KeyboardInterrupt:
        print("the last word", file=sys.stderr)
"""


def test_what_was_half_made_complains_to_nobody():
    """An object whose making was interrupted raises as it is deleted: nobody is told."""
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr.splitlines() == ["the last word"]
