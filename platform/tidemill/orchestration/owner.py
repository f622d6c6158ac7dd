"""The secret of an installation: what its services ask for, and what their clients are given."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tidemill.errors import ConfigError
from tidemill.settings import CLIENTS, told_clients
from tidemill.storage import Workspace, storage_errors, write_bytes
from tidemill.web import Passes
from tidemill.web.owner_only import OPEN_PATH

__all__ = ["Installation", "known_auth"]

AUTH_VARIABLE = "PREFECT_API_AUTH_STRING"
_USER = "tidemill"
_SECRET = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Installation:
    """What only the owner of a workspace's services has.

    Parameters
    ----------
    folder : Path
        ``.tidemill/up``, which only its owner may enter.
    secret : str
        Each service knows only what is derived from it with the service's name.
    """

    folder: Path
    secret: str

    def __repr__(self) -> str:
        return f"Installation(folder={self.folder})"

    @classmethod
    def of(cls, workspace: Workspace) -> Installation:
        """The one of a workspace; its secret is made the first time.

        Raises
        ------
        ConfigError
            If the file of the secret holds something else.
        StorageFailed
            If the disk refuses.
        """
        folder = workspace.hidden / "up"
        path = folder / "secret"
        with storage_errors(path):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)
            if not path.exists():
                write_bytes(path, f"{secrets.token_hex(32)}\n".encode(), mode=0o600)
            path.chmod(0o600)
            text = path.read_text(encoding="utf-8", errors="replace").strip()
        if not _SECRET.fullmatch(text):
            raise ConfigError(
                f"{path} does not hold the secret of this installation",
                remedy="delete it: the next `tidemill up` makes another one",
                path=str(path),
            )
        return cls(folder, text)

    def password(self, service: str) -> str:
        """The password of a service: ``prefect`` or ``mlflow``."""
        text = f"tidemill {service}".encode()
        return hmac.new(bytes.fromhex(self.secret), text, hashlib.sha256).hexdigest()

    def credential(self, service: str) -> str:
        """``user:password`` of a service."""
        return f"{_USER}:{self.password(service)}"

    def link(self, service: str, address: str) -> str:
        """An address that opens a service in the owner's browser, once, within an hour."""
        return f"{address}{OPEN_PATH}?token={Passes(self.credential(service)).link()}"

    def prefect_client(self, api_url: str) -> dict[str, str]:
        """The environment of a program that speaks to Prefect."""
        return {"PREFECT_API_URL": api_url, AUTH_VARIABLE: self.credential("prefect")}

    def mlflow_client(self, uri: str) -> dict[str, str]:
        """The environment of a program that speaks to our MLflow server."""
        return {
            "MLFLOW_TRACKING_URI": uri,
            "MLFLOW_TRACKING_USERNAME": _USER,
            "MLFLOW_TRACKING_PASSWORD": self.password("mlflow"),
        }

    @property
    def clients_file(self) -> Path:
        """The environment of clients, for shells: ``. .tidemill/up/clients.sh``."""
        return self.folder / CLIENTS.name

    def tell_clients(self, environment: Mapping[str, str]) -> None:
        """Write the file for the owner's shells and ``tidemill run``."""
        lines = [f"export {name}='{value}'\n" for name, value in environment.items()]
        write_bytes(self.clients_file, "".join(lines).encode(), mode=0o600)


def known_auth(workspace: Workspace, api_url: str) -> str | None:
    """What opens the Prefect API at ``api_url``: from the environment, or the workspace's ``up``.

    None where neither knows that address.
    """
    if given := os.environ.get(AUTH_VARIABLE):
        return given
    told = told_clients(workspace.root)
    return told.get(AUTH_VARIABLE) if told.get("PREFECT_API_URL") == api_url.rstrip("/") else None
