"""The log says where a defect is, and not what was in the variables."""

from __future__ import annotations

import subprocess
import sys

DEFECT = """
import structlog
from tidemill_monitor.logs import configure_logs

configure_logs()

def deliver(address):
    raise AttributeError("a defect")

try:
    deliver("https://user:" + "canary".upper() + "@example.org")
except AttributeError:
    structlog.get_logger("t").exception("delivery_failed", kind="webhook")
"""


def test_a_defect_is_logged_without_the_values_of_variables():
    """The traceback names files and lines; a secret in a local variable stays out."""
    done = subprocess.run(
        [sys.executable, "-c", DEFECT], capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    assert "delivery_failed" in done.stderr
    assert "in deliver" in done.stderr
    assert "CANARY" not in done.stderr
