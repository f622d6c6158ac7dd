"""The address and key by which commands in the workspace reach its running monitor."""

from __future__ import annotations

import json
from pathlib import Path

from tidemill.monitor_client import CREDENTIALS
from tidemill.storage import write_bytes
from tidemill_monitor.security.api_keys import Keys

__all__ = ["leave_credentials"]


def leave_credentials(workspace: Path, url: str, keys: Keys) -> Path:
    """Write where the monitor answers, with a key of scope operate; return the file.

    The key of the last start is used again while it is valid; a revoked one is replaced. Only
    the owner may read the file: whoever can, may do all that the monitor allows.

    Raises
    ------
    StorageFailed
        If the disk refuses.
    """
    path = workspace / CREDENTIALS
    known = _known(path)
    identity = keys.identify(known) if known else None
    if identity is None or identity.scope != "operate":
        known = keys.create("commands in the workspace", "operate")
    write_bytes(path, json.dumps({"url": url, "key": known}).encode(), mode=0o600)
    return path


def _known(path: Path) -> str:
    try:
        return str(json.loads(path.read_text())["key"])
    except (OSError, ValueError, TypeError, KeyError):
        return ""
