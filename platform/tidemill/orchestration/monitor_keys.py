"""The keys of an installation's monitor: one for the worker, and the first one for people."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from tidemill.errors import ConfigError
from tidemill.monitor_client import KEY_VARIABLE
from tidemill.storage import Workspace, storage_errors

__all__ = ["MonitorKeys", "monitor_keys"]

FILE_VARIABLE = "TIDEMILL_MONITOR_KEYS_FILE"


@dataclass(frozen=True, slots=True)
class MonitorKeys:
    """What the monitor and the worker are started with.

    Parameters
    ----------
    worker : str
        The worker's key, of scope operate.
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
            _write(self.file, [self.worker])


def monitor_keys(workspace: Workspace) -> MonitorKeys:
    """The keys of the workspace's monitor, made at the first start.

    They lie in ``.tidemill/monitor/keys``, which only its owner may read; the store keeps hashes.
    Who gives TIDEMILL_MONITOR_KEYS_FILE or TIDEMILL_MONITOR_KEY in the environment has keys of
    their own.

    Raises
    ------
    ConfigError
        If the file of the environment has no key of scope operate for the worker.
    StorageFailed
        If the disk refuses.
    """
    given, file = os.environ.get(KEY_VARIABLE), os.environ.get(FILE_VARIABLE)
    if given:
        return MonitorKeys(given, None, Path(file) if file else None)
    if file:
        return MonitorKeys(_operate_keys(Path(file))[0], None, Path(file))
    own = workspace.hidden / "monitor" / "keys"
    if own.exists():
        # A second one was made and never shown: we were stopped before the monitor answered.
        worker, *waiting = _operate_keys(own)
        return MonitorKeys(worker, waiting[0] if waiting else None, own)
    worker, first = _made(), _made()
    _write(own, [worker, first])
    return MonitorKeys(worker, first, own)


def _made() -> str:
    return f"tm_{secrets.token_hex(6)}_{secrets.token_hex(32)}"


def _operate_keys(file: Path) -> list[str]:
    with storage_errors(file):
        lines = [line.split() for line in file.read_text().splitlines()]
    found = [words[1] for words in lines if len(words) == 2 and words[0] == "operate"]
    if found:
        return found
    raise ConfigError(
        f"{file} has no key of scope operate, which the worker needs to report to the monitor",
        remedy=f"add a line 'operate KEY', or set {KEY_VARIABLE}",
        path=str(file),
    )


def _write(path: Path, keys: list[str]) -> None:
    """Replace the file, at no moment readable by others."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.writelines(f"operate {key}\n" for key in keys)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
