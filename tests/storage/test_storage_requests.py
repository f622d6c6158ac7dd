"""What passes between us and a bucket: no more than is asked for; if it breaks, nothing is lost."""

from __future__ import annotations

import hashlib
import json
import threading

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.ingestion.test_ingestion_arrival import run, write, written

from tidemill.errors import CommitConflict, IntegrityError, StorageFailed
from tidemill.storage import (
    BlockWriter,
    ObjectFile,
    PublishedNames,
    StoreFolder,
    open_store,
    read_blocks,
)
from tidemill.storage.object_store import ObjectStore
from tidemill.testing.ranges import kept, streamed

pytestmark = pytest.mark.slow

CONTENT = np.random.default_rng(1).bytes(3 << 20)
LARGE = CONTENT * 6  # more than one part of an upload
TIMES = 1_000


@pytest.fixture
def proxy(moto_proxy):
    """It breaks nothing and has seen nothing."""
    moto_proxy.mends()
    return moto_proxy


@pytest.fixture
def store(proxy, moto_server, new_bucket):
    """A bucket behind the proxy, of a second's patience."""
    return ObjectStore(f"s3://{new_bucket(moto_server)}/lake", patience_seconds=1)


def ranged(store, key, first, size):
    """A range, read at once."""
    buffer = bytearray(size)
    store.read_range(key, first, buffer)
    return bytes(buffer)


@pytest.mark.parametrize("fault", ["error", "hung", "lost", "torn"])
def test_a_read_that_breaks_off_goes_on(fault, store, proxy):
    """Once broken, each kind of read gives the bytes that are there, in a request more."""
    kept(store, "a", CONTENT)
    reads = {
        "read": (lambda: store.read("a"), CONTENT),
        "range": (lambda: ranged(store, "a", 1000, 1 << 20), CONTENT[1000 : 1000 + (1 << 20)]),
        "stream": (lambda: streamed(store, "a", 5, 2 << 20), CONTENT[5 : 5 + (2 << 20)]),
        "sha256": (lambda: store.sha256("a"), hashlib.sha256(CONTENT).hexdigest()),
    }
    for name, (read, expected) in reads.items():
        proxy.mends()
        proxy.breaks(fault, "GET", pause=1)
        assert read() == expected, name
        assert [one.fault for one in proxy.passed] == [fault, None], name


@pytest.mark.parametrize("fault", ["error", "hung", "lost", "torn"])
def test_a_note_is_asked_for_again(fault, store, proxy):
    """Its content where there is one, and that there is none where the answer to that breaks."""
    kept(store, "a", b"said")
    for key, expected in (("a", b"said"), ("none", None)):
        proxy.mends()
        proxy.breaks(fault, "GET", pause=1)
        found = store.manifest(key)
        assert (found and found[0]) == expected
        assert [one.fault for one in proxy.passed][:2] == [fault, None]


@pytest.mark.parametrize("fault", ["error", "hung", "lost", "torn"])
def test_listings_copies_and_deletions_go_on_too(fault, store, proxy):
    """Each key is listed once, and all of a folder are taken away, in some requests more."""
    keys = [f"f/{number:02}" for number in range(9)]
    for key in keys:
        kept(store, key, b"1")
    works = {
        "GET": lambda: list(store.list_keys("f")),
        "PUT": lambda: store.copy(keys[0], "copy"),
        "POST": lambda: store.discard("f"),
    }
    for method, work in works.items():
        proxy.mends()
        proxy.breaks(fault, method, pause=1)
        found = work()
        assert [one.fault for one in proxy.passed if one.method == method][:2] == [fault, None]
        assert found in (None, keys)
    assert (list(store.list_keys()), store.read("copy")) == (["copy"], b"1")


def test_a_slow_answer_is_waited_for(store, proxy):
    """However long it is: patience is for silence."""
    kept(store, "a", CONTENT)
    proxy.mends()
    proxy.breaks("slow", "GET", pause=0.2)
    assert store.read("a") == CONTENT
    assert [one.size for one in proxy.passed] == [len(CONTENT)]


def test_what_changed_meanwhile_is_not_joined_to_what_broke_off(store, proxy):
    """A read that goes on in another version is an error; the next reads that version."""
    kept(store, "a", CONTENT)
    proxy.breaks("torn", "GET", "/a")
    with store.stream("a", 0, len(CONTENT)) as reader:
        begun = reader.read(9)
        kept(store, "a", bytes(len(CONTENT)))
        with pytest.raises(StorageFailed, match="lake/a"):
            reader.read(len(CONTENT))
    assert begun == CONTENT[:9]
    assert store.read("a") == bytes(len(CONTENT))


@pytest.mark.parametrize("fault", ["error", "hung", "lost", "torn"])
def test_a_commit_is_known_as_ours(fault, store, proxy):
    """Whatever became of the answer: it is told with its tag, and once."""
    tag = None
    for content in (b"1", b"2"):
        proxy.breaks(fault, "PUT", pause=1)
        new = store.commit("m", content, expected=tag)
        assert store.manifest("m") == (content, new)
        assert new != tag
        tag = new
    taken = [one for one in proxy.passed if one.method == "PUT" and one.status == 200]
    assert len(taken) == 2


def test_a_commit_without_any_answer_is_known_when_it_comes_again(store, proxy):
    """Neither it nor the look at what is there was answered: a failure, and no conflict later."""
    tag = store.commit("m", b"1", expected=None)
    proxy.breaks("lost", "PUT", times=TIMES)
    proxy.breaks("lost", "GET", times=TIMES)
    with pytest.raises(StorageFailed, match="lake/m") as caught:
        store.commit("m", b"2", expected=tag)
    assert caught.value.remedy
    proxy.mends()
    assert store.manifest("m") == (b"2", store.commit("m", b"2", expected=tag))


def test_a_server_that_comes_back_in_time_is_waited_for(store, proxy):
    """Patience is of seconds, however often it fails in them."""
    patient = ObjectStore(store.address, patience_seconds=20)
    proxy.breaks("error", "PUT", times=14)
    kept(patient, "a", b"1")
    assert store.read("a") == b"1"


def test_what_fails_for_long_leaves_what_was_there(store, proxy):
    """A server of nothing but 500s: a failure that says so; then the same works."""
    kept(store, "a", b"old")
    tag = store.commit("m", b"old", expected=None)
    proxy.breaks("error", "PUT", times=TIMES)
    proxy.breaks("error", "POST", times=TIMES)
    works = {
        "a": lambda: kept(store, "a", b"new"),
        "large": lambda: kept(store, "large", LARGE),
        "m": lambda: store.commit("m", b"new", expected=tag),
    }
    for key, work in works.items():
        with pytest.raises(StorageFailed, match=f"lake/{key}.*InternalError"):
            work()
    proxy.mends()
    assert list(store.list_keys()) == ["a", "m"]
    assert (store.read("a"), store.manifest("m")) == (b"old", (b"old", tag))
    store = ObjectStore(store.address, patience_seconds=20)
    for work in works.values():
        work()
    assert store.sha256("large") == hashlib.sha256(LARGE).hexdigest()


def test_names_are_not_taken_for_answers(store, proxy):
    """Whatever a key holds, a refusal is one, and what is missing is missing."""
    for key in ("416", "Range", "status code: 416", "NoSuchBucket"):
        with pytest.raises(IntegrityError, match="is missing"):
            store.read(key)
        proxy.breaks("expired", "GET")
        with pytest.raises(StorageFailed, match="ExpiredToken"):
            store.read(key)


@pytest.mark.parametrize("then", [None, "gone"])
def test_a_large_object_is_whole_although_its_end_was_not_answered(then, store, proxy):
    """Asked again, a server puts it together again, or knows of no such upload any more."""
    store = ObjectStore(store.address, patience_seconds=20)
    proxy.breaks("lost", "POST", "uploadId=")
    if then:
        proxy.breaks(then, "POST", "uploadId=")
    assert kept(store, "large", LARGE).size == len(LARGE)
    assert store.sha256("large") == hashlib.sha256(LARGE).hexdigest()
    assert list(store.list_keys()) == ["large"]


def test_credentials_that_expire_lose_nothing(store, proxy):
    """In the midst of anything: the server's word for it is told, and the same works later."""
    kept(store, "a", LARGE)
    tag = store.commit("m", b"old", expected=None)
    works = {
        ("PUT", "a"): lambda: kept(store, "a", LARGE[1:]),
        ("PUT", "m"): lambda: store.commit("m", b"new", expected=tag),
        ("GET", "a"): lambda: store.sha256("a"),
        ("HEAD", "b"): lambda: store.size("b"),
    }
    for (method, key), work in works.items():
        # Of an upload the first part is taken.
        part = f"/{key}?partNumber=2" if (method, key) == ("PUT", "a") else f"/{key}"
        proxy.breaks("expired", method, part)
        with pytest.raises(StorageFailed, match=f"lake/{key}") as caught:
            work()
        assert method == "HEAD" or "ExpiredToken" in caught.value.message
        assert "credentials" in caught.value.remedy
        assert "mill-secret" not in str(caught.value)
    assert list(store.list_keys()) == ["a", "m"]
    assert store.sha256("a") == hashlib.sha256(LARGE).hexdigest()
    assert store.manifest("m") == (b"old", tag)
    for work in works.values():
        work()
    assert store.sha256("a") == hashlib.sha256(LARGE[1:]).hexdigest()


def test_a_table_that_cannot_be_reached_is_not_called_damaged(store, proxy):
    """Parquet's reader lets the store's own error through."""
    rows = pa.record_batch({"x": pa.array(range(20))})
    with store.replace("table") as file, BlockWriter(file, rows.schema, block_rows=10) as writer:
        writer.write(rows)
    opened = ObjectFile(store, "table")
    proxy.breaks("expired", "GET")
    with pytest.raises(StorageFailed, match="ExpiredToken"):
        list(read_blocks(opened))


def test_no_version_is_lost_or_of_nobody(store, proxy):
    """Writers whose commits go unanswered: each is told in the end, and its entry is there once."""
    proxy.breaks("lost", "PUT", "/m", times=6)
    store.commit("m", b"[]", expected=None)
    gate = threading.Barrier(4)

    def enter(name):
        gate.wait()
        for number in range(5):
            while True:
                content, tag = store.manifest("m")
                entries = json.loads(content)
                entry = f"{name}{number}"
                if entry in entries:  # a conflict may be with what was built upon ours
                    break
                try:
                    store.commit("m", json.dumps([*entries, entry]).encode(), expected=tag)
                    break
                except CommitConflict:
                    continue

    threads = [threading.Thread(target=enter, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entries = json.loads(store.manifest("m")[0])
    assert sorted(entries) == [f"{name}{number}" for name in "abcd" for number in range(5)]
    taken = [one for one in proxy.passed if one.method == "PUT" and one.status == 200]
    assert len(taken) == 1 + len(entries)


def test_some_columns_cost_their_own_bytes(moto_server, proxy, new_bucket):
    """Of 10 columns 2 are read: a request for the size, the footer, and each stretch of theirs.

    Counted where the requests pass.
    """
    folder = StoreFolder(f"s3://{new_bucket(moto_server)}/lake", "shards")
    rng = np.random.default_rng(1)
    table = pa.table({f"c{column}": rng.normal(size=200_000) for column in range(10)})
    with (
        open_store(folder.store).replace(folder.key("rows")) as file,
        BlockWriter(file, table.schema, block_rows=50_000) as writer,
    ):
        writer.write(table)
    proxy.mends()
    found = pa.concat_tables(read_blocks(folder.file("rows"), columns=["c3", "c7"]))
    passed = list(proxy.passed)
    assert found.equals(table.select(["c3", "c7"]))
    assert [one.method for one in passed if one.method != "GET"] == ["HEAD"]
    gets = [one for one in passed if one.method == "GET"]
    assert len(gets) == 1 + 2 * 4
    assert all(one.range and one.status == 206 for one in gets)
    groups = pq.read_metadata(folder.file("rows"))
    stretches = [
        groups.row_group(block).column(column).total_compressed_size
        for block in range(4)
        for column in (3, 7)
    ]
    assert sorted(one.size for one in gets) == sorted([*stretches, 64 << 10])


def test_of_scans_that_are_kept_no_row_is_sent(store, proxy, tmp_path):
    """A file more costs its own rows: of what was published only the heads are asked for."""
    work = StoreFolder(store.address, "work/one/scans", "one")
    seen, now = (written(tmp_path / name, 4) for name in ("seen", "now"))
    run(now, seen, work=work)
    write(now, "0004.csv", 4)
    proxy.mends()
    assert run(now, seen, work=work).splits_scanned == 1
    rows = [one for one in proxy.passed if "/objects/" in one.path or "/parts/" in one.path]
    assert {one.method for one in rows} >= {"HEAD", "PUT"}
    assert not [one for one in rows if one.method == "GET" and "?" not in one.path]
    parts = PublishedNames.read(now / "validated").names
    assert len([name for name in parts if name.startswith("part-")]) == 5
