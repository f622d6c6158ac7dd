"""Standard Webhooks: what we send is signed, and what comes in is verified before it is read."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hashlib
import hmac
from collections.abc import Mapping, Sequence

from tidemill.errors import UsageError

__all__ = [
    "TOLERANCE_SECONDS",
    "SecretInvalid",
    "SignatureRefused",
    "secret_bytes",
    "secret_keys",
    "signed_headers",
    "verified_id",
]

TOLERANCE_SECONDS = 300
"""How far the clock of a sender may be from ours."""

_PREFIX = "whsec_"
_LEAST_BYTES, _MOST_BYTES = 24, 64
_LONGEST_ID = 255


class SecretInvalid(UsageError):
    """A webhook secret is missing or not of the standard's form."""


class SignatureRefused(UsageError):
    """A webhook does not prove who sent it, or when."""

    http_status = 401


def secret_bytes(text: str, name: str) -> bytes:
    """The key in a secret of the form ``whsec_<base64 of 24 to 64 bytes>``.

    Parameters
    ----------
    text : str
    name : str
        The environment variable it came from; the secret itself is never told.

    Raises
    ------
    SecretInvalid
        If it is not of that form.
    """
    try:
        key = base64.b64decode(text.strip().removeprefix(_PREFIX).encode("ascii"), validate=True)
    except (binascii.Error, UnicodeError):
        key = b""
    if not _LEAST_BYTES <= len(key) <= _MOST_BYTES:
        raise SecretInvalid(
            f"{name} does not hold a webhook secret",
            remedy=f"set {name} to {_PREFIX} followed by the base64 text of 24 to 64 random bytes",
            variable=name,
        )
    return key


def secret_keys(text: str, name: str) -> list[bytes]:
    """The keys in one secret, or in several that a space divides while one is changed.

    Raises
    ------
    SecretInvalid
        If there is none, or any is not of the form; see :func:`secret_bytes`.
    """
    return [secret_bytes(part, name) for part in text.split() or [""]]


def signed_headers(
    keys: Sequence[bytes], message_id: str, sent_at: dt.datetime, body: bytes
) -> dict[str, str]:
    """The headers that prove who sent ``body`` and when (Standard Webhooks, version v1).

    Parameters
    ----------
    keys : sequence of bytes
        See :func:`secret_keys`; each signs, so that a receiver which knows any of them is content.
    message_id : str
        The same for each attempt to deliver the same message.
    sent_at : datetime
        Of this attempt, with a time zone.
    body : bytes

    >>> at = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    >>> headers = signed_headers([b"0" * 24], "msg_1", at, b"{}")
    >>> verified_id([b"0" * 24], headers, b"{}", at)
    'msg_1'
    """
    seconds = str(int(sent_at.timestamp()))
    signatures = [_signature(key, message_id, seconds, body).decode("ascii") for key in keys]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": seconds,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def verified_id(
    keys: list[bytes], headers: Mapping[str, str], body: bytes, now: dt.datetime
) -> str:
    """The message id of a webhook whose signature and time hold.

    Whoever calls must still refuse an id that was seen before (the ledger's replay cache): this
    function keeps nothing.

    Parameters
    ----------
    keys : list of bytes
        Any of them may have signed it, so that secrets can be changed one after the other.
    headers : mapping
        With names in lower case, or one that ignores case.
    body : bytes
        As it came; it is not parsed here.
    now : datetime

    Raises
    ------
    SignatureRefused
        If a header is missing or malformed, the time is more than five minutes away, or no
        signature fits.

    Notes
    -----
    The package ``standardwebhooks`` parses the body before it is trusted and answers malformed
    headers with bare ValueErrors; the scheme itself is one HMAC-SHA256.
    """
    message_id, seconds, signatures = (
        headers.get(name, "") for name in ("webhook-id", "webhook-timestamp", "webhook-signature")
    )
    plain = message_id.isascii() and message_id.isprintable()
    if not (plain and 0 < len(message_id) <= _LONGEST_ID):
        raise _refused("the webhook-id header is missing or malformed")
    # isdigit alone would let through digits of other scripts.
    if not (seconds.isascii() and seconds.isdigit() and len(seconds) <= 12):
        raise _refused("the webhook-timestamp header is missing or malformed")
    if abs(now.timestamp() - int(seconds)) > TOLERANCE_SECONDS:
        raise _refused("the webhook was sent too long ago, or in the future")
    given = [part[3:].encode("utf-8") for part in signatures.split(" ") if part.startswith("v1,")]
    wanted = [_signature(key, message_id, seconds, body) for key in keys]
    # All pairs are compared: what fits, and how soon, must not show in the time it takes.
    fits = [hmac.compare_digest(one, other) for one in given[:16] for other in wanted]
    if not any(fits):
        raise _refused("the webhook-signature header does not fit the message")
    return message_id


def _signature(key: bytes, message_id: str, seconds: str, body: bytes) -> bytes:
    content = b".".join((message_id.encode("utf-8"), seconds.encode("ascii"), body))
    return base64.b64encode(hmac.digest(key, content, hashlib.sha256))


def _refused(what: str) -> SignatureRefused:
    return SignatureRefused(
        what,
        remedy="sign as the Standard Webhooks specification says, with the shared secret and a "
        "clock that is right",
    )
