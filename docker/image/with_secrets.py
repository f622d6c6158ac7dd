"""Become a command whose environment holds secrets: ``with_secrets.py COMMAND ARGUMENT ...``.

A variable whose value is ``{file:PATH}`` gets the text of that file, without its last line end.
So compose.yaml and the image hold names of files, and only the process holds what is in them.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

_MARK = re.compile(r"\{file:([^{}]+)\}")
_USAGE, _CONFIGURATION = 64, 78


class SecretMissing(Exception):
    """A file that a variable names cannot be read, or is empty."""


def filled(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment with every ``{file:PATH}`` replaced.

    Raises
    ------
    SecretMissing
        Names the variable and the file, never what is in it.
    """
    return {name: _value(name, value) for name, value in environment.items()}


def _value(name: str, value: str) -> str:
    mark = _MARK.fullmatch(value)
    if mark is None:
        return value
    path = Path(mark[1])
    try:
        text = path.read_text(encoding="utf-8").removesuffix("\n")
    except (OSError, UnicodeDecodeError) as exc:
        raise SecretMissing(
            f"{name}: {path} cannot be read ({type(exc).__name__}): make the secrets with "
            "docker/make_secrets.py, and let every user read the files (their folder is closed)"
        ) from exc
    if not text:
        raise SecretMissing(f"{name}: {path} is empty")
    return text


def main(arguments: list[str]) -> NoReturn:
    """Replace this process by the command."""
    if not arguments:
        _end(_USAGE, "with_secrets.py COMMAND ARGUMENT ...")
    try:
        environment = filled(os.environ)
    except SecretMissing as exc:
        _end(_CONFIGURATION, str(exc))
    os.execvpe(arguments[0], arguments, environment)  # noqa: S606


def _end(code: int, text: str) -> NoReturn:
    sys.stderr.write(f"{text}\n")
    sys.exit(code)


if __name__ == "__main__":
    main(sys.argv[1:])
