"""Channels are tried when they are set: what cannot work is refused before the first alert."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tidemill.config import load_params
from tidemill.config.monitoring import Channel
from tidemill.errors import ConfigError, TidemillError, UsageError
from tidemill_monitor.dispatch.channels import Notice, check_channel, send

__all__ = [
    "ChannelUnknown",
    "Tried",
    "check_channels",
    "chosen_channels",
    "try_channels",
    "try_here",
]

_AT_ONCE = 8


class ChannelUnknown(UsageError):
    """A channel was named that params.yaml lacks."""

    http_status = 404


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of a test message.

    Parameters
    ----------
    channel, kind : str
    error, remedy : str
        Empty if it was delivered.
    """

    channel: str
    kind: str
    error: str = ""
    remedy: str = ""

    def to_json(self) -> dict[str, Any]:
        """What the route and the command answer: the fields, and ``delivered``."""
        return {
            "channel": self.channel,
            "kind": self.kind,
            "delivered": not self.error,
            "error": self.error,
            "remedy": self.remedy,
        }


def chosen_channels(channels: Sequence[Channel], names: Sequence[str]) -> list[Channel]:
    """The channels of some names; of none: all.

    Raises
    ------
    ChannelUnknown
        If there is none of a name, or none at all.
    """
    if not channels:
        raise ChannelUnknown(
            "params.yaml has no channels: nobody is told of alerts",
            remedy="add some to monitoring.alerts.channels; docs/alerts.md says how",
        )
    if unknown := sorted(set(names) - {channel.name for channel in channels}):
        raise ChannelUnknown(
            f"monitoring.alerts.channels has no channel {unknown[0]!r}",
            remedy="its channels are: " + ", ".join(channel.name for channel in channels),
            channel=unknown[0],
        )
    return [channel for channel in channels if not names or channel.name in names]


def check_channels(channels: Sequence[Channel]) -> None:
    """Refuse channels whose variables are not set, or whose address or secret is none.

    Nobody is called; see :func:`try_channels`.

    Raises
    ------
    ConfigError
        Names every channel that cannot work, and why.
    """
    found = [(channel, error) for channel in channels if (error := _fault(channel)) is not None]
    if found:
        raise ConfigError(
            "monitoring.alerts.channels: " + "; ".join(error.message for _, error in found),
            remedy="; ".join(dict.fromkeys(error.remedy for _, error in found)),
            channels=[channel.name for channel, _ in found],
        )


def try_channels(channels: Sequence[Channel], *, model: str, now: dt.datetime) -> list[Tried]:
    """Send a test message by each channel, now, and say what became of it.

    Not by the outbox: nothing is tried again. Eight at once, each within a minute.
    """
    number = uuid.uuid4().hex
    document = Notice(
        type="alert.test",
        title=f"{model}: a test",
        text="This is a test of the channel. Nothing has happened.",
        severity="info",
        at=now,
        data={"model": model},
    ).to_json()

    def one(channel: Channel) -> Tried:
        try:
            send(channel, document, message_id=f"msg_test_{number}", now=now)
        except TidemillError as error:
            return Tried(channel.name, channel.kind, error.message, error.remedy)
        return Tried(channel.name, channel.kind)

    with ThreadPoolExecutor(min(_AT_ONCE, len(channels))) as pool:
        return list(pool.map(one, channels))


def try_here(workspace: Path, names: Sequence[str]) -> list[dict[str, Any]]:
    """Send a test message by the channels of a workspace, with this process's environment."""
    params = load_params(workspace)
    chosen = chosen_channels(params.monitoring.alerts.channels, names)
    model = params.registration.model or params.dataset.name
    now = dt.datetime.now(dt.UTC)
    return [one.to_json() for one in try_channels(chosen, model=model, now=now)]


def _fault(channel: Channel) -> TidemillError | None:
    try:
        check_channel(channel)
    except TidemillError as error:
        return error
    return None
