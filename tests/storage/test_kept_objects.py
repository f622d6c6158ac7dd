"""What tells that an object is what it was: a mark, where the store gives one, or its bytes."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from tidemill.contracts import Store
from tidemill.errors import IntegrityError
from tidemill.storage import KeptObject, open_store
from tidemill.testing.opens import opened_files
from tidemill.testing.ranges import kept

SECOND = 1_000_000_000
SHA256 = hashlib.sha256(b"as it was").hexdigest()


def written(address: str, key: str = "a") -> Store:
    """A store that holds an object."""
    store = open_store(address)
    kept(store, key, b"as it was")
    return store


def test_a_file_has_no_mark_before_it_is_settled(tmp_path: Path) -> None:
    """A disk may tell times in seconds: a change at once, of the same size, would have the same."""
    store = written(str(tmp_path))
    then = (tmp_path / "a").stat().st_mtime_ns
    assert KeptObject.of(store, "a", then + SECOND).mark is None
    assert KeptObject.of(store, "a", then + 3 * SECOND).mark is not None
    assert KeptObject.of(store, "none", then + 3 * SECOND).mark is None


def test_what_is_marked_is_not_read(tmp_path: Path) -> None:
    """Though linked just now; once something is done to it its bytes count."""
    store = written(str(tmp_path))
    os.utime(tmp_path / "a", (time.time() - 9,) * 2)
    store.copy("a", "b")
    found = KeptObject.of(store, "a", time.time_ns())
    with opened_files() as opened:
        assert found.is_whole(store, SHA256)
    assert opened == []
    (tmp_path / "a").touch()
    with opened_files() as opened:
        assert found.is_whole(store, SHA256)
    assert [Path(path).name for path, _ in opened] == ["a"]
    (tmp_path / "a").write_bytes(b"as it IS.")
    assert not found.is_whole(store, SHA256)
    store.discard("a")
    with pytest.raises(IntegrityError, match="is missing"):
        found.is_whole(store, SHA256)


def test_a_store_without_marks_is_read(outside: None, tmp_path: Path) -> None:
    """Whatever lies there is compared with its hash."""
    store = written(f"sqlite://{tmp_path}/store")
    found = KeptObject.of(store, "a", time.time_ns())
    assert found.mark is None
    assert found.is_whole(store, SHA256)
    kept(store, "a", b"as it IS.")
    assert not found.is_whole(store, SHA256)


@pytest.mark.slow
def test_a_bucket_marks_by_bytes(moto: str, new_bucket) -> None:
    """At once, and the same for the same bytes; of a large object too, which comes in parts."""
    store = open_store(f"s3://{new_bucket(moto)}/lake")
    for content, other in ((b"as it was", b"as it IS."), (bytes(9 << 20), bytes(9 << 20)[1:])):
        kept(store, "a", content)
        found = KeptObject.of(store, "a", 0)
        assert found.mark
        kept(store, "a", content)
        assert KeptObject.of(store, "a", 0) == found
        assert found.is_whole(store, "no hash: nothing is read")
        kept(store, "a", other)
        assert not found.is_whole(store, hashlib.sha256(content).hexdigest())
    assert KeptObject.of(store, "none", 0).mark is None
