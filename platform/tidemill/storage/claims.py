"""Which objects of a shared store are still claimed, and the rest taken away."""

from __future__ import annotations

import json
import os
import re
import socket
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from tidemill.contracts import Store
from tidemill.errors import Busy, CommitConflict, StorageFailed
from tidemill.storage.hashing import hash_bytes
from tidemill.storage.published_names import CLAIMS, OBJECTS, PublishedNames
from tidemill.storage.stores import open_store

__all__ = [
    "Inventory",
    "Leftovers",
    "collect",
    "find_leftovers",
    "take_inventory",
    "wait_for_collector",
]

COLLECTING = "collecting"
"""The key of the note that lies there while objects are taken away."""

_SILENCE_SECONDS = 60.0
"""After so long without a word of its own a collector is dead, and holds itself for it."""
_WAIT_SECONDS = 60.0
_PAUSE_SECONDS = 1.0

_UNREADABLE = (
    AttributeError,
    LookupError,
    OSError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What reading a note raises that is none."""

_CLAIM = re.compile(rf"{CLAIMS}/([^/]+)/([0-9a-f]{{64}})")
_OBJECT = re.compile(rf"{OBJECTS}/([0-9a-f]{{64}})")


@dataclass(frozen=True, slots=True)
class Inventory:
    """What lies in a shared store.

    Parameters
    ----------
    claims : dict of str to set of str
        The hashes of the contents that each workspace claims, by its name; as the store lists.
    objects : set of str
        The hashes of the objects.
    strange : tuple of str
        Keys among them that nobody here has written: they are passed over, and stay.
    """

    claims: dict[str, set[str]]
    objects: set[str]
    strange: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Leftovers:
    """Keys of what nobody needs: claims of workspaces, and objects that no other claim names.

    Parameters
    ----------
    claims, objects : tuple of str
    unfinished : tuple of str
        Claims that stay, with all that they name, of versions that are not published yet: who did
        so is at it still, or was killed and needs them when it runs again.
    strange : tuple of str
        As of :class:`Inventory`.
    """

    claims: tuple[str, ...]
    objects: tuple[str, ...]
    unfinished: tuple[str, ...] = ()
    strange: tuple[str, ...] = ()


def take_inventory(address: str) -> Inventory:
    """List claims, then objects. Memory: 200 bytes an object."""
    store, strange = open_store(address), []
    claims: dict[str, set[str]] = {}
    objects = set()
    for key in store.list_keys(CLAIMS):
        if claim := _CLAIM.fullmatch(key):
            claims.setdefault(claim[1], set()).add(claim[2])
        else:
            strange.append(key)
    for key in store.list_keys(OBJECTS):
        if found := _OBJECT.fullmatch(key):
            objects.add(found[1])
        else:
            strange.append(key)
    return Inventory(claims, objects, tuple(strange))


def find_leftovers(address: str, owners: Collection[str], needed: Collection[str]) -> Leftovers:
    """What :func:`collect` would take away; nothing is changed.

    Parameters
    ----------
    address : str
    owners : collection of str
        The workspaces whose claims may be given up; those of others stay.
    needed : collection of str
        The hashes of the contents that their versions need.

    Raises
    ------
    IntegrityError
        If a claim that stays is damaged, and the object of its content too or not there: what it
        names is not known.

    Notes
    -----
    Memory: 200 bytes an object.
    """
    there = take_inventory(address)
    given_up: list[str] = []
    kept: list[str] = []
    for owner, hashes in there.claims.items():
        for sha256 in hashes:
            here = given_up if owner in owners and sha256 not in needed else kept
            here.append(f"{CLAIMS}/{owner}/{sha256}")
    claimed = {_content_of(claim): claim for claim in kept}
    live = set(claimed)
    for claim in claimed.values():
        live.update(_claimed(address, claim).names.values())
    objects = sorted(f"{OBJECTS}/{sha256}" for sha256 in there.objects - live)
    unfinished = sorted(claim for claim in kept if _content_of(claim) not in there.objects)
    return Leftovers(tuple(sorted(given_up)), tuple(objects), tuple(unfinished), there.strange)


def _content_of(key: str) -> str:
    """The hash of the content that a claim is named by."""
    return key.rpartition("/")[2]


def _claimed(address: str, claim: str) -> PublishedNames:
    """What a claim names: it says so itself, and so does the object of that content.

    The claim is there first.
    """
    content, _ = open_store(address).manifest(claim) or (b"", "")
    if hash_bytes(content) == _content_of(claim):
        return PublishedNames.parse(f"{address}/{claim}", content)
    return PublishedNames.kept(address, _content_of(claim))


def collect(
    address: str,
    owners: Collection[str],
    needed: Collection[str],
    *,
    take_over: bool = False,
    silence_seconds: float = _SILENCE_SECONDS,
) -> Leftovers:
    """Take away what nobody needs; parameters, errors and memory as of :func:`find_leftovers`.

    Who publishes meanwhile waits for the end, then looks whether its objects are there still, and
    puts those there again that are not: no claim ever names an object that is gone.

    Parameters
    ----------
    take_over : bool
        Go on where another one was killed: what it says in the store stays the same for
        ``silence_seconds``, while one that runs says it anew four times.
    silence_seconds : float
        The same for all who collect in a store.

    Raises
    ------
    Busy
        If another one is at it, or was killed, or has taken over.
    """
    store = open_store(address)
    with _collecting(store, silence_seconds, take_over=take_over) as note:
        found = find_leftovers(address, owners, needed)
        for key in (*found.claims, *found.objects):
            note.require()
            store.discard(key)
    return found


def wait_for_collector(store: Store, *, seconds: float = _WAIT_SECONDS) -> None:
    """Return when nobody takes objects away.

    Raises
    ------
    Busy
        If somebody still does after ``seconds``.
    """
    ends = time.monotonic() + seconds
    while store.manifest(COLLECTING) is not None:
        if time.monotonic() > ends:
            raise _busy(store)
        time.sleep(_PAUSE_SECONDS)


class _Note:
    """What says in the store who is at it: said anew as long as it lives."""

    def __init__(self, store: Store, tag: str | None, silence_seconds: float) -> None:
        self._store, self._tag, self._silence = store, tag, silence_seconds
        self._who = {"host": socket.gethostname(), "process": os.getpid(), "since": time.time()}
        self._said, self._beats, self.lost = 0.0, 0, False
        self._lock, self.ended = threading.Lock(), threading.Event()
        self.say()

    def say(self) -> None:
        """Commit it, a little different each time; a conflict is that another one has taken over.

        Raises
        ------
        CommitConflict, StorageFailed
        """
        with self._lock:
            begun = time.monotonic()
            told = json.dumps({**self._who, "beat": self._beats}).encode()
            try:
                self._tag = self._store.commit(COLLECTING, told, expected=self._tag)
            except CommitConflict:
                self.lost = True
                raise
            self._said, self._beats = begun, self._beats + 1

    def keep(self) -> None:
        """Say it until the end, or until another one has taken over."""
        while not self.lost and not self.ended.wait(self._silence / 4):
            with suppress(CommitConflict, StorageFailed):  # where it stays so, it grows too old
                self.say()

    def require(self) -> None:
        """Refuse to go on where another one has taken over; said lately, nobody can have.

        Raises
        ------
        Busy
        """
        try:
            if self.lost or time.monotonic() - self._said > self._silence / 2:
                self.say()
        except CommitConflict as exc:
            raise _busy(self._store) from exc


@contextmanager
def _collecting(store: Store, silence_seconds: float, *, take_over: bool) -> Iterator[_Note]:
    """Say in the store who is at it, as long as the block lasts."""
    _, tag = store.manifest(COLLECTING) or (b"", None)
    if tag is not None:
        if take_over:
            time.sleep(silence_seconds)
        if not take_over or (store.manifest(COLLECTING) or (b"", ""))[1] != tag:
            raise _busy(store)
    try:
        note = _Note(store, tag, silence_seconds)
    except CommitConflict as exc:
        raise _busy(store) from exc
    keeping = threading.Thread(target=note.keep, daemon=True)
    keeping.start()
    try:
        yield note
    finally:
        note.ended.set()
        keeping.join()
        if not note.lost:
            store.discard(COLLECTING)


def _busy(store: Store) -> Busy:
    note = store.manifest(COLLECTING)
    try:
        who = _who(note[0]) if note else "by one that has just ended"
    except (
        AttributeError,
        LookupError,
        OSError,
        OverflowError,
        RecursionError,
        TypeError,
        ValueError,
    ):
        who = f"as its object {COLLECTING} says, but not by whom: it is not what is written there"
    return Busy(
        f"objects of {store.address} are being taken away, {who}",
        remedy="wait until it has ended, and run the same again; if it was killed, run there or "
        "here: tidemill data gc --yes --take-over, which looks for a minute whether it was",
        path=f"{store.address}/{COLLECTING}",
    )


def _who(note: bytes) -> str:
    """What a note says of who wrote it; many errors where it is no such note."""
    said = json.loads(note)
    since = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(said["since"]))
    host, process = said["host"], int(said["process"])
    if not host.isprintable():
        raise ValueError("no name of a host")
    return f"since {since} by process {process} of {host[:100]}"
