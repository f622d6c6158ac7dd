"""A source that grows, its rows in a store apart: what was published is not parsed again."""

from __future__ import annotations

import shutil
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from tests.ingestion.test_ingestion_arrival import ROWS, aged, run, scratch, write, written
from tests.storage.conftest import crash_points

from tidemill.ingestion import IngestResult
from tidemill.ingestion.kept_scans import keep_scans, scanned_objects
from tidemill.ingestion.scan_receipt import finished
from tidemill.storage import PublishedNames, StoreFolder, collect, hash_file, open_store
from tidemill.testing.opens import opened_files

__all__ = ["crash_points"]

FILES = 6


@pytest.fixture
def seen(tmp_path: Path) -> Path:
    """Six files, one with a bad row; and beside them the same, ingested once into a store."""
    write(written(tmp_path / "seen", FILES), "0003.csv", 3, fare="-2")
    shutil.copytree(tmp_path / "seen", tmp_path / "now")
    apart(tmp_path / "now")
    return tmp_path / "seen"


def scans(root: Path) -> StoreFolder:
    """Where a workspace's scans lie in the store that it shares with those beside it."""
    return StoreFolder(f"file://{root.parent}/store", f"work/{root.name}/scans", root.name)


def apart(root: Path) -> IngestResult:
    """Ingest what lies there into the store."""
    return run(root, root.parent / "seen", work=scans(root))


def keys(root: Path, folder: str = "work") -> list[str]:
    """What lies in the store."""
    return list(open_store(scans(root).store).list_keys(folder))


def left(root: Path) -> dict[str, str]:
    """What an ingest left, by name; the bytes in the store are those that are named."""
    found = {"report.json": hash_file(root / "report.json")}
    for place in ("validated", "quarantine"):
        names = PublishedNames.read(root / place).names if (root / place).exists() else {}
        found |= {f"{place}/{name}": sha256 for name, sha256 in names.items()}
        for sha256 in names.values():
            assert hash_file(root.parent / "store" / "objects" / sha256) == sha256
    return found


def counts(found: IngestResult) -> tuple[int, int]:
    """Splits that were scanned now, and not."""
    return found.splits_scanned, found.splits_resumed


def test_what_is_as_it_was_is_not_parsed_and_nothing_differs_from_scratch(seen: Path) -> None:
    """New (one of them first), changed and vanished files; the store has no row twice."""
    root = seen.parent / "now"
    assert [key for key in keys(root) if "/parts/" in key] == []
    write(root, "0000-first.csv", 20, fare="-3")
    write(root, "0002.csv", 21, zone="moon", fare="-1", start="2024-01-01 10:00:00")
    write(root, "0009.csv", 22)
    (root / "raw" / "0004.csv").unlink()
    found = apart(root)
    assert counts(found) == (3, 4)
    assert (found.rows_read, found.healed) == (7 * ROWS, ())
    assert left(root) == scratch(root, seen)
    assert [key for key in keys(root) if "/parts/" in key] == []
    assert len([key for key in keys(root) if key.endswith(".ipc")]) == 7
    assert counts(apart(root)) == (0, 7)


@pytest.mark.slow
def test_of_marked_objects_none_is_read(seen: Path) -> None:
    """Of a part of before nothing but its time is asked; one that was touched is hashed."""
    root = seen.parent / "now"
    aged(root.parent / "store")
    apart(root)  # what is just written has no mark yet
    parts = [sha for n, sha in left(root).items() if n.endswith(".parquet") and "/part-" in n]
    write(root, "0009.csv", 22)
    (root.parent / "store" / "objects" / parts[0]).touch()
    with opened_files() as opened:
        assert counts(apart(root)) == (1, 6)
    read = {Path(path).name for path, flags in opened if "/objects/" in path and not flags & 3}
    assert read & set(parts) == {parts[0]}


@pytest.mark.parametrize(
    ("what", "how"),
    [
        ("part", "gone"),
        *(
            pytest.param(*each, marks=pytest.mark.slow)
            for each in product(("part", "refused", "keys"), ("gone", "spoilt"))
            if each != ("part", "gone")
        ),
    ],
)
def test_what_is_not_as_it_was_is_scanned_again(what: str, how: str, seen: Path) -> None:
    """That split alone; it is said, and the bytes are those of before."""
    root = seen.parent / "now"
    before = left(root)
    refused, part = "quarantine/part-00003.parquet", "validated/part-00003.parquet"
    key = {
        "part": f"objects/{before[part]}",
        "refused": f"objects/{before[refused]}",
        "keys": next(key for key in keys(root) if key.endswith(".ipc")),
    }[what]
    store = open_store(scans(root).store)
    content = store.read(key)
    store.discard(key)
    if how == "spoilt":
        with store.replace(key) as file:
            file.write(content[:-1] + bytes([content[-1] ^ 1]))
    found = apart(root)
    assert counts(found) == (1, 5)
    assert "1 scanned splits in " in found.healed[0]
    assert "tidemill data gc" in found.healed[0]
    assert left(root) == before


@pytest.mark.slow
def test_what_was_collected_is_parsed_again(seen: Path) -> None:
    """And nothing of what another workspace claims, which kept the same files."""
    root, other = seen.parent / "now", seen.parent / "other"
    shutil.copytree(seen, other)
    write(other, "0002.csv", 21)
    assert counts(apart(other)) == (6, 0)
    before = left(root)
    collect(scans(root).store, {root.name}, ())
    found = apart(root)
    assert counts(found) == (1, 5)  # of the file that the other one has otherwise
    assert found.healed
    assert left(root) == before
    assert counts(apart(other)) == (0, 6)


def put_back(root: Path) -> StoreFolder:
    """As when a run was killed once its rows were published: parts lie in both places."""
    work = scans(root)
    store = open_store(work.store)
    for name, kept in scanned_objects(work).items():
        if kept.key != work.key(name):
            store.copy(kept.key, work.key(name))
    store.discard(work.key("marks.json"))
    return work


@pytest.mark.slow
def test_a_run_killed_before_it_noted_what_it_keeps(seen: Path) -> None:
    """Its scans count where their parts are still there, and are made again where not."""
    root = seen.parent / "now"
    before = left(root)
    put_back(root)
    assert counts(apart(root)) == (0, 6)
    open_store(scans(root).store).discard(scans(root).key("marks.json"))
    assert counts(apart(root)) == (6, 0)
    assert left(root) == before


@pytest.mark.slow
def test_a_kill_costs_scans_at_most(seen: Path, crash_points: Any) -> None:
    """At whatever moment it comes while scans are kept: the next run leaves the same."""
    root = seen.parent / "now"
    before, work, taken = left(root), scans(root), set()
    names = [Path(key).stem for key in keys(root) if "/receipts/" in key]
    receipts = [finished(work, 0, name, scanned_objects(work)) for name in names]

    def check() -> None:
        taken.add(counts(apart(root)))
        assert left(root) == before

    keep = partial(keep_scans, work, receipts, now_ns=0)
    assert crash_points(lambda: put_back(root), keep, check) > 10
    assert {(0, 6), (6, 0)} <= taken
