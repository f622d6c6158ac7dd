"""Where bytes are kept: files below a folder, or the objects of a bucket."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["Marking", "ObjectReader", "ObjectWriter", "Store", "StoredObject"]


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What was written: its key in the store, its size in bytes, its SHA-256."""

    key: str
    size: int
    sha256: str


class ObjectWriter(Protocol):
    """An object that is being written."""

    @property
    def stored(self) -> StoredObject:
        """What was written; known once the block of the writer has ended well."""

    def write(self, content: Buffer, /) -> int:
        """Add bytes, and return how many. Memory: a bounded share of the object."""


class ObjectReader(Protocol):
    """A range of an object that is being read, from front to back."""

    def read(self, size: int, /) -> bytes:
        """The next bytes: as many as ``size`` (0 or more), fewer only where the range ends.

        Raises
        ------
        ValueError
            If it is closed, as of a file.
        """


@runtime_checkable
class Store(Protocol):
    """Keeps objects (bytes) by key: all that tidemill asks of a disk or of an object store.

    ``tidemill.testing.stores`` has a test for each of these clauses but *Durable*, which a power
    cut alone would break, and ``tidemill.testing.bad_stores`` a store that breaks it.

    Addresses
        A store is made from its address, a text. Workers are told the address and open the store
        themselves; what was written anywhere before is seen there. A store need not be picklable.
    Keys
        Texts relative to the store: names joined by ``/``, none of them empty, ``.`` or ``..``, of
        what UTF-8 can hold but NUL. Others are a ``UsageError``: no key leaves the store. So are
        names that a store keeps for itself: what it takes it lists. No key is the folder of
        another: who would write such a one gets an error, and what is there stays.
    Whole or absent
        An object is seen when its block has ended well, and then whole, by all; until then, after
        an error in the block, and when the writer is killed, what was there before is seen.
    Content names
        :meth:`write` names an object by what it holds: the same content has the same key, and
        another never. Writing it again does no harm. Such an object never changes.
    Replacing
        Of several writers of one key the last to end wins. A reader gets bytes of one version in
        one call, and in one stream; two calls may get two.
    Copying
        A copy is whole or absent, and costs the caller none of its bytes. What is copied stays.
    Committing
        A manifest is written last, and by compare and swap: of several who expect the same tag one
        wins, and the others get ``CommitConflict`` and leave what is there. To commit what is
        there already is no conflict, so an answer that was lost does no harm. A killed committer
        hinders nobody.
    Durable
        What was written durably, and each commit, is there after a power cut; the rest is there
        after any other end of the writer. A commit is never there without what was durable before.
    Exact ranges
        A range is read exactly: all bytes of it and none besides, or an error.
    In order
        A stream reads a range from front to back through one request, however many its reads;
        several may be open at once. It is closed when its block ends.
    Errors
        What is absent, or shorter than what is asked for, is an ``IntegrityError`` (of a stream, at
        the latest with the read that lacks bytes); whatever the medium refuses (full, unreachable,
        no permission) is a ``StorageFailed``. Both name the store and the key, and have a remedy.
    Listing
        Is for people and for tidying up. No result rests on it: it may be old.
    Bounded
        Only :meth:`read` holds a whole object in memory; a stream holds what a read asks for, and
        a bounded share of the object.
    At once
        Threads and processes may use it at once.
    """

    @property
    def address(self) -> str:
        """What :func:`tidemill.storage.open_store` opens the same store from, elsewhere too."""

    def read(self, key: str) -> bytes:
        """Return an object, whole; for small ones."""

    def read_range(self, key: str, first: int, buffer: Buffer) -> None:
        """Fill ``buffer`` (writable, contiguous) with the bytes of an object from ``first`` on."""

    def stream(self, key: str, first: int, size: int) -> AbstractContextManager[ObjectReader]:
        """Open ``size`` bytes of an object, from ``first`` on, to be read from front to back."""

    def size(self, key: str) -> int | None:
        """The bytes of an object; None where there is none."""

    def sha256(self, key: str) -> str:
        """The SHA-256 of an object, in hexadecimal, from its bytes as they are now."""

    def write(self, folder: str, *, durable: bool = True) -> AbstractContextManager[ObjectWriter]:
        """Write an object below ``folder`` that is named by its content.

        Its key is told when the block ends.
        """

    def replace(self, key: str, *, durable: bool = True) -> AbstractContextManager[ObjectWriter]:
        """Write an object of that key, in the place of what is there."""

    def copy(self, key: str, to: str) -> None:
        """Let the key ``to`` hold what ``key`` holds, in the place of what is there; durable."""

    def manifest(self, key: str) -> tuple[bytes, str] | None:
        """A manifest and its tag, which names this version of it; None where there is none."""

    def commit(self, key: str, content: bytes, *, expected: str | None) -> str:
        """Write a manifest where its tag is still ``expected`` (None: where there is none).

        Returns
        -------
        str
            Its new tag.

        Raises
        ------
        CommitConflict
            If another one is there.
        """

    def list_keys(self, folder: str = "") -> Iterator[str]:
        """Yield the keys of the whole objects below ``folder``, or of all, in order."""

    def discard(self, key: str) -> None:
        """Take away the object of that key, and all below it; nothing there is well too.

        Each object is whole or gone; of several some may go before others.
        """


@runtime_checkable
class Marking(Protocol):
    """A store that tells, without a look at the bytes, whether an object is what it was.

    Of a store without it, objects are hashed.
    """

    def mark(self, key: str, now_ns: int) -> str | None:
        """What an object keeps as long as its bytes stay; None where nothing tells.

        Parameters
        ----------
        key : str
        now_ns : int
            Nanoseconds since 1970. Of what was written just before, a store that goes by times
            tells nothing: the next change might bear the same time.
        """
