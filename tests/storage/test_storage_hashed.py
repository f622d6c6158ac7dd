"""Notes that stages left: what was written, or refused by name with the way back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tidemill.errors import IntegrityError
from tidemill.schema import Column, ColumnType, Purpose, Role, TableSchema, Task
from tidemill.storage import (
    FileEntry,
    PartEntry,
    Receipts,
    ShardEntry,
    ShardManifest,
    StoreFolder,
    ValidatedManifest,
    find_hashed,
    read_json,
    read_keyed,
    read_output,
    write_hashed,
)

SCHEMA = TableSchema(
    (
        Column("x", ColumnType.NUMERIC, Purpose.FEATURE, "float32", (0.0, 1.0)),
        Column("y", ColumnType.CATEGORICAL, Purpose.TARGET, "dictionary"),
    ),
    Task.BINARY,
    ("no", "yes"),
)
FILE = FileEntry("part-0.parquet", 10, 99, "ab" * 32, (6, 4))
VALIDATED = ValidatedManifest(SCHEMA, (PartEntry("a.csv", FILE, 12, 2),))
SHARDS = ShardManifest(
    SCHEMA,
    "hash",
    None,
    {"train": ("5",)},
    (ShardEntry(0, Role.TRAIN, FILE, "p.json", "cd" * 32, 0, None, None, None, None),),
)


def places(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every key and index of a document, as the way to it."""
    found = list(document.items()) if isinstance(document, dict) else []
    found = list(enumerate(document)) if isinstance(document, list) else found
    return [way for key, value in found for way in ((*path, key), *places(value, (*path, key)))]


def spoiled(document: Any, way: tuple[Any, ...], *, drop: bool) -> Any:
    """The document without a key, or with another value there."""
    changed = json.loads(json.dumps(document))
    inner = changed
    for key in way[:-1]:
        inner = inner[key]
    if drop:
        del inner[way[-1]]
    else:
        value = inner[way[-1]]
        inner[way[-1]] = value + 1 if isinstance(value, int | float) else "another"
    return changed


def refusal(kind: type[ValidatedManifest | ShardManifest], folder: Path) -> str:
    """What is said of a manifest; nothing if it is read."""
    try:
        kind.read(folder)
    except IntegrityError as exc:
        return f"{exc.message}; {exc.remedy}"
    return ""


@pytest.mark.parametrize("manifest", [VALIDATED, SHARDS], ids=["validated", "shards"])
@pytest.mark.parametrize("hashed", [True, False], ids=["hashed", "of before"])
def test_a_manifest_is_as_it_was_written_or_refused(
    tmp_path: Path, manifest: ValidatedManifest | ShardManifest, *, hashed: bool
) -> None:
    """Each key taken out and each value changed; those of before hashes end in no traceback."""
    path = tmp_path / "manifest.json"
    path.write_bytes(manifest.to_bytes())
    assert type(manifest).read(tmp_path) == manifest
    whole = read_json(path)
    if not hashed:
        del whole["sha256"]
        path.write_text(json.dumps(whole))
        assert type(manifest).read(tmp_path) == manifest
    for way in places(whole):
        for drop in (True, False):
            if way == ("sha256",):
                continue
            path.write_text(json.dumps(spoiled(whole, way, drop=drop)))
            told = refusal(type(manifest), tmp_path)
            assert told or not hashed, f"{way} was read"
            if told:
                assert str(path) in told
                assert "dvc checkout" in told
                assert "tidemill run" in told


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "a/../../x", "", "a//b", f".x.{'ab' * 16}.tmp", 3]
)
def test_a_manifest_names_nothing_outside_its_folder(tmp_path: Path, name: Any) -> None:
    """Names that no store takes, with a hash that is right, are damage and not wrong usage."""
    file = replace(FILE, path=name)
    (part,), (shard,) = VALIDATED.parts, SHARDS.shards
    named: list[ValidatedManifest | ShardManifest] = [
        replace(VALIDATED, parts=(replace(part, file=file),)),
        replace(SHARDS, shards=(replace(shard, file=file),)),
        replace(SHARDS, shards=(replace(shard, profile=name),)),
        replace(SHARDS, appended=(name,)),
    ]
    for manifest in named:
        (tmp_path / "manifest.json").write_bytes(manifest.to_bytes())
        told = refusal(type(manifest), tmp_path)
        assert str(tmp_path / "manifest.json") in told, manifest
        assert "dvc checkout" in told
    with pytest.raises(IntegrityError, match=r"manifest\.json is not what was written"):
        StoreFolder.at(tmp_path).shard_manifest()


@pytest.mark.parametrize("content", ["[]", "3", "null", '{"sha256": 1}', "{", '"x"'])
def test_what_is_no_document_is_refused(tmp_path: Path, content: str) -> None:
    """Valid JSON that is another thing, and torn JSON."""
    path = tmp_path / "params.json"
    path.write_text(content)
    with pytest.raises(IntegrityError, match=r"params\.json"):
        read_output(path, lambda document: document["params"])


def test_work_without_a_sound_receipt_is_not_finished(tmp_path: Path) -> None:
    """No note, a changed note, a changed file, one of an earlier release."""
    note, file, receipts = tmp_path / "a.json", tmp_path / "a.x", Receipts.at(tmp_path)
    file.write_bytes(b"12")
    assert receipts.done("a") is None
    receipts.finish("a", {"rows": 3}, receipts.held("a.x"))
    assert receipts.done("a") == {"rows": 3}
    assert receipts.made_anew("works") == ()
    whole = note.read_text()
    for damaged in (whole.replace("3", "4", 1), whole[:-9], "[]", '{"rows": 3}'):
        note.write_text(damaged)
        assert receipts.done("a") is None
        assert not note.exists()  # and is counted, once
    (said,) = receipts.made_anew("works")
    assert said.startswith(f"1 works in {tmp_path} were not what had been written")
    assert receipts.made_anew("works") == ()
    note.write_text(whole)
    file.write_bytes(b"13")
    assert receipts.done("a") is None
    note.write_text(whole)
    file.unlink()
    assert receipts.done("a") is None


def test_a_receipt_of_an_earlier_release_is_no_damage(tmp_path: Path) -> None:
    """It says less than its files: the work is made again, and no disk is suspected."""
    receipts = Receipts.at(tmp_path)
    write_hashed(tmp_path / "a.json", {"key": "k", "rows": 3})
    assert receipts.done("a", "k") is None
    assert receipts.made_anew("works") == ()
    receipts.finish("a", {"rows": 3}, key="k")
    assert receipts.done("a", "k") == {"rows": 3}


def test_a_note_that_may_be_absent(tmp_path: Path) -> None:
    """None; as it was written; damaged it is refused with the caller's remedy."""
    note = tmp_path / "note.json"
    assert find_hashed(note) is None
    write_hashed(note, {"rows": 3})
    assert find_hashed(note) == {"rows": 3}
    note.write_text(note.read_text().replace("3", "4", 1))
    with pytest.raises(IntegrityError, match="not what was written") as caught:
        find_hashed(note, remedy="ask somebody")
    assert caught.value.remedy == "ask somebody"


def test_a_finished_output_is_of_its_key(tmp_path: Path) -> None:
    """Absent, of another key, of this one; damaged it is refused."""
    note = tmp_path / "training.json"
    assert read_keyed(note, "k") is None
    write_hashed(note, {"key": "k", "rows": 3})
    assert read_keyed(note, "other") is None
    assert read_keyed(note, "k") == {"key": "k", "rows": 3}
    note.write_text(note.read_text().replace("3", "4", 1))
    with pytest.raises(IntegrityError, match="not what was written"):
        read_keyed(note, "k")


def test_a_reducer_is_as_it_was_saved_or_refused(tmp_path: Path) -> None:
    """Another array of the same shape is another reducer."""
    from tidemill.features import load_reducer

    write_hashed(tmp_path / "reducer.json", {"format": 1})
    with pytest.raises(IntegrityError, match="holds no reducer"):
        load_reducer(tmp_path)
    array = np.eye(2)
    np.save(tmp_path / "components.npy", array)
    np.save(tmp_path / "center.npy", array[0])
    document = {"format": 1, "features": [], "encoded": [], "seen": {}, "projects": True}
    write_hashed(tmp_path / "reducer.json", {**document, "arrays": {"components": "0" * 64}})
    with pytest.raises(IntegrityError, match=r"components\.npy is not what was written"):
        load_reducer(tmp_path)


def test_a_profile_that_is_no_json_is_refused_by_its_hash(tmp_path: Path) -> None:
    """The bytes are compared before anything reads them."""
    (tmp_path / "p.json").write_text("{")
    with pytest.raises(IntegrityError, match="recorded"):
        StoreFolder.at(tmp_path).profiles(replace(SHARDS.shards[0]))
