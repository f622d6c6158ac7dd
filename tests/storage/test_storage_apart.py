"""What is published in a store apart: named by content there, and by contents.json here."""

from __future__ import annotations

import hashlib
import os
from functools import partial
from pathlib import Path

import pytest

from tidemill.config import read_params
from tidemill.errors import ConfigError, IntegrityError, StorageFailed, UsageError
from tidemill.settings import load_settings
from tidemill.storage import Receipts, StoreFolder, Workspace, open_store, publish
from tidemill.storage.nearby import brought, found_nearby, read_nearby

OBJECTS = {"a.parquet": b"one", "below/b.parquet": b"two"}


def digest(content: bytes) -> str:
    """The SHA-256 of bytes."""
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    """A workspace whose rows lie in another folder, as in a store."""
    root = tmp_path / "ws"
    root.mkdir()
    (root / "params.yaml").write_text(
        f"dataset: {{source: a.csv, target: y}}\nstorage: {{url: 'file://{tmp_path}/store'}}\n"
    )
    return Workspace.at(root)


def work(workspace: Workspace, objects: dict[str, bytes] = OBJECTS) -> StoreFolder:
    """Work in progress of a stage, with these objects."""
    folder = workspace.stored(workspace.work("shard", "k"))
    for name, content in objects.items():
        with open_store(folder.store).replace(folder.key(name)) as file:
            file.write(content)
    return folder


def published(workspace: Workspace, objects: dict[str, bytes] = OBJECTS) -> StoreFolder:
    """The shards of the workspace, published from work in progress."""
    folder = work(workspace, objects)
    named = {name: (folder, name, digest(content)) for name, content in objects.items()}
    publish(workspace.shards, named, {"manifest.json": b"{}"})
    open_store(folder.store).discard(folder.folder)
    return workspace.stored(workspace.shards)


def test_the_store_holds_the_objects_and_the_workspace_their_names(workspace):
    """Objects lie there by content, with the manifest; here the manifest and contents.json."""
    folder = published(workspace)
    assert sorted(p.name for p in workspace.shards.iterdir()) == ["contents.json", "manifest.json"]
    assert list(folder.names()) == ["a.parquet", "below/b.parquet", "manifest.json"]
    assert list(folder.below("below").names()) == ["b.parquet"]
    store = open_store(folder.store)
    assert folder.key("a.parquet") == f"objects/{digest(b'one')}"
    assert store.read(folder.below("below").key("b.parquet")) == b"two"
    assert folder.file("manifest.json").readall() == b"{}"
    named = workspace.shards / "contents.json"
    claim = f"claims/{workspace.name()}/{digest(named.read_bytes())}"
    assert store.read(claim) == named.read_bytes()
    assert [key for key in store.list_keys() if key.startswith("work/")] == []
    with pytest.raises(IntegrityError, match=r"holds no c\.parquet"):
        folder.file("c.parquet")


def test_versions_share_what_is_the_same(workspace):
    """An older contents.json still finds all of it, when a newer one has taken its place."""
    older = published(workspace)
    kept = (workspace.shards / "contents.json").read_bytes()
    newer = published(workspace, {**OBJECTS, "a.parquet": b"changed"})
    assert (older.file("a.parquet").readall(), newer.file("a.parquet").readall()) == (
        b"one",
        b"changed",
    )
    assert older.key("below/b.parquet") == newer.key("below/b.parquet")
    (workspace.shards / "contents.json").write_bytes(kept)
    assert workspace.stored(workspace.shards) == older


def test_what_is_published_is_published_on(workspace):
    """Objects of a published folder become those of another, without a copy."""
    source = published(workspace)
    before = sorted(open_store(source.store).list_keys("objects"))
    named = {"again/x": (source, "a.parquet", digest(b"one"))}
    publish(workspace.validated, named, {})
    folder = workspace.stored(workspace.validated / "again")
    assert folder.file("x").readall() == b"one"
    after = sorted(open_store(source.store).list_keys("objects"))
    assert len(after) == len(before) + 1  # the new contents alone


def test_what_is_lost_is_not_published_on(workspace):
    """No claim names what nobody has."""
    source = published(workspace)
    open_store(source.store).discard(source.key("a.parquet"))
    with pytest.raises(IntegrityError, match=digest(b"one")):
        publish(workspace.validated, {"x": (source, "a.parquet", digest(b"one"))}, {})
    assert not workspace.validated.exists()


@pytest.mark.slow
def test_what_is_gone_is_claimed_by_nobody(workspace):
    """Work that lost an object, which was never published: its name would be a promise."""
    folder = work(workspace)
    store = open_store(folder.store)
    store.discard(folder.key("a.parquet"))
    named = {name: (folder, name, digest(content)) for name, content in OBJECTS.items()}
    with pytest.raises(IntegrityError, match=r"a\.parquet"):
        publish(workspace.shards, named, {"manifest.json": b"{}"})
    assert not workspace.shards.exists()
    assert list(store.list_keys("claims")) == []


def test_a_kill_leaves_the_folder_as_it_was_or_new(workspace, crash_points):
    """Or absent, as on a disk; whatever moment it comes at, what contents.json names is there."""
    seen = set()

    def check() -> None:
        if not workspace.shards.exists():
            seen.add("absent")
            return
        folder = workspace.stored(workspace.shards)
        (name,) = set(folder.names()) - {"manifest.json"}
        seen.add(name)
        assert folder.file(name).readall() == name.encode()
        assert (workspace.shards / "manifest.json").read_bytes() == b"{}"

    prepare = partial(published, workspace, {"old": b"old"})
    assert crash_points(prepare, lambda: published(workspace, {"new": b"new"}), check) > 15
    assert seen >= {"old", "new"}


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("ftp://host/rows", "use file, s3"),
        ("gs://bucket/rows", "use file, s3"),
        ("s3a://bucket/rows", "did you mean 's3'.* use file, s3"),
        ("bucket/rows", "is no address of a store"),
    ],
)
def test_where_no_store_can_be_is_told_when_params_are_read(url, says):
    """Before anything is looked at; the scheme of an installed package's is one."""
    with pytest.raises(ConfigError, match=rf"storage\.url: .*{says}"):
        read_params(f"dataset: {{source: a.csv, target: y}}\nstorage: {{url: '{url}'}}\n")


def test_a_store_of_another_package_is_known_when_params_are_read(outside):
    """By the name that it is entered with, or by its address."""
    for scheme in ("sqlite", "tidemill_sqlite:SqliteStore"):
        text = f"dataset: {{source: a.csv, target: y}}\nstorage: {{url: '{scheme}:///store'}}\n"
        assert read_params(text).storage.url == f"{scheme}:///store"


def test_without_the_setting_the_objects_are_not_found(workspace):
    """The error says where they are to be looked for."""
    published(workspace)
    here = Workspace(workspace.root)
    with pytest.raises(UsageError, match="lie in a store apart") as caught:
        here.stored(here.shards)
    assert "storage.url" in caught.value.remedy


def test_a_damaged_list_of_contents_is_told(workspace):
    """A name that leads elsewhere would read another object."""
    published(workspace)
    place = workspace.shards / "contents.json"
    place.write_bytes(place.read_bytes().replace(b"a.parquet", b"b.parquet"))
    with pytest.raises(IntegrityError, match=r"contents\.json is not what was written"):
        workspace.stored(workspace.shards)


def test_places_of_this_machine_stay_here(workspace):
    """What was not published, and is no work in progress, lies in the workspace."""
    assert workspace.stored(workspace.reports).store == str(workspace.root)
    assert workspace.stored(workspace.shards).store == str(workspace.root)
    assert workspace.stored(workspace.work("tune", "x")).store == workspace.url
    other = Workspace(workspace.root)
    assert other.stored(other.work("tune", "x")).store == str(workspace.root)


def test_a_copied_workspace_has_a_name_of_its_own(workspace, tmp_path):
    """Two that work in one store do not tidy up each other's work."""
    name = workspace.name()
    assert workspace.name() == name
    workspace.root.rename(tmp_path / "moved")
    assert Workspace.at(tmp_path / "moved").name() != name


def test_discarding_work_takes_away_both_halves(workspace):
    """The folder here, and the objects there."""
    folder, place = work(workspace), workspace.work("shard", "k")
    place.mkdir(parents=True)
    workspace.discard(place.parent)
    assert not place.exists()
    assert list(open_store(folder.store).list_keys("work")) == []


def test_a_user_without_a_home_has_a_place_for_copies(monkeypatch):
    """As in a container that runs as any number."""

    def homeless(self):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "expanduser", homeless)
    assert load_settings().cache_dir.is_absolute()


class TestCopies:
    """Of objects of a store that is no folder of this machine."""

    @pytest.fixture(autouse=True)
    def _cache(self, tmp_path, monkeypatch):
        monkeypatch.setenv("TIDEMILL_CACHE_DIR", str(tmp_path / "cache"))

    @pytest.fixture
    def address(self, outside, tmp_path) -> str:
        """A store of another package."""
        return f"sqlite://{tmp_path}/store"

    @staticmethod
    def kept(address: str, content: bytes) -> tuple[str, str]:
        """Key and hash of an object."""
        with open_store(address).write("objects") as file:
            file.write(content)
        return file.stored.key, file.stored.sha256

    def test_an_object_is_fetched_once(self, address):
        """Also when the store has lost it; and blocks of it are read from the copy."""
        key, sha256 = self.kept(address, b"0123456789")
        assert found_nearby(sha256) is None
        copy = brought(address, key, sha256)
        assert isinstance(copy, Path)
        assert copy.read_bytes() == b"0123456789"
        open_store(address).discard(key)
        assert brought(address, key, sha256) == copy == found_nearby(sha256)
        buffer = bytearray(3)
        read_nearby(address, key, sha256, 4, buffer)
        assert buffer == b"456"

    def test_a_copy_nearby_finishes_no_work(self, address):
        """Where the store has lost the object, others cannot read it: it is made again."""
        receipts = Receipts(StoreFolder(address, "work/one/shard", "one"))
        for content in (b"as it was", b"made again"):
            with receipts.store.replace("work/one/shard/a") as file:
                file.write(content)
            receipts.finish("a", {"rows": 3}, receipts.held("a"))
            assert receipts.done("a") == {"rows": 3}
            receipts.store.discard("work/one/shard/a")
            assert found_nearby(digest(content))
            assert receipts.done("a") is None
            assert "`tidemill data gc`" in receipts.made_anew("parts")[0]

    def test_a_folder_that_cannot_be_made_is_told_by_its_setting(
        self, address, tmp_path, monkeypatch
    ):
        """A file stands there, or in the way."""
        (tmp_path / "file").touch()
        key, sha256 = self.kept(address, b"0123")
        for folder in ("file", "file/below"):
            monkeypatch.setenv("TIDEMILL_CACHE_DIR", str(tmp_path / folder))
            with pytest.raises(StorageFailed, match="cannot be made") as caught:
                brought(address, key, sha256)
            assert "TIDEMILL_CACHE_DIR" in caught.value.remedy

    def test_a_damaged_copy_is_fetched_anew(self, address):
        """It is compared each time that it is verified."""
        key, sha256 = self.kept(address, b"0123456789")
        brought(address, key, sha256).write_bytes(b"0123x56789")
        assert brought(address, key, sha256).read_bytes() == b"0123456789"

    def test_what_the_store_damaged_is_no_copy(self, address):
        """The error names both hashes, and nothing is kept."""
        key, sha256 = self.kept(address, b"0123456789")
        with open_store(address).replace(key) as file:
            file.write(b"another")
        with pytest.raises(IntegrityError, match=sha256[:12]):
            brought(address, key, sha256)
        assert list(load_settings().cache_dir.iterdir()) == []

    def test_what_was_used_longest_ago_goes(self, address, monkeypatch):
        """No more than the limit stays; what a killed one has begun goes after an hour."""
        monkeypatch.setenv("TIDEMILL_CACHE_GB", str(25 / 2**30))
        keys = [self.kept(address, bytes([number]) * 10) for number in range(4)]
        for number, each in enumerate(keys[:2]):
            os.utime(brought(address, *each), (number, number))
        brought(address, *keys[0])  # used again
        left = load_settings().cache_dir / f".x.{0:032x}.tmp"
        left.write_bytes(b"")
        os.utime(left, (0, 0))
        theirs = left.with_name("thesis.txt")  # nobody's copy
        theirs.write_bytes(b"x" * 30)
        os.utime(theirs, (0, 0))
        brought(address, *keys[2])
        assert theirs.exists()
        assert [found_nearby(sha256) is not None for _, sha256 in keys] == [
            True,
            False,
            True,
            False,
        ]
        assert not left.exists()

    def test_a_copy_that_went_meanwhile_is_fetched_again(self, address):
        """Blocks are read while others make room."""
        key, sha256 = self.kept(address, b"0123456789")
        brought(address, key, sha256).unlink()
        buffer = bytearray(3)
        read_nearby(address, key, sha256, 4, buffer)
        assert buffer == b"456"
