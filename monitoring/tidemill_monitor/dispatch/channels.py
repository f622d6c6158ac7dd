"""Where messages go: an address that apprise understands, or a signed webhook."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

import orjson
import structlog

from tidemill.config.monitoring import Channel
from tidemill.errors import ConfigError, ServiceUnavailable
from tidemill_monitor.courier import CODES
from tidemill_monitor.dispatch.guard import Answered, check_address, post
from tidemill_monitor.dispatch.signing import secret_keys, signed_headers
from tidemill_monitor.public_addresses import AddressRefused

__all__ = ["NOTIFICATION", "ChannelGone", "Deadlines", "Notice", "check_channel", "send"]

NOTIFICATION = "notification"
"""Kind of the outbox rows that go to a channel; the target is the channel's name."""

_log = structlog.get_logger("tidemill_monitor.channels")


class Deadlines(NamedTuple):
    """How long a message is waited for, in seconds.

    Parameters
    ----------
    webhook, service : float
        For a receiver of ours, and for the service behind apprise.
    courier : float
        ``service`` and the start of a process; below the outbox's lease, or another worker
        would send the message too.
    """

    webhook: float = 10.0
    service: float = 25.0
    courier: float = 55.0


class ChannelGone(ConfigError):
    """A channel is no longer in params.yaml, lacks its variable, or does not want messages."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What is told.

    Parameters
    ----------
    type : str
        For machines: ``alert.opened``, ``alert.resolved``, ``alert.test``,
        ``decision.awaiting_approval``.
    title, text : str
        For people.
    severity : str
        ``info``, ``warning``, ``critical`` or ``success``.
    at : datetime
        Of what is told, not of the attempt to tell it.
    data : dict
        The facts, JSON-friendly.
    """

    type: str
    title: str
    text: str
    severity: str
    at: dt.datetime
    data: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """A JSON document, as webhooks carry it (Standard Webhooks: type, timestamp, data)."""
        return {
            "type": self.type,
            "timestamp": self.at.astimezone(dt.UTC).isoformat(),
            "data": {
                **self.data,
                "title": self.title,
                "text": self.text,
                "severity": self.severity,
            },
        }


def check_channel(channel: Channel) -> None:
    """Refuse a channel that can deliver nothing, without calling anybody.

    apprise is asked in a process of its own whether it understands the address (about a second).

    Raises
    ------
    ChannelGone
        If a variable is not set, or apprise does not understand the address.
    AddressRefused
        If a webhook's address is none.
    SecretInvalid
        If a webhook's secret, or one of several, is none.
    """
    address = _from_environment(channel, "url", channel.url, channel.url_env)
    if channel.kind == "apprise":
        order = {"address": address, "check": True}
        _check_courier(channel, *_courier(order, Deadlines()), Deadlines(), checking=True)
        return
    check_address(address)
    _keys(channel)


def _keys(channel: Channel) -> list[bytes]:
    variable = channel.secret_env
    return secret_keys(_from_environment(channel, "secret", "", variable), str(variable))


def send(
    channel: Channel,
    document: Mapping[str, Any],
    *,
    message_id: str,
    now: dt.datetime,
    deadlines: Deadlines = Deadlines(),  # noqa: B008 - a constant
) -> None:
    """Deliver one message (of :meth:`Notice.to_json`) by one channel.

    Raises
    ------
    ChannelGone
        If the channel's variables are not set, or the receiver answers 410: no use to try again.
    AddressRefused
        If the address leads into a network that it may not reach.
    ServiceUnavailable
        If it was not taken; try again, after the seconds in the field ``retry_after`` where the
        receiver named a time with 429 or 503.
    """
    address = _from_environment(channel, "url", channel.url, channel.url_env)
    if channel.kind == "apprise":
        _by_apprise(channel, address, document, deadlines)
        return
    body = orjson.dumps(dict(document))
    headers = {
        "content-type": "application/json",
        "user-agent": "tidemill-monitor",
        **signed_headers(_keys(channel), message_id, now, body),
    }
    answered = post(
        address, body, headers, allow_private=channel.allow_private, seconds=deadlines.webhook
    )
    _check_answer(channel, answered, now)


def _check_answer(channel: Channel, answered: Answered, now: dt.datetime) -> None:
    status = answered.status
    if 200 <= status < 300:
        return
    if status == 410:
        raise ChannelGone(
            f"the receiver of the channel {channel.name} does not want messages any more (410)",
            remedy=f"take {channel.name} out of monitoring.alerts.channels, or correct its address",
            channel=channel.name,
        )
    raise ServiceUnavailable(
        f"the receiver of the channel {channel.name} answered {status}",
        remedy="look at the receiver; what the outbox holds is sent again by itself",
        service="webhook",
        channel=channel.name,
        status=status,
        retry_after=_seconds(answered.retry_after, now) if status in (429, 503) else None,
    )


def _seconds(text: str, now: dt.datetime) -> float | None:
    """What ``Retry-After`` says, seconds or a date, as seconds from now; None if it is neither."""
    if text.isascii() and text.strip().isdigit():
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    aware = at if at.tzinfo is not None else at.replace(tzinfo=dt.UTC)
    return max(0.0, (aware - now).total_seconds())


def _by_apprise(
    channel: Channel, address: str, document: Mapping[str, Any], deadlines: Deadlines
) -> None:
    data = document["data"]
    order = {
        "address": address,
        "allow_private": channel.allow_private,
        "title": data["title"],
        "text": data["text"],
        "type": _APPRISE_TYPES[data["severity"]],
    }
    _check_courier(channel, *_courier(order, deadlines), deadlines)


def _courier(order: Mapping[str, Any], deadlines: Deadlines) -> tuple[int | None, str]:
    """The exit code of a process that hands a message to apprise, and what it said.

    None is the code of one that the machine gave too little time.
    """
    try:
        # Its errors may hold the address, and the address holds secrets.
        done = subprocess.run(
            [sys.executable, "-P", "-m", "tidemill_monitor.courier"],
            input=json.dumps({**order, "seconds": deadlines.service}),
            env={name: os.environ[name] for name in _HANDED_ON if name in os.environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            timeout=deadlines.courier,
        )
    except subprocess.TimeoutExpired:
        return None, ""
    return done.returncode, done.stdout.strip()


def _check_courier(
    channel: Channel, code: int | None, said: str, deadlines: Deadlines, *, checking: bool = False
) -> None:
    if code == CODES["not understood"]:
        raise ChannelGone(
            f"the address of the channel {channel.name} is none that apprise understands",
            remedy="write it as apprise's documentation says, for example mailto://... or slack://...",
            channel=channel.name,
        )
    if code == CODES["refused"]:
        raise AddressRefused(
            f"the channel {channel.name} leads to {said}, which is not a public address",
            remedy="correct the channel's address, or set its allow_private: true in params.yaml",
            channel=channel.name,
        )
    if code == CODES["delivered"]:
        return
    if checking:
        _log.warning(
            "channel_not_checked", channel=channel.name, reason=_why_not(channel, code, deadlines)
        )
        return
    busy = code is None
    raise ServiceUnavailable(
        _why_not(channel, code, deadlines),
        remedy=("give the machine less to do" if busy else "look at the service behind it")
        + "; what the outbox holds is sent again by itself",
        service="apprise",
        channel=channel.name,
    )


def _why_not(channel: Channel, code: int | None, deadlines: Deadlines) -> str:
    if code is None:
        return (
            f"the machine is too busy: the process that hands a message of the channel "
            f"{channel.name} to apprise was not done within {deadlines.courier:g} seconds"
        )
    if code == CODES["late"]:
        return (
            f"the service behind the channel {channel.name} did not take the message "
            f"within {deadlines.service:g} seconds"
        )
    ended = "" if code == CODES["not taken"] else f" (the courier ended with {code})"
    return f"the channel {channel.name} did not take the message{ended}"


# No proxies, and none of the monitor's own secrets.
_HANDED_ON = (
    "HOME",
    "LANG",
    "LC_ALL",
    "PATH",
    "PYTHONPATH",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TMPDIR",
    "TZ",
)

_APPRISE_TYPES = {
    "info": "info",
    "warning": "warning",
    "critical": "failure",
    "success": "success",
}


def _from_environment(channel: Channel, what: str, value: str, variable: str | None) -> str:
    found = value or os.environ.get(variable or "", "")
    if not found:
        raise ChannelGone(
            f"the channel {channel.name} has no {what}: {variable} is not set",
            remedy=f"set {variable} in the monitor's environment and restart it",
            channel=channel.name,
            variable=variable,
        )
    return found
