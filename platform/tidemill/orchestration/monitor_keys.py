"""The keys of an installation's monitor: one for the worker, and the first one for people."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from tidemill.errors import ConfigError
from tidemill.monitor_client import KEY_VARIABLE
from tidemill.storage import Workspace, storage_errors, write_bytes

__all__ = ["MonitorKeys", "monitor_keys"]

FILE_VARIABLE = "TIDEMILL_MONITOR_KEYS_FILE"


@dataclass(frozen=True, slots=True)
class MonitorKeys:
    """What the monitor and the worker are started with.

    Parameters
    ----------
    worker : str
        The worker's key, of scope retrain: it reads, and reports of retrainings.
    first : str or None
        A key for people that was made just now; None where one was made before.
    file : Path or None
        The file that the monitor takes them up from at its start.
    """

    worker: str
    first: str | None
    file: Path | None

    def __repr__(self) -> str:
        return f"MonitorKeys(file={self.file})"

    def forget_first(self) -> None:
        """Leave only the worker's key in the file: the store knows the other one by now."""
        if self.first is not None and self.file is not None:
            _write(self.file, _lines(self.file, without=self.first))


def monitor_keys(workspace: Workspace) -> MonitorKeys:
    """The keys of the workspace's monitor, made at the first start.

    They lie in ``.tidemill/monitor/keys``, which only its owner may read; the store keeps hashes.
    Who gives TIDEMILL_MONITOR_KEYS_FILE or TIDEMILL_MONITOR_KEY in the environment has keys of
    their own.

    Raises
    ------
    ConfigError
        If the file of the environment has no key for the worker.
    StorageFailed
        If the disk refuses.
    """
    given, file = os.environ.get(KEY_VARIABLE), os.environ.get(FILE_VARIABLE)
    if given:
        return MonitorKeys(given, None, Path(file) if file else None)
    if file:
        return MonitorKeys(_worker_key(Path(file)), None, Path(file))
    own = workspace.hidden / "monitor" / "keys"
    if not own.exists():
        worker, first = _made(), _made()
        _write(own, [("retrain", worker), ("operate", first)])
        return MonitorKeys(worker, first, own)
    lines = _lines(own)
    if lines and lines[0][0] == "operate":
        # The worker's key could do everything once: it gets one that cannot.
        lines = [("retrain", _made()), ("revoked", lines[0][1]), *lines[1:]]
        _write(own, lines)
    # A second one was made and never shown: we were stopped before the monitor answered.
    waiting = [key for scope, key in lines if scope == "operate"]
    return MonitorKeys(_worker_key(own), waiting[0] if waiting else None, own)


def _made() -> str:
    return f"tm_{secrets.token_hex(6)}_{secrets.token_hex(32)}"


def _worker_key(file: Path) -> str:
    """The key of a file that can do least of those that can report."""
    found = dict(reversed(_lines(file)))  # the first of each scope
    for scope in ("retrain", "operate"):
        if scope in found:
            return found[scope]
    raise ConfigError(
        f"{file} has no key of scope retrain, which the worker needs to report to the monitor",
        remedy=f"add a line 'retrain KEY', or set {KEY_VARIABLE}",
        path=str(file),
    )


def _lines(file: Path, *, without: str = "") -> list[tuple[str, str]]:
    with storage_errors(file):
        words = [line.split() for line in file.read_text().splitlines()]
    return [(one[0], one[1]) for one in words if len(one) == 2 and one[1] != without]


def _write(path: Path, lines: list[tuple[str, str]]) -> None:
    text = "".join(f"{scope} {key}\n" for scope, key in lines)
    write_bytes(path, text.encode(), mode=0o600)
