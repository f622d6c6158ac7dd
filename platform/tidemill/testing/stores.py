# ruff: noqa: S101 - these are tests
"""What every store must do: inherit :class:`StoreContract` and supply two fixtures.

Nothing here looks at files, so that a store may be a bucket, a database or a service. Other
processes open the store from its address. Of those in ``tidemill.testing.bad_stores`` each breaks
one clause. What is said of ranges and streams stands in ``tidemill.testing.ranges``.
"""

from __future__ import annotations

import gc
import hashlib
import os
import threading
import tracemalloc
from collections.abc import Callable
from functools import partial
from itertools import repeat
from multiprocessing import get_context
from typing import Any

import pytest

from tidemill.contracts import Store, StoredObject
from tidemill.errors import CommitConflict, IntegrityError, StorageFailed, UsageError
from tidemill.storage import Receipts, StoreFolder, open_store
from tidemill.testing.ranges import RangeClauses, kept, streamed

__all__ = ["StoreContract", "kept"]

_MB = 1 << 20
_OUTSIDE = ("", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", "a/..", "a\0b", "\udc80")
_TOGETHER = 8
_RACES = [f"race/{number:02d}".encode() for number in range(12)]


class StoreContract(RangeClauses):
    """The contract of :class:`tidemill.contracts.Store`, a test a clause.

    A subclass named ``Test...`` supplies the fixtures ``store``, an empty one, and ``refusing``,
    one whose medium takes nothing (full, read-only, not there)::

        class TestMyStore(StoreContract):
            @pytest.fixture
            def store(self, tmp_path):
                return MyStore(f"mine://{tmp_path}/store")

            @pytest.fixture
            def refusing(self):
                return MyStore("mine:///proc/store")
    """

    def test_it_is_a_store(self, store: Store) -> None:
        """It has what the protocol names, and its address opens the same one."""
        assert isinstance(store, Store)
        kept(store, "a/b", b"here")
        other = open_store(store.address)
        assert (type(other), other.address) == (type(store), store.address)
        assert other.read("a/b") == b"here"

    def test_what_is_written_is_read(self, store: Store) -> None:
        """All bytes of an object, whatever its parts were; none is an object too."""
        given: dict[str, list[bytes]] = {"a": [b""], "b/c.d": [b"1", b"23"], ".e/f g": []}
        for name, parts in given.items():
            with store.replace(name) as writer:
                for part in parts:
                    assert writer.write(part) == len(part)
            content = b"".join(parts)
            assert writer.stored == StoredObject(name, len(content), _hash(content))
            assert store.read(name) == content
            assert store.size(name) == len(content)
            assert store.sha256(name) == _hash(content)

    def test_content_names_an_object(self, store: Store) -> None:
        """Equal content has one key, below its folder; the key tells the others apart."""
        first, again, other = (kept(store, None, text) for text in (b"one", b"one", b"two"))
        assert first == again == StoredObject(first.key, 3, _hash(b"one"))
        assert first.key != other.key
        assert first.key.startswith("folder/")
        assert [store.read(one.key) for one in (first, other)] == [b"one", b"two"]
        assert sorted(store.list_keys("folder")) == sorted({first.key, other.key})

    def test_what_is_absent_is_told(self, store: Store) -> None:
        """It has no size and is no manifest; to read it is an error with key and remedy."""
        kept(store, "folder/a", b"")
        for key in ("b", "folder", "folder/b"):
            assert store.size(key) is None
            assert store.manifest(key) is None
            for read in (store.read, store.sha256, *_first_bytes(store)):
                with pytest.raises(IntegrityError, match=key) as caught:
                    read(key)
                assert caught.value.remedy

    def test_what_the_medium_refuses_is_told(self, refusing: Store) -> None:
        """With the error that a retry may help, the store, the key and a remedy."""
        commit = partial(refusing.commit, expected=None)
        for write in (partial(kept, refusing), partial(_folder, refusing), commit):
            with pytest.raises(StorageFailed, match="of/mine") as caught:
                write("of/mine", b"1")
            assert refusing.address.partition("://")[2] in caught.value.message
            assert caught.value.remedy

    def test_no_key_is_the_folder_of_another(self, store: Store) -> None:
        """Whichever comes second is refused by its key, and the first stays."""
        kept(store, "one/two", b"1")
        commit = partial(store.commit, expected=None)
        for write in (partial(kept, store), commit, lambda key, _: store.copy("one/two", key)):
            for key in ("one", "one/two/three", "one/two/three/four"):
                with pytest.raises((StorageFailed, UsageError), match=key):
                    write(key, b"2")
        assert [*store.list_keys(), store.read("one/two")] == ["one/two", b"1"]

    def test_no_key_leaves_the_store(self, store: Store) -> None:
        """A key that is none is refused by every method."""
        doors: list[Callable[[str], Any]] = [store.read, store.size, store.sha256, store.manifest]
        doors += [store.discard, *_first_bytes(store), partial(_folder, store)]
        doors.append(partial(kept, store, content=b""))
        doors.append(partial(store.commit, content=b"", expected=""))
        doors.append(partial(store.copy, to="b"))
        doors.append(partial(store.copy, kept(store, "a", b"").key))
        for door in doors:
            for key in _OUTSIDE:
                with pytest.raises(UsageError) as caught:
                    door(key)
                assert caught.value.remedy

    def test_nothing_is_seen_before_the_end(self, store: Store) -> None:
        """While an object is written, what was there is seen."""
        kept(store, "a", b"old")
        with store.replace("a") as one, store.replace("b") as two, store.write("folder") as three:
            for writer in (one, two, three):
                writer.write(b"new" * 100_000)
            assert (store.read("a"), store.size("b")) == (b"old", None)
            assert list(store.list_keys()) == ["a"]
        assert {store.size(writer.stored.key) for writer in (one, two, three)} == {300_000}

    def test_an_error_leaves_nothing(self, store: Store) -> None:
        """After an error in the block what was there stays, and nothing is beside it."""
        kept(store, "a", b"old")
        folder = partial(store.write, "folder")
        for door in (partial(store.replace, "a"), partial(store.replace, "b"), folder):
            with pytest.raises(ZeroDivisionError), door() as writer:
                divmod(writer.write(b"new" * 100_000), 0)
        assert store.read("a") == b"old"
        assert list(store.list_keys()) == ["a"]

    def test_the_last_writer_wins(self, store: Store) -> None:
        """Of two writers of one key the one that ends last."""
        with store.replace("a") as outer:
            outer.write(b"last")
            kept(store, "a", b"first")
        assert store.read("a") == b"last"

    def test_a_copy_is_the_same(self, store: Store) -> None:
        """It holds what was copied, in the place of what was there, and each goes its own way."""
        kept(store, "a/one", b"one")
        kept(store, "b/two", b"two")
        for to in ("b/two", "c/three/four", "a/one too"):
            store.copy("a/one", to)
            assert (store.read("a/one"), store.read(to)) == (b"one", b"one")
        kept(store, "a/one", b"new")
        store.discard("b/two")
        assert (store.read("a/one"), store.read("c/three/four")) == (b"new", b"one")
        with pytest.raises(IntegrityError, match="b/two"):
            store.copy("b/two", "a/one")
        assert store.read("a/one") == b"new"

    def test_a_commit_compares(self, store: Store) -> None:
        """A manifest is replaced where its tag is the one expected, and only there."""
        first = store.commit("m/manifest", b"1", expected=None)
        second = store.commit("m/manifest", b"2", expected=first)
        assert first != second
        assert store.manifest("m/manifest") == (b"2", second)
        for expected in (None, first, "another"):
            with pytest.raises(CommitConflict) as caught:
                store.commit("m/manifest", b"3", expected=expected)
            assert caught.value.remedy
        with pytest.raises(CommitConflict):
            store.commit("m/absent", b"3", expected=first)
        assert store.manifest("m/manifest") == (b"2", second)
        assert store.manifest("m/absent") is None

    def test_a_commit_again_is_no_conflict(self, store: Store) -> None:
        """Whoever lost the answer commits again, and learns the tag."""
        first = store.commit("m", b"1", expected=None)
        assert store.commit("m", b"1", expected=None) == first
        second = store.commit("m", b"2", expected=first)
        assert store.commit("m", b"2", expected=first) == second
        assert store.manifest("m") == (b"2", second)

    def test_one_of_many_commits(self, store: Store) -> None:
        """Of many threads that expect the same tag one wins, and the manifest is its own."""
        tag = store.commit("m", b"none", expected=None)
        for turn in range(3):
            won = _race(store, tag, turn)
            assert len(won) == 1
            content, tag = store.manifest("m") or (b"", "")
            assert content == won[0]

    def test_another_process_takes_part(self, store: Store) -> None:
        """A worker finds what was written, is found, and competes for a commit."""
        kept(store, "given", b"x" * _MB)
        processes = get_context("forkserver")
        gate = processes.Barrier(2)
        worker = processes.Process(target=_take_part, args=(store.address, gate, "there"))
        worker.start()
        _take_part(store.address, gate, "here")
        worker.join()
        assert worker.exitcode == 0
        won = {name: store.read(f"won/{name}").split() for name in ("here", "there")}
        assert sorted(won["here"] + won["there"]) == sorted(_RACES)
        for key in _RACES:
            name, _ = store.manifest(key.decode()) or (b"nobody", "")
            assert key in won[name.decode()]

    def test_a_killed_writer_leaves_nothing(self, store: Store) -> None:
        """Killed between objects and manifest: the objects are there, the manifest is the old."""
        tag = store.commit("m", b"old", expected=None)
        kept(store, "a", b"old")
        worker = get_context("forkserver").Process(target=_die, args=(store.address,))
        worker.start()
        worker.join()
        assert worker.exitcode == 9
        assert store.read("a") == b"old"
        assert store.manifest("m") == (b"old", tag)
        assert [store.sha256(key) for key in store.list_keys("folder")] == [_hash(b"done")]
        assert [key for key in store.list_keys() if not key.startswith("folder/")] == ["a", "m"]
        kept(store, "a", b"new")
        store.commit("m", b"new", expected=tag)

    def test_keys_are_listed_in_order(self, store: Store) -> None:
        """All of the store, or of a folder; of none nothing."""
        assert list(store.list_keys()) == []
        names = ["a", "a-b/c", "a.b", "b/c", "b/c.d/e", "b/d", "bc/d"]
        for name in reversed(names):
            kept(store, name, b"")
        assert list(store.list_keys()) == names
        assert list(store.list_keys("b")) == ["b/c", "b/c.d/e", "b/d"]
        assert list(store.list_keys("c")) == []

    def test_a_discard_takes_all_below(self, store: Store) -> None:
        """An object or a folder, and not its neighbours; once more does no harm."""
        for name in ("a", "b/c", "b/d/e", "bc"):
            kept(store, name, b"1")
        for key, rest in (("none", 4), ("b/d", 3), ("b", 2), ("b", 2), ("a", 1)):
            store.discard(key)
            assert len(list(store.list_keys())) == rest
            assert store.size(key) is None
        assert list(store.list_keys()) == ["bc"]
        kept(store, "b", b"an object now")

    def test_memory_is_bounded(self, store: Store) -> None:
        """What is written in parts, hashed, or read by ranges is never held whole."""
        gc.collect()
        tracemalloc.start()
        try:
            for door in (partial(store.write, "folder"), partial(store.replace, "a")):
                with door() as writer:
                    for part in repeat(bytes(_MB), 16):
                        writer.write(part)
                store.sha256(writer.stored.key)
                store.read_range(writer.stored.key, 9 * _MB, bytearray(_MB))
            assert tracemalloc.get_traced_memory()[1] < 8 * _MB
        finally:
            tracemalloc.stop()

    def test_threads_may_use_it_at_once(self, store: Store) -> None:
        """Threads that write and read their own objects do not meet."""
        found: dict[int, bytes] = {}

        def work(number: int) -> None:
            for turn in range(4):
                key = None if turn % 2 else f"own/{number}"
                one = kept(store, key, bytes([number]) * 70_000)
                found[number] = store.read(key or one.key)

        _together([partial(work, number) for number in range(_TOGETHER)])
        assert found == {number: bytes([number]) * 70_000 for number in range(_TOGETHER)}

    def test_receipts_tell_what_is_finished(self, store: Store) -> None:
        """A work is finished by its own key, while its objects are what it left."""
        receipts = Receipts(StoreFolder(store.address, "work"))
        assert receipts.done("one", "k") is None
        left = kept(store, "work/one.x", b"12")
        receipts.finish("one", {"rows": 3}, {"one.x": left.sha256}, key="k")
        assert receipts.done("one", "k") == {"rows": 3}
        assert receipts.done("one", "other") is None
        kept(store, "work/one.x", b"13")
        assert receipts.done("one", "k") is None
        assert store.size("work/one.json") is None
        assert receipts.made_anew("works")[0].startswith("1 works in ")
        assert receipts.made_anew("works") == ()


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _first_bytes(store: Store) -> tuple[Callable[[str], Any], ...]:
    """Two ways to the first byte of an object."""
    return lambda key: store.read_range(key, 0, bytearray(1)), lambda key: streamed(
        store, key, 0, 1
    )


def _folder(store: Store, key: str, content: bytes = b"") -> None:
    with store.write(key) as writer:
        writer.write(content)


def _together(works: list[Callable[[], None]]) -> None:
    """Run all at once, and raise the first error of any."""
    gate, errors = threading.Barrier(len(works)), []

    def run(work: Callable[[], None]) -> None:
        try:
            gate.wait()
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def _race(store: Store, tag: str, turn: int) -> list[bytes]:
    """The contents of those who thought that they committed."""
    won: list[bytes] = []

    def commit(number: int) -> None:
        content = f"{turn} {number}".encode()
        try:
            store.commit("m", content, expected=tag)
        except CommitConflict:
            return
        won.append(content)

    _together([partial(commit, number) for number in range(_TOGETHER)])
    return won


def _take_part(address: str, gate: Any, name: str) -> None:
    store = open_store(address)
    won = []
    gate.wait(60)
    assert store.size("given") == _MB
    for key in _RACES:
        try:
            store.commit(key.decode(), name.encode(), expected=None)
        except CommitConflict:
            continue
        won.append(key)
    kept(store, f"won/{name}", b" ".join(won))


def _die(address: str) -> None:
    """Write an object, and be gone in the midst of two others, before the manifest."""
    store = open_store(address)
    kept(store, None, b"done")
    with store.replace("a") as one, store.write("folder") as two:
        for writer in (one, two):
            writer.write(b"half" * 100_000)
        os._exit(9)
