"""Run the command line in this process, and see what it said."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

import pytest

__all__ = ["Said", "run_command"]


@dataclass(frozen=True, slots=True)
class Said:
    """Exit code, stdout, stderr, and with ``--json`` the document of stdout."""

    code: Any
    out: str
    err: str
    document: Any


def run_command(
    arguments: tuple[Any, ...], patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]
) -> Said:
    """Run ``tidemill`` with ``arguments`` as a shell would."""
    from tidemill.cli import main

    capture.readouterr()
    patch.setattr(sys, "argv", ["tidemill", *map(str, arguments)])
    code: Any = 0
    try:
        main()
    except SystemExit as ended:
        code = ended.code or 0
    out, err = capture.readouterr()
    document = json.loads(out) if "--json" in arguments and out else None
    return Said(code, out, err, document)
