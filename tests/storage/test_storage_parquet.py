"""Blocks: the bytes depend on the rows alone, and damage never goes unseen."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.errors import IntegrityError, StorageFailed
from tidemill.storage import (
    BlockWriter,
    FileEntry,
    StoreFolder,
    hash_file,
    read_block,
    read_blocks,
)

SCHEMA = pa.schema(
    [
        ("fare", pa.float32()),
        ("zone", pa.dictionary(pa.int32(), pa.string())),
        ("note", pa.string()),
        ("at", pa.timestamp("us")),
        ("night", pa.bool_()),
    ]
)


def _table(rows: int, seed: int = 0) -> pa.Table:
    draw = np.random.default_rng(seed)
    zones = np.array(["a", "b", "c", "d", "e"])[draw.integers(0, 5, rows)]
    return pa.table(
        [
            pa.array(draw.normal(size=rows), pa.float32(), mask=draw.random(rows) < 0.1),
            pa.array(zones, mask=draw.random(rows) < 0.1).dictionary_encode(),
            pa.array([f"n{number % 7}" for number in range(rows)]),
            pa.array(draw.integers(0, 10**15, rows)).cast(pa.timestamp("us")),
            pa.array(draw.random(rows) < 0.5),
        ],
        schema=SCHEMA,
    )


def _write(path: Path, batches: Iterable[pa.Table], block_rows: int = 50) -> FileEntry:
    with BlockWriter(path, SCHEMA, block_rows=block_rows) as writer:
        for batch in batches:
            writer.write(batch)
        return writer.close()


def _fresh_dictionary(table: pa.Table) -> pa.Table:
    """The same rows, with a dictionary made of them alone, as a parser would."""
    column = table["zone"].cast(pa.string()).combine_chunks().dictionary_encode()
    return table.set_column(1, SCHEMA.field(1), column)


@settings(deadline=None, max_examples=settings.default.max_examples * 2 // 5)
@given(
    rows=st.integers(0, 300),
    cuts=st.sets(st.integers(1, 299), max_size=8),
    block_rows=st.integers(1, 120),
    fresh=st.booleans(),
)
def test_bytes_do_not_tell_how_rows_were_cut(tmp_path_factory, rows, cuts, block_rows, fresh):
    """Any cut into batches, sliced or parsed apart, leaves the same file."""
    folder = tmp_path_factory.mktemp("cut")
    table = _table(rows)
    edges = [0, *sorted(cut for cut in cuts if cut < rows), rows]
    batches = [table.slice(low, high - low) for low, high in pairwise(edges)]
    if fresh:
        batches = [_fresh_dictionary(batch) for batch in batches]
    whole = _write(folder / "x", [table], block_rows)
    parts = _write(folder / "y", batches, block_rows)
    assert (whole.sha256, whole.blocks, whole.bytes) == (parts.sha256, parts.blocks, parts.bytes)


def test_rows_come_back_in_blocks(tmp_path):
    """Every block but the last has block_rows rows, and all come back as they were."""
    table = _table(230)
    entry = _write(tmp_path / "x.parquet", [table])
    assert entry.blocks == (50, 50, 50, 50, 30)
    assert (entry.path, entry.rows) == ("x.parquet", 230)
    assert entry.bytes == (tmp_path / "x.parquet").stat().st_size
    blocks = list(read_blocks(tmp_path / "x.parquet"))
    back = pa.concat_tables(blocks).unify_dictionaries().combine_chunks()
    assert back.schema.equals(SCHEMA)
    assert back.to_pylist() == table.to_pylist()
    assert read_block(tmp_path / "x.parquet", 4, columns=["at"]).to_pylist() == (
        table.slice(200).select(["at"]).to_pylist()
    )


def test_the_entry_is_that_of_the_file(tmp_path):
    """The digest taken while writing is the file's."""
    entry = _write(tmp_path / "x", [_table(230)])
    assert entry.sha256 == hash_file(tmp_path / "x")
    assert StoreFolder.at(tmp_path).verified(entry).read() == (tmp_path / "x").read_bytes()
    assert FileEntry.from_json(json.loads(json.dumps(asdict(entry)))) == entry


def test_a_dictionary_holds_only_what_occurs(tmp_path):
    """A block's dictionary has its own values, in order of occurrence, none of its neighbours'."""
    zones = pa.array(["x", "y", None, "z", "z", "x"]).dictionary_encode()
    schema = pa.schema([SCHEMA.field("zone")])
    with BlockWriter(tmp_path / "x", schema, block_rows=3) as writer:
        writer.write(pa.table([zones], schema=schema))
    dictionaries = [
        block["zone"].chunk(0).dictionary.to_pylist() for block in read_blocks(tmp_path / "x")
    ]
    assert dictionaries == [["x", "y"], ["z", "x"]]


def test_all_null_blocks_survive(tmp_path):
    """A block without a single value in a dictionary column comes back as nulls."""
    table = pa.table([pa.nulls(9, field.type) for field in SCHEMA], schema=SCHEMA)
    _write(tmp_path / "x", [table], 4)
    assert sum(block["zone"].null_count for block in read_blocks(tmp_path / "x")) == 9


def test_a_file_without_rows_is_a_file(tmp_path):
    """No rows: no blocks, and the file still reads."""
    entry = _write(tmp_path / "x", [])
    assert (entry.rows, entry.blocks) == (0, ())
    assert list(read_blocks(tmp_path / "x")) == []


def test_flipped_bytes_are_seen(tmp_path):
    """At 200 seeded positions: the hash always tells, and reading never returns other rows."""
    path = tmp_path / "x"
    entry = _write(path, [_table(400)], 100)
    sound = path.read_bytes()
    expected = pa.concat_tables(read_blocks(path)).to_pylist()
    draw, refused = random.Random(11), 0
    for position in draw.sample(range(len(sound)), 200):
        damaged = bytearray(sound)
        damaged[position] ^= 1 << draw.randrange(8)
        path.write_bytes(bytes(damaged))
        with pytest.raises(IntegrityError, match="not what its manifest recorded"):
            StoreFolder.at(tmp_path).verified(entry)
        # A footer has no checksum of its own: only what was verified is to be trusted.
        if position < len(sound) - _footer(sound):
            try:
                found = pa.concat_tables(read_blocks(path)).to_pylist()
            except IntegrityError:
                refused += 1
            else:
                assert found == expected, position
    assert refused > 50


def _footer(content: bytes) -> int:
    return int.from_bytes(content[-8:-4], "little") + 8


@pytest.mark.parametrize("content", [b"", b"PAR1", b"x" * 100, b"PAR1" * 50])
def test_what_is_no_parquet_is_an_integrity_error(tmp_path, content):
    """Truncated or foreign content: IntegrityError with path and remedy."""
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(IntegrityError) as caught:
        list(read_blocks(tmp_path / "x"))
    assert "dvc checkout" in caught.value.remedy


def test_a_missing_file_is_an_integrity_error(tmp_path):
    """A file that is not there, for readers and for whoever verifies."""
    entry = _write(tmp_path / "x", [_table(10)])
    (tmp_path / "x").unlink()
    with pytest.raises(IntegrityError, match="missing"):
        StoreFolder.at(tmp_path).verified(entry)
    with pytest.raises(IntegrityError):
        list(read_blocks(tmp_path / "x"))


def test_an_error_inside_removes_the_file(tmp_path):
    """An exception between two batches leaves no half file."""

    def broken():
        yield _table(20)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        _write(tmp_path / "x", broken(), 5)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("block_rows", [1000, 10**9], ids=["while writing", "while closing"])
def test_a_full_disk_leaves_no_half_file(small_disk, block_rows):
    """No space, at a block or at the end: StorageFailed that names the file, which is gone."""
    rows = 3_000_000
    draw = np.random.default_rng(0)
    schema = pa.schema([("fare", pa.float32())])
    table = pa.table([pa.array(draw.normal(size=rows), pa.float32())], schema=schema)
    with (
        pytest.raises(StorageFailed, match="No space left") as caught,
        BlockWriter(small_disk / "x", schema, block_rows=block_rows) as writer,
    ):
        writer.write(table)
    assert caught.value.fields["path"] == str(small_disk / "x")
    assert list(small_disk.iterdir()) == []


def test_a_disk_that_is_full_at_the_start_refuses(small_disk):
    """Not even the first bytes fit: StorageFailed, no file."""
    (small_disk / "filler").write_bytes(bytes(8 << 20))
    with (
        pytest.raises(StorageFailed),
        BlockWriter(small_disk / "x", SCHEMA, block_rows=10) as writer,
    ):
        writer.write(_table(20))
    assert [path.name for path in small_disk.iterdir()] == ["filler"]
