"""Make the secrets of compose.yaml once: ``python docker/make_secrets.py [FOLDER]``.

Everything is random; nothing that exists is replaced. The folder is closed to others, and the files
in it are readable: a file-based secret keeps its owner and mode inside a container, where each
service runs as a user of its own.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import sys
from pathlib import Path

_FOLDER = Path(__file__).parent / "secrets"
_S3_ACTIONS = {
    "admin": ["Admin", "Read", "Write", "List", "Tagging"],
    "worker": [
        f"{verb}:{bucket}"
        for bucket in ("mlflow", "dvc", "lake")
        for verb in ("Read", "Write", "List")
    ],
    "mlflow": ["Read:mlflow", "List:mlflow"],
    "monitor": ["Read:mlflow", "List:mlflow", "Read:archive", "Write:archive", "List:archive"],
}


def make_secrets(folder: Path) -> list[str]:
    """Write the files; their names.

    Raises
    ------
    FileExistsError
        If there are secrets already: services hold them, so they are not replaced.
    """
    files = contents()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    if found := sorted(name for name in files if (folder / name).exists()):
        raise FileExistsError(
            f"{folder} has secrets already ({found[0]}, ...): nothing was changed"
        )
    for name, text in files.items():
        descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(descriptor, 0o444)  # whatever the umask
            file.write(text)
    return sorted(files)


def contents() -> dict[str, str]:
    """Fresh secrets by file name."""
    words = ("db_admin", "db_prefect", "db_mlflow", "db_monitor", "mlflow_admin", "mlflow_worker")
    files = {name: _word() for name in (*words, "mlflow_monitor", "mlflow_flask_key")}
    s3_keys = {name: _word() for name in _S3_ACTIONS}
    worker_key, first_key = _monitor_key(), _monitor_key()
    return {
        **files,
        **{f"s3_{name}": _aws_profile(name, key) for name, key in s3_keys.items()},
        "s3_identities": _identities(s3_keys),
        "prefect_auth": f"tidemill:{_word()}",
        "monitor_keys": f"operate {first_key}\nretrain {worker_key}\n",
        "monitor_worker_key": worker_key,
        "monitor_webhook": "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode(),
    }


def _word() -> str:
    return secrets.token_hex(24)


def _monitor_key() -> str:
    return f"tm_{secrets.token_hex(6)}_{secrets.token_hex(32)}"


def _aws_profile(name: str, key: str) -> str:
    return f"[default]\naws_access_key_id = tidemill-{name}\naws_secret_access_key = {key}\n"


def _identities(keys: dict[str, str]) -> str:
    identities = [
        {
            "name": name,
            "credentials": [{"accessKey": f"tidemill-{name}", "secretKey": key}],
            "actions": _S3_ACTIONS[name],
        }
        for name, key in keys.items()
    ]
    return json.dumps({"identities": identities}, indent=2)


if __name__ == "__main__":
    place = Path(sys.argv[1]) if len(sys.argv) > 1 else _FOLDER
    try:
        made = make_secrets(place)
    except FileExistsError as exc:
        sys.exit(str(exc))
    sys.stdout.write(f"{len(made)} secrets in {place}\n")
