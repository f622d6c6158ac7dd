"""Objects that nobody needs any more are taken away, and no others."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
from contextlib import suppress

import pytest

from tidemill.errors import Busy, CommitConflict, IntegrityError
from tidemill.storage import (
    Leftovers,
    StoreFolder,
    Workspace,
    collect,
    find_leftovers,
    open_store,
    publish,
    take_inventory,
)
from tidemill.storage.claims import COLLECTING, _collecting, wait_for_collector


@pytest.fixture
def address(tmp_path) -> str:
    """A store that two workspaces share."""
    return f"file://{tmp_path}/store"


@pytest.fixture
def one(tmp_path, address) -> Workspace:
    """A workspace."""
    return Workspace(tmp_path / "one", address)


@pytest.fixture
def two(tmp_path, address) -> Workspace:
    """Another one."""
    return Workspace(tmp_path / "two", address)


def published(workspace: Workspace, *contents: bytes) -> str:
    """Publish objects as the workspace's shards; the hash of the contents."""
    folder = workspace.stored(workspace.work("shard", "k"))
    named = {}
    for content in contents:
        with open_store(folder.store).replace(folder.key(content.decode())) as file:
            file.write(content)
        named[content.decode()] = (folder, content.decode(), _digest(content))
    publish(workspace.shards, named, {"manifest.json": b"{}"})
    workspace.discard(workspace.work("shard", "k"))
    return workspace.stored(workspace.shards).contents


def readable(workspace: Workspace, contents: str) -> dict[str, bytes]:
    """All objects of a version."""
    folder = StoreFolder(workspace.store(), "", workspace.name(), contents)
    return {name: folder.file(name).readall() for name in folder.names()}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_what_no_version_needs_goes(one, address):
    """The claim, the list of names, and the objects that no other version has."""
    old, new = published(one, b"a", b"b"), published(one, b"b", b"c")
    before = set(open_store(address).list_keys("objects"))
    found = find_leftovers(address, {one.name()}, {new})
    assert set(open_store(address).list_keys("objects")) == before
    assert collect(address, {one.name()}, {new}) == found
    assert found.claims == (f"claims/{one.name()}/{old}",)
    assert set(found.objects) == {f"objects/{_digest(b'a')}", f"objects/{old}"}
    assert readable(one, new) == {"b": b"b", "c": b"c", "manifest.json": b"{}"}
    assert take_inventory(address).claims == {one.name(): {new}}
    assert collect(address, {one.name()}, {new}).objects == ()


def test_what_another_workspace_claims_stays(one, two, address):
    """Whatever this one's versions need."""
    ours, theirs = published(one, b"a", b"b"), published(two, b"b")
    collect(address, {one.name()}, ())
    assert readable(two, theirs) == {"b": b"b", "manifest.json": b"{}"}
    assert open_store(address).size(f"objects/{_digest(b'a')}") is None
    collect(address, {two.name()}, {ours})
    assert list(open_store(address).list_keys()) == []


def test_a_damaged_claim_takes_nothing_away(one, two, address):
    """What it names is not known, where the object of its content is damaged too."""
    published(one, b"a")
    theirs = published(two, b"b")
    damage(address, f"claims/{two.name()}/{theirs}", f"objects/{theirs}")
    before = list(open_store(address).list_keys())
    with pytest.raises(IntegrityError, match=theirs[:12]):
        collect(address, {one.name()}, ())
    assert list(open_store(address).list_keys()) == before


@pytest.mark.parametrize("damaged", ["claims/{}/{}", "objects/{1}"])
def test_a_claim_and_the_object_of_its_content_say_the_same(one, two, address, damaged):
    """Where one of them is damaged the other one tells what stays."""
    published(one, b"a")
    theirs = published(two, b"b")
    damage(address, damaged.format(two.name(), theirs))
    assert len(collect(address, {one.name()}, ()).objects) == 2
    assert open_store(address).size(f"objects/{_digest(b'b')}")


def damage(address: str, *keys: str) -> None:
    """Let there be something else."""
    for key in keys:
        with open_store(address).replace(key) as file:
            file.write(b"{}")


@pytest.mark.slow
def test_a_publisher_may_be_killed_anywhere(one, two, address, crash_points):
    """Another one's gc goes on, says which claim is not published yet, and takes nothing of it."""
    folder, named, unfinished = two.stored(two.work("shard", "k")), {}, set()

    def prepare():
        names = ("b", f"c{time.monotonic_ns()}")  # a version that nobody has read before
        named.clear()
        named.update({name: (folder, name, _digest(name.encode())) for name in names})
        for key in ("objects", "claims"):
            open_store(address).discard(key)
        shutil.rmtree(two.shards, ignore_errors=True)
        published(one, b"a", b"b")
        for name in named:
            with open_store(address).replace(folder.key(name)) as file:
                file.write(name.encode())

    def action():
        publish(two.shards, named, {"manifest.json": b"{}"})

    def check():
        found = collect(address, {one.name()}, ())
        unfinished.update(found.unfinished)
        assert open_store(address).size(f"objects/{_digest(b'a')}") is None
        action()
        theirs = two.stored(two.shards).contents
        contents = {name: name.encode() for name in named}
        assert readable(two, theirs) == {**contents, "manifest.json": b"{}"}
        assert collect(address, {one.name()}, ()) == Leftovers((), ())
        assert found.unfinished in ((), (f"claims/{two.name()}/{theirs}",))

    assert crash_points(prepare, action, check) > 20
    assert unfinished


def test_one_collects_at_a_time(one, address):
    """The other is told who; what a killed one left is taken over when it is asked for."""
    published(one, b"a")
    open_store(address).commit(
        COLLECTING, b'{"host": "h", "process": 7, "since": 1}', expected=None
    )
    with pytest.raises(Busy, match="process 7 of h") as caught:
        collect(address, {one.name()}, ())
    assert "--take-over" in caught.value.remedy
    with pytest.raises(Busy):
        wait_for_collector(open_store(address), seconds=0)
    assert collect(address, {one.name()}, (), take_over=True, silence_seconds=0.1).claims
    assert list(open_store(address).list_keys()) == []


@pytest.mark.parametrize(
    "note",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b'{"since": 1e300, "host": "h", "process": 7}',
        b'{"host": "a\\u001b[2J", "process": 7, "since": 1}',
        b'{"remedy": 1, "host": 2}',
    ],
    ids=lambda note: repr(note[:12]),
)
def test_a_note_that_nobody_has_written_is_told_and_taken_over(one, address, note):
    """Who collects or publishes is told what to do, and it helps."""
    published(one, b"a")
    store = open_store(address)
    store.commit(COLLECTING, note, expected=None)
    for busy in (lambda: collect(address, (), ()), lambda: wait_for_collector(store, seconds=0)):
        with pytest.raises(Busy, match="not by whom") as caught:
            busy()
        assert "--take-over" in caught.value.remedy
    assert collect(address, {one.name()}, (), take_over=True, silence_seconds=0.1).claims
    assert list(store.list_keys()) == []


STRANGE = [
    "claims/README",
    "claims/old/README",
    f"claims/old/deep/{'0' * 64}",
    "objects/README",
    f"objects/deep/{'0' * 64}",
]


def test_keys_of_others_are_told_and_stay(one, address):
    """They are no workspaces and no objects: passed over by the list and by what is taken away."""
    contents, store = published(one, b"a"), open_store(address)
    for key in STRANGE:
        with store.replace(key) as file:
            file.write(b"hi")
    found = take_inventory(address)
    assert (found.claims, found.strange) == ({one.name(): {contents}}, tuple(STRANGE))
    assert found.objects == {contents, _digest(b"a"), _digest(b"{}")}
    assert find_leftovers(address, {one.name()}, {contents}) == Leftovers((), (), (), found.strange)
    assert collect(address, {one.name()}, ()).strange == found.strange
    assert list(store.list_keys()) == STRANGE


def test_who_lives_is_not_taken_over(one, address):
    """It says so again and again, whatever takes long; the other is told that it is at it."""
    published(one, b"a")
    store = open_store(address)
    with _collecting(store, 2, take_over=False) as note:
        with pytest.raises(Busy, match=f"process {os.getpid()} "):
            collect(address, {one.name()}, (), take_over=True, silence_seconds=2)
        note.require()
        assert store.size(COLLECTING)
    assert store.size(COLLECTING) is None
    assert take_inventory(address).claims.keys() == {one.name()}


def test_who_was_taken_over_takes_no_more_away(one, address):
    """The other's note stays. One that was silent for long asks before it goes on."""
    published(one, b"a")
    store = open_store(address)
    theirs = b'{"host": "h", "process": 7, "since": 1}'
    with _collecting(store, 0.4, take_over=False) as note:
        while store.manifest(COLLECTING)[0] != theirs:
            with suppress(CommitConflict):
                store.commit(COLLECTING, theirs, expected=store.manifest(COLLECTING)[1])
        ends = time.monotonic() + 60
        while not note.lost and time.monotonic() < ends:
            time.sleep(0.01)
        with pytest.raises(Busy, match="process 7 of h"):
            note.require()
    assert store.manifest(COLLECTING)[0] == theirs
    store.discard(COLLECTING)
    with _collecting(store, 1e6, take_over=False) as note:
        said = store.manifest(COLLECTING)
        note.require()
        assert store.manifest(COLLECTING) == said
        note._said -= 1e6  # as after a night in which the machine slept
        note.require()
        assert store.manifest(COLLECTING) != said


def test_who_publishes_meanwhile_loses_nothing(one, two, address):
    """An object that goes between its copy and its claim is put there again, after the wait."""
    old = published(one, b"a", b"b")
    store = open_store(address)
    store.commit(COLLECTING, b"{}", expected=None)
    waiting = threading.Thread(target=published, args=(two, b"a"))
    waiting.start()
    while two.name() not in take_inventory(address).claims:
        time.sleep(0.01)
    assert waiting.is_alive()
    # The collector looked before that claim.
    for key in (f"objects/{_digest(b'a')}", f"objects/{old}", f"objects/{_digest(b'{}')}"):
        store.discard(key)
    store.discard(COLLECTING)
    waiting.join()
    theirs = two.stored(two.shards).contents
    assert readable(two, theirs) == {"a": b"a", "manifest.json": b"{}"}
