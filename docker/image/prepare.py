"""Make what the services need of each other: buckets, MLflow's users, Prefect's deployments.

Everything may be done again. The environment says where the services are, and with
``TIDEMILL_SETUP_BUCKETS`` (names) and ``TIDEMILL_SETUP_USERS`` (``name=file-of-password``) what to
make there.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import boto3
import httpx
from botocore.exceptions import ClientError

_USERS = "api/2.0/mlflow/users"
_SECONDS = 60.0


def require_workspace(folder: Path) -> None:
    """Stop early, and say what to do, where there is nothing to work on."""
    if not (folder / "params.yaml").is_file():
        raise SystemExit(
            f"{folder} has no params.yaml: make the workspace first, see docs/docker.md"
        )


def make_buckets(names: list[str]) -> None:
    """Make the buckets that are absent."""
    client = boto3.client("s3")
    for name in names:
        try:
            client.head_bucket(Bucket=name)
        except ClientError as exc:
            if exc.response["Error"]["Code"] not in ("404", "NoSuchBucket"):
                raise
            client.create_bucket(Bucket=name)


def make_users(mlflow: httpx.Client, users: dict[str, str]) -> None:
    """Make MLflow's users, or give those that exist the password of today."""
    for name, password in users.items():
        document = {"username": name, "password": password}
        found = mlflow.get(f"{_USERS}/get", params={"username": name})
        if found.status_code == httpx.codes.NOT_FOUND:
            mlflow.post(f"{_USERS}/create", json=document).raise_for_status()
        else:
            found.raise_for_status()
            mlflow.patch(f"{_USERS}/update-password", json=document).raise_for_status()


def deploy() -> None:
    """Make the work pool if it is absent, and write prefect.yaml's deployments."""
    if _prefect("work-pool", "inspect", "tidemill", quiet=True):
        _require("work-pool", "create", "tidemill", "--type", "process")
    _require("deploy", "--all")


def _require(*arguments: str) -> None:
    if _prefect(*arguments):
        raise SystemExit(f"prefect {' '.join(arguments)} failed: its reason is above")


def _prefect(*arguments: str, quiet: bool = False) -> int:
    output = subprocess.DEVNULL if quiet else None
    command = [sys.executable, "-m", "prefect", "--no-prompt", *arguments]
    return subprocess.run(command, stdout=output, stderr=output, check=False).returncode  # noqa: S603


def main() -> None:
    """Do all of it, in the order in which a failure is cheapest."""
    environment = os.environ
    require_workspace(Path(environment["TIDEMILL_WORKSPACE"]))
    make_buckets(environment["TIDEMILL_SETUP_BUCKETS"].split())
    pairs = (word.partition("=") for word in environment["TIDEMILL_SETUP_USERS"].split())
    users = {name: Path(file).read_text(encoding="utf-8").strip() for name, _, file in pairs}
    with httpx.Client(
        base_url=environment["MLFLOW_TRACKING_URI"],
        auth=(environment["MLFLOW_TRACKING_USERNAME"], environment["MLFLOW_TRACKING_PASSWORD"]),
        timeout=_SECONDS,
        trust_env=False,
    ) as mlflow:
        make_users(mlflow, users)
    deploy()


if __name__ == "__main__":
    main()
