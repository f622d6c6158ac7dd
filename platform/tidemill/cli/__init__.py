"""The command line: ``tidemill ...``. Commands only translate; the work is done below."""

from tidemill.cli.app import main

__all__ = ["main"]
