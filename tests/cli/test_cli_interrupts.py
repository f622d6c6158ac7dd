"""Ctrl-C that a library swallows still ends the run."""

from __future__ import annotations

import os
import signal

import pytest

from tidemill.cli.interrupts import CtrlC


def test_a_swallowed_interrupt_is_raised_again_at_the_next_step():
    """Whoever catches the first one, the next check ends the run; afterwards all is as before."""
    before = signal.getsignal(signal.SIGINT)
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
