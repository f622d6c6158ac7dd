"""The contract of stores: ours and another package's keep it, each bad one fails its clause."""

from __future__ import annotations

import os
import resource
import textwrap
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tidemill.errors import (
    CommitConflict,
    DependencyMissing,
    IntegrityError,
    StorageFailed,
    UsageError,
)
from tidemill.storage import (
    BlockWriter,
    ObjectFile,
    open_store,
    read_blocks,
    write_bytes,
)
from tidemill.storage.object_store import ObjectStore
from tidemill.storage.posix import PosixStore
from tidemill.store_schemes import STORES
from tidemill.testing.bad_stores import BAD_STORES, bad_store
from tidemill.testing.stores import StoreContract, kept

RECIPE = Path(__file__).parents[2] / "CONTRIBUTING.md"

_FAILURES = (AssertionError, pytest.fail.Exception, OSError, IntegrityError, CommitConflict)


class TestPosixStore(StoreContract):
    """The store of a folder keeps the contract."""

    @pytest.fixture
    def store(self, tmp_path):
        return open_store(f"file://{tmp_path}/store")

    @pytest.fixture
    def refusing(self, tmp_path):
        (tmp_path / "file").write_text("")
        return open_store(str(tmp_path / "file" / "store"))


def recipe(block=0):
    """What a block of the recipe for a store defines, by name."""
    text = RECIPE.read_text().partition("## A store")[2].partition("\n## ")[0]
    defined: dict[str, Any] = {}
    code = text.split("```python\n")[1 + block].partition("\n   ```")[0]
    exec(textwrap.dedent(code), defined)
    return defined


@pytest.mark.usefixtures("outside")
class TestRecipe(recipe()["TestSqliteStore"]):
    """The store of another package, opened by its entry point's name, keeps the contract."""


@pytest.mark.usefixtures("outside")
def test_the_recipe_can_be_tried(tmp_path, monkeypatch, capsys):
    """By the store's address, without an entry point."""
    monkeypatch.chdir(tmp_path)
    recipe(block=1)
    assert capsys.readouterr().out == "b'one'\n"


@pytest.mark.parametrize("name", [f".a.{'0f' * 16}.tmp", f".a.b.{'0f' * 16}.old"])
def test_a_name_of_what_is_being_written_is_no_key(tmp_path, name):
    """It would be kept and never listed, so it is refused; names that are only alike are listed."""
    store = open_store(f"file://{tmp_path}/store")
    for key in (name, f"folder/{name}", f"{name}/a"):
        with pytest.raises(UsageError, match="while they are written") as caught:
            kept(store, key, b"1")
        assert "a name that does not end in" in caught.value.remedy
    for near in (name[1:], name[:-1], name.replace("f", "g", 1)):
        kept(store, near, b"1")
    assert len(list(store.list_keys())) == 3


def test_a_link_that_leads_upward_is_not_followed(tmp_path):
    """What lies behind it is listed under its own name already; other links are followed."""
    store = open_store(f"file://{tmp_path}/store")
    kept(store, "a/b/c", b"1")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "d").write_bytes(b"2")
    (tmp_path / "store" / "a" / "b" / "up").symlink_to(tmp_path / "store")
    (tmp_path / "store" / "a" / "out").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "round").symlink_to(tmp_path / "store" / "a")
    assert list(store.list_keys()) == ["a/b/c", "a/out/d"]
    assert list(store.list_keys("a/b")) == ["a/b/c", "a/b/up/a/out/d"]


def test_a_full_disk_is_told(tmp_path):
    """With the store and the key, whatever was written; and nothing is left."""
    store, limits = (
        open_store(f"file://{tmp_path}/store"),
        resource.getrlimit(resource.RLIMIT_FSIZE),
    )
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        for write in (partial(kept, store), partial(store.commit, expected=None)):
            with pytest.raises(StorageFailed, match=f"^{tmp_path}/store/of/mine: ") as caught:
                write("of/mine", bytes(1 << 20))
            assert caught.value.remedy
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(store.list_keys()) == []


def test_every_clause_has_a_bad_store():
    """No test of the suite stands without a store that must fail it."""
    clauses = {name for name in dir(StoreContract) if name.startswith("test_")}
    assert clauses == set(BAD_STORES)


@pytest.mark.parametrize("clause", BAD_STORES)
def test_a_bad_store_fails(clause, tmp_path):
    """Whoever breaks a clause fails the test of that clause."""
    (tmp_path / "file").write_text("")
    place = "file/store" if "refuses" in clause else "store"
    with pytest.raises(_FAILURES):
        getattr(StoreContract(), clause)(bad_store(clause, tmp_path / place))


def test_a_folder_is_the_default(outside, tmp_path):
    """A path is a folder's store; a module and name open what they lead to."""
    assert STORES.ours() == [PosixStore, ObjectStore]
    assert isinstance(open_store(str(tmp_path)), PosixStore)
    other = open_store(f"tidemill_sqlite:SqliteStore://{tmp_path}/store.db")
    assert type(other).__name__ == "SqliteStore"


@pytest.mark.parametrize("scheme", ["file", "sqlite"])
def test_blocks_have_the_bytes_of_a_file(outside, tmp_path, scheme):
    """Parquet goes into any store as it goes to a disk, and comes out of it."""
    table = pa.table({"x": np.arange(700.0), "c": pa.array(["a", "b"] * 350).dictionary_encode()})
    with BlockWriter(tmp_path / "file", table.schema, block_rows=300) as writer:
        writer.write(table)
    store = open_store(f"{scheme}://{tmp_path}/store")
    with store.write("parts") as kept, BlockWriter(kept, table.schema, block_rows=300) as other:
        other.write(table)
    assert store.read(kept.stored.key) == (tmp_path / "file").read_bytes()
    assert replace(other.close(), path="file") == writer.close()
    file = ObjectFile(store, kept.stored.key)
    assert [t.num_rows for t in read_blocks(file, columns=["c"])] == [300, 300, 100]
    assert pa.concat_tables(read_blocks(file)).combine_chunks().equals(table)


@pytest.mark.parametrize("scheme", ["file", "sqlite"])
def test_blocks_that_fail_leave_no_object(outside, tmp_path, scheme):
    """What stops the writer of blocks stops the object, whatever it was."""
    table = pa.table({"x": np.arange(700.0)})
    store = open_store(f"{scheme}://{tmp_path}/store")
    with pytest.raises(ZeroDivisionError), store.write("parts") as kept:
        _fail_in(BlockWriter(kept, table.schema, block_rows=300), table)
    assert list(store.list_keys()) == []


def test_two_of_ten_columns_are_two_of_ten_columns_to_read(tmp_path):
    """Ranges are those of the columns and the footer: bytes counted."""
    table = pa.table({f"c{n}": np.random.default_rng(n).normal(size=50_000) for n in range(10)})
    store = _Counted(str(tmp_path))
    with store.replace("a") as kept, BlockWriter(kept, table.schema, block_rows=50_000) as writer:
        writer.write(table)
    whole = store.size("a")
    for _ in read_blocks(ObjectFile(store, "a"), columns=["c3", "c8"]):
        pass
    assert 0.19 * whole < sum(store.taken) < 0.25 * whole


class _Counted(PosixStore):
    """Knows the bytes of each range that was read."""

    def __init__(self, address):
        super().__init__(address)
        self.taken = []

    def read_range(self, key, first, buffer):
        self.taken.append(len(buffer))
        super().read_range(key, first, buffer)


def _fail_in(writer, table):
    with writer:
        writer.write(table)
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("sqlit:///a", "did you mean 'sqlite'"),
        ("none_such:Store:///a", "there is nothing"),
        ("pathlib:Path:///a", "is no store: it lacks read"),
        ("relative/folder", "no absolute path"),
        ("file://relative", "no absolute path"),
    ],
)
def test_a_wrong_address_is_refused(outside, address, said):
    """An address that leads nowhere, or to what is no store, is refused with what can be done."""
    with pytest.raises(UsageError) as caught:
        open_store(address)
    assert said in f"{caught.value} {caught.value.remedy}"


def test_a_store_whose_package_is_missing_names_it(tmp_path, monkeypatch):
    """What a store needs and nobody has installed is named."""
    (tmp_path / "needy_store.py").write_text("import no_such_package_at_all\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(DependencyMissing, match="no_such_package_at_all"):
        open_store("needy_store:Store:///a")


def test_a_killed_commit_leaves_the_old_or_the_new(tmp_path, crash_points):
    """Killed at any file event, from the objects to the end: old or new, and none is hindered."""
    store = PosixStore(str(tmp_path / "store"))
    seen = []

    def prepare():
        if tmp_path.joinpath("store").exists():
            store.discard("m")
        write_bytes(tmp_path / "store" / "m" / "manifest", b"old")

    def act():
        one = kept(store, None, b"object")
        _, tag = store.manifest("m/manifest")
        store.commit("m/manifest", one.key.encode(), expected=tag)

    def check():
        content, tag = store.manifest("m/manifest")
        seen.append(content)
        if content != b"old":  # whatever a manifest names is there
            assert store.read(content.decode()) == b"object"
        store.commit("m/manifest", b"later", expected=tag)
        assert all(".tmp" not in key for key in store.list_keys())

    assert crash_points(prepare, act, check) >= 4
    assert seen[0] == b"old"
    assert seen[-1] != b"old"
    assert len(set(seen)) == 2


def test_what_is_durable_is_flushed_before_it_is_seen(tmp_path, monkeypatch):
    """File, then its name, then the folder; what is not durable is flushed nowhere."""
    flushed: list[str] = []
    fsync = os.fsync

    def flush(descriptor):
        flushed.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    store = PosixStore(str(tmp_path))
    kept(store, "a/b", b"")
    monkeypatch.setattr(os, "fsync", flush)
    kept(store, "a/b", b"1")
    assert [name.startswith(".b.") for name in flushed] == [True, False]
    assert flushed.pop() == "a"
    del flushed[:]
    with store.replace("a/b", durable=False) as writer:
        writer.write(b"2")
    assert flushed == []
    kept(store, "new/c", b"")
    assert flushed[0] == tmp_path.name  # the folder's own name
