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
_PAUSE_SECONDS = 0.5
_LOOK_SECONDS = 0.2
_MOST_CALLERS = 128
"""So many may be about to say who they are; one more, and the first of them is let go."""
_OVER = b"null\n"
"""Told instead of addresses: that nothing will come of it."""
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

    All who connect are heard beside each other, so that one who says nothing keeps nobody waiting.

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
    refused, silent : int
        Connections of others: which said something else, and which said nothing in time.
    stranger : str
        The address of the last of these.

    Raises
    ------
    ServiceUnavailable
        If nothing can listen there.

    Notes
    -----
    Memory: a socket a rank, and 128 at most of others.
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
        self._listener.listen(ranks + _MOST_CALLERS)
        self._listener.setblocking(False)
        port = int(self._listener.getsockname()[1])
        self.place = MeetingPlace(host, port, secrets.token_hex(16), seconds)
        self._links: dict[int, tuple[socket.socket, int]] = {}
        self._heard: dict[socket.socket, float] = {}
        self._callers: dict[socket.socket, _Caller] = {}
        self.refused, self.silent, self.stranger = 0, 0, ""
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
                        link: socket.socket = key.fileobj  # type: ignore[assignment]
                        if link is self._listener:
                            self._accept(selector)
                        elif link in self._callers:
                            self._greet(link, selector)
                        elif link in self._heard and not self._hear(link):
                            return
                    self._let_go(selector)
            finally:
                self._part()

    def _is_late(self) -> bool:
        """Whether the last rank has not come in time, or one that came is silent."""
        if not self._heard:
            return False
        limit = self._seconds if self.arrived < self._ranks else self._silence_seconds
        return time.monotonic() > min(self._heard.values()) + limit

    def _accept(self, selector: selectors.BaseSelector) -> None:
        try:
            link, (host, _) = self._listener.accept()
        except OSError:  # it has gone again
            return
        link.setblocking(False)
        self._callers[link] = _Caller(host, time.monotonic() + _HELLO_SECONDS)
        selector.register(link, selectors.EVENT_READ)

    def _let_go(self, selector: selectors.BaseSelector) -> None:
        """Part with those who say nothing: for too long, or the first where too many came."""
        now = time.monotonic()
        while self._callers:
            link, caller = next(iter(self._callers.items()))
            if caller.ends > now and len(self._callers) <= _MOST_CALLERS:
                return
            self._dismiss(link, selector)

    def _dismiss(self, link: socket.socket, selector: selectors.BaseSelector) -> None:
        caller = self._callers.pop(link)
        self.stranger = caller.host
        if caller.said:
            self.refused += 1
        else:
            self.silent += 1
        selector.unregister(link)
        link.close()

    def _greet(self, link: socket.socket, selector: selectors.BaseSelector) -> None:
        """Hear more of a hello; whoever says something else, or that of another one, is no rank."""
        caller = self._callers[link]
        try:
            if not caller.hear(link):
                return
            word, *numbers = caller.said.split()
            known = secrets.compare_digest(word, self.place.word.encode())
            rank, port = map(int, numbers)
        except (OSError, ValueError):
            known = False
        if not known or rank in self._links or not 0 <= rank < self._ranks:
            with suppress(OSError):
                link.send(_OVER)
            self._dismiss(link, selector)
            return
        del self._callers[link]
        link.setblocking(True)
        self._links[rank] = (link, port)
        self._heard[link] = time.monotonic()
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

    def _part(self) -> None:
        """Close all links; ranks that still wait are told why, so that they do not come again."""
        for link, _ in self._links.values():
            if self.arrived < self._ranks:
                with suppress(OSError):
                    link.sendall(_OVER)
            link.close()
        for link in self._callers:
            link.close()

    def _hear(self, link: socket.socket) -> bool:
        """Whether it is still there."""
        self._heard[link] = time.monotonic()
        try:
            return bool(link.recv(_LONGEST_BEAT))
        except OSError:
            return False


@dataclass
class _Caller:
    """Who has connected and has not said yet who it is: the line that a rank says at once."""

    host: str
    ends: float
    said: bytes = b""

    def hear(self, link: socket.socket) -> bool:
        """Whether the line is whole.

        Raises
        ------
        OSError, ValueError
            If no line can come of it.
        """
        part = link.recv(_LONGEST_HELLO - len(self.said))
        self.said += part
        whole = self.said.endswith(b"\n")
        if not whole and (not part or len(self.said) == _LONGEST_HELLO):
            raise ValueError("no line")
        return whole


def attend(place: MeetingPlace, rank: int) -> tuple[Addresses, socket.socket] | None:
    """Say that a rank is there and wait for the others; None where the meeting is over.

    The link tells of the end of the meeting by its own. The port that was said is free again.
    Where others crowd at the place it is tried again, for ``place.seconds``.
    """
    ends = time.monotonic() + place.seconds
    with free_port() as held:
        port = int(held.getsockname()[1])
        while True:
            try:
                return _meet(place, f"{place.word} {rank} {port}\n".encode())
            except ConnectionRefusedError:  # nobody listens any more
                return None
            except (OSError, ValueError):
                if time.monotonic() > ends:
                    return None
            time.sleep(_PAUSE_SECONDS)


def _meet(place: MeetingPlace, hello: bytes) -> tuple[Addresses, socket.socket] | None:
    """As :func:`attend`, tried once; OSError or ValueError where the meeting has not heard it."""
    link = socket.create_connection((place.host, place.port), timeout=_HELLO_SECONDS)
    try:
        link.sendall(hello)
        # Where the machine of the meeting is gone, nobody closes the link.
        link.settimeout(place.seconds + _HELLO_SECONDS)
        told = link.makefile("rb").readline()
        if not told:
            raise ConnectionAbortedError("closed without a word")
        addresses = json.loads(told)
    except BaseException:
        link.close()
        raise
    if addresses is None:
        link.close()
        return None
    return [(host, port) for host, port in addresses], link


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
