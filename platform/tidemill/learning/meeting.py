"""Where the ranks of one training meet, and learn at once when one of them is gone."""

from __future__ import annotations

import json
import random
import secrets
import selectors
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tidemill.errors import ServiceUnavailable

__all__ = [
    "BEAT_SECONDS",
    "MEETING_SECONDS",
    "PORTS",
    "Addresses",
    "Meeting",
    "MeetingPlace",
    "attend",
    "free_port",
]

Addresses = list[tuple[str, int]]
"""IPv4 address and port of each rank, in order."""

PORTS = range(12_400, 12_500)
"""Where the meeting and the ranks listen."""

MEETING_SECONDS = 120.0
"""How long the first rank waits for the last."""

BEAT_SECONDS = 5.0
"""How often a rank says that it is there."""

_HELLO_SECONDS = 5.0
_LOOK_SECONDS = 0.2
_LONGEST_HELLO = 200
_LONGEST_BEAT = 4096


@dataclass(frozen=True)
class MeetingPlace:
    """Where a meeting is, and the word that lets one in; picklable.

    Parameters
    ----------
    host : str
    port : int
    word : str
    seconds : float
        How long it waits for the last rank.
    """

    host: str
    port: int
    word: str
    seconds: float = MEETING_SECONDS


class Meeting:
    """Tells every rank the addresses of all of them, and closes when the first one leaves.

    A rank says the word, its number and its port, and is told all addresses when the last one is
    there. From then on it says now and then that it is there (:data:`BEAT_SECONDS`). The meeting
    is over for all when one of them leaves or is silent, and when the last one does
    not come in time. Who comes later, or without the word, is refused.

    Parameters
    ----------
    ranks : int
    host : str
        The address to listen at: that by which the ranks reach this process.
    seconds : float
        How long the first waits for the last.
    silence_seconds : float
        After how long a rank that says nothing counts as gone.

    Attributes
    ----------
    place : MeetingPlace
    arrived : int
        Ranks that came.

    Raises
    ------
    ServiceUnavailable
        If nothing can listen there.

    Notes
    -----
    Memory: a socket a rank.
    """

    def __init__(
        self,
        ranks: int,
        host: str,
        seconds: float = MEETING_SECONDS,
        *,
        silence_seconds: float = 60.0,
    ) -> None:
        self._ranks, self._seconds, self._silence_seconds = ranks, seconds, silence_seconds
        self._listener = _bound(host)
        self._listener.listen(ranks)
        port = int(self._listener.getsockname()[1])
        self.place = MeetingPlace(host, port, secrets.token_hex(16), seconds)
        self._links: dict[int, tuple[socket.socket, int]] = {}
        self._heard: dict[socket.socket, float] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._host, name="meeting", daemon=True)

    @property
    def arrived(self) -> int:
        """Ranks that came."""
        return len(self._links)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def _host(self) -> None:
        with self._listener, selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            try:
                while not self._over.is_set() and not self._is_late():
                    for key, _ in selector.select(_LOOK_SECONDS):
                        if key.fileobj is self._listener:
                            self._greet(selector)
                        elif not self._hear(key.fileobj):  # type: ignore[arg-type]
                            return
            finally:
                for link, _ in self._links.values():
                    link.close()

    def _is_late(self) -> bool:
        """Whether the last rank has not come in time, or one that came is silent."""
        if not self._heard:
            return False
        limit = self._seconds if self.arrived < self._ranks else self._silence_seconds
        return time.monotonic() > min(self._heard.values()) + limit

    def _greet(self, selector: selectors.BaseSelector) -> None:
        try:
            link, _ = self._listener.accept()
        except OSError:  # it has gone again
            return
        try:
            word, *numbers = _hello(link).split()
            known = secrets.compare_digest(word, self.place.word.encode())
            rank, port = map(int, numbers)
        except (OSError, ValueError):
            known = False
        if not known or rank in self._links or not 0 <= rank < self._ranks:
            link.close()
            return
        self._links[rank] = (link, port)
        self._heard[link] = time.monotonic()
        selector.register(link, selectors.EVENT_READ)
        if self.arrived == self._ranks:
            selector.unregister(self._listener)
            self._listener.close()
            self._tell()

    def _tell(self) -> None:
        """All addresses, as they are seen from here; the time of silence begins."""
        addresses = [
            (link.getpeername()[0], port) for _, (link, port) in sorted(self._links.items())
        ]
        told = json.dumps(addresses).encode() + b"\n"
        for link, _ in self._links.values():
            self._heard[link] = time.monotonic()
            with suppress(OSError):
                link.sendall(told)

    def _hear(self, link: socket.socket) -> bool:
        """Whether it is still there."""
        self._heard[link] = time.monotonic()
        try:
            return bool(link.recv(_LONGEST_BEAT))
        except OSError:
            return False


def _hello(link: socket.socket) -> bytes:
    """The line that somebody says at once; whoever takes longer, or says more, is no rank."""
    ends, said = time.monotonic() + _HELLO_SECONDS, b""
    while not said.endswith(b"\n"):
        link.settimeout(max(0.001, ends - time.monotonic()))
        part = link.recv(_LONGEST_HELLO - len(said))
        if not part:
            raise ValueError("no line")
        said += part
    return said


def attend(place: MeetingPlace, rank: int) -> tuple[Addresses, socket.socket] | None:
    """Say that a rank is there and wait for the others; None where the meeting is over.

    The link tells of the end of the meeting by its own. The port that was said is free again.
    """
    with free_port() as held:
        try:
            link = socket.create_connection((place.host, place.port), timeout=_HELLO_SECONDS)
            port = int(held.getsockname()[1])
            link.sendall(f"{place.word} {rank} {port}\n".encode())
            # Where the machine of the meeting is gone, nobody closes the link.
            link.settimeout(place.seconds + _HELLO_SECONDS)
            told = link.makefile("rb").readline()
        except OSError:
            return None
    return ([(host, port) for host, port in json.loads(told)], link) if told else None


def free_port() -> socket.socket:
    """A socket that holds one of :data:`PORTS` at all addresses of this machine, and is silent."""
    return _bound("")


def _bound(host: str) -> socket.socket:
    found = socket.socket(socket.AF_INET)
    reason = ""
    for port in random.sample(PORTS, len(PORTS)):
        try:
            found.bind((host, port))
        except OSError as exc:
            reason = str(exc)
        else:
            return found
    found.close()
    raise ServiceUnavailable(
        f"no port of {PORTS[0]} to {PORTS[-1]} can be listened at by {host or 'a rank'}: {reason}",
        remedy="end what listens there, or wait a minute, then run the same command again",
    )
