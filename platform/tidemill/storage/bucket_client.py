"""The client of a bucket: its address, endpoint, credentials, and patience."""

from __future__ import annotations

import datetime as dt
import os
import re
import time
from collections.abc import Callable
from typing import Any

from obstore.exceptions import GenericError
from obstore.store import from_url

from tidemill.errors import StorageFailed, UsageError

__all__ = ["asked_again", "open_bucket"]

_ADDRESS = re.compile(r"s3://[A-Za-z0-9][A-Za-z0-9._-]*(?:/[^?#@:]*)?")
_BROKE_OFF = "HTTP error: "
"""In obstore's word for an error that is none of the server's."""
_FOR_EVER = dt.timedelta(days=365)
_KEYS_HOLD = dt.timedelta(minutes=10)
"""How long found credentials are used before boto3 is asked again: it renews them before."""


def open_bucket(address: str, patience: dt.timedelta) -> Any:
    """The client of obstore for ``s3://BUCKET/PREFIX``.

    Parameters
    ----------
    address : str
        Nothing but bucket and prefix; the rest is in the environment.
    patience : timedelta
        For how long a request is tried again; a third of it is the silence after which it is.

    Raises
    ------
    UsageError
        If the address holds anything else; it is not repeated.
    StorageFailed
        If there are no credentials.
    """
    if _ADDRESS.fullmatch(address) is None:
        # Not repeated: what stands there may be a secret.
        raise UsageError(
            "the address of a bucket is s3://BUCKET/PREFIX and nothing else: no user, no secret, "
            "no port, no question mark",
            remedy="set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_ENDPOINT_URL in the "
            "environment, and leave the bucket and the prefix in the address",
        )
    # Patience is counted in seconds, not in requests: ten of them are over in two.
    pauses = {"base": 3, "max_backoff": patience / 12}
    retry: Any = {"max_retries": 1_000_000, "retry_timeout": patience, "backoff": pauses}
    # However long an answer is: only silence is too long.
    options: Any = {"timeout": _FOR_EVER, "read_timeout": patience / 3}
    options["connect_timeout"] = min(patience / 3, dt.timedelta(seconds=10))
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")
    config: Any = {}
    if endpoint:
        config["endpoint"] = endpoint
        options["allow_http"] = endpoint.startswith("http://")
    config["region"] = os.environ.get("AWS_REGION", "us-east-1")
    given: Any = {"credential_provider": keys} if (keys := _found_keys(address)) else {}
    return from_url(address, config=config, client_options=options, retry_config=retry, **given)


def asked_again(ask: Callable[[], Any], *, patience_seconds: float) -> Any:
    """The answer to what may be asked twice and obstore asks once: lists, copies, deletions.

    Raises
    ------
    obstore.exceptions.BaseError
        What the server says, or the network after ``patience_seconds``.
    """
    ends = time.monotonic() + patience_seconds
    while True:
        try:
            return ask()
        except GenericError as exc:
            if _BROKE_OFF not in str(exc) or time.monotonic() > ends:
                raise


def _found_keys(address: str) -> Any:
    """What finds credentials outside the environment; None where that has a key."""
    if os.environ.keys() & {"AWS_ACCESS_KEY_ID", "AWS_SKIP_SIGNATURE"}:
        return None
    from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped]
    from obstore.auth.boto3 import Boto3CredentialProvider

    try:
        return Boto3CredentialProvider(ttl=_KEYS_HOLD)
    except (BotoCoreError, ValueError) as exc:
        raise StorageFailed(
            f"{address}: there are no credentials ({type(exc).__name__})",
            remedy="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment, or let "
            "AWS_SHARED_CREDENTIALS_FILE or AWS_PROFILE name others",
            path=address,
        ) from exc
