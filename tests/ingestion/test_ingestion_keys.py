"""Uniqueness is exact: repeated keys are found, keys that only share a hash are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.engines import LocalEngine
from tidemill.errors import IntegrityError
from tidemill.ingestion.checks import unique_keys
from tidemill.ingestion.checks.gathered_keys import check_keys, key_spill
from tidemill.ingestion.checks.unique_keys import BucketCheck, KeySpill, bucket_count
from tidemill.storage import Exchange, StoreFolder, most_opens
from tidemill.testing.opens import opened_files

TEXT = pa.schema([("key", pa.string())])


def check(folder: Path, splits: list[list], buckets: int, schema: pa.Schema = TEXT) -> BucketCheck:
    spills = spilled(folder, splits, schema)
    found = checked(spills, folder, buckets)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tidemill.storage.exchange.FAN_IN", max(len(splits) - 1, 1))
        assert checked(spills, folder, buckets) == found
    return found


def checked(spills: list[Exchange], folder: Path, buckets: int) -> BucketCheck:
    return check_keys(spills, StoreFolder(str(folder), "gathered"), buckets, LocalEngine(1))


def spilled(folder: Path, splits: list[list], schema: pa.Schema = TEXT) -> list[Exchange]:
    spills = []
    for number, values in enumerate(splits):
        exchange = key_spill(StoreFolder(str(folder), f"keys/{number}"))
        with exchange.writer(0) as writer:
            spill = KeySpill(writer, schema)
            for begin in range(0, len(values), 3):
                part = values[begin : begin + 3]
                table = pa.table([pa.array(part, schema.field(0).type)], schema=schema)
                spill.add(table, np.arange(begin, begin + len(part)))
        spills.append(exchange.holding([writer.index]))
    return spills


@pytest.mark.parametrize("buckets", [1, 8])
def test_repeated_keys_are_counted_and_placed(buckets: int, tmp_path: Path) -> None:
    """Values, rows and first places of repeated keys, whatever the number of buckets."""
    found = check(tmp_path, [["a", "b", "c", "d"], ["e", "b"], ["b", "a"]], buckets)
    assert (found.distinct, found.repeated_keys, found.repeated_rows) == (5, 2, 5)
    assert [(e.split, e.row, e.value) for e in found.examples] == [
        (0, 0, "a"),
        (0, 1, "b"),
        (1, 1, "b"),
        (2, 0, "b"),
        (2, 1, "a"),
    ]


@pytest.mark.parametrize("name", ["hash", "row"])
def test_a_key_may_have_any_name(tmp_path: Path, name: str) -> None:
    """Also those that the spill has for itself."""
    schema = pa.schema([(name, pa.string())])
    found = check(tmp_path, [["a", "b"], ["b", "c"]], 2, schema)
    assert (found.distinct, found.repeated_rows) == (3, 2)
    assert [(e.split, e.row, e.value) for e in found.examples] == [(0, 1, "b"), (1, 0, "b")]


def test_different_keys_with_one_hash_are_no_duplicates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forged collisions of the 64-bit hash are told apart by the keys themselves."""
    monkeypatch.setattr(unique_keys, "hash_keys", lambda table: np.zeros(table.num_rows, np.uint64))
    assert check(tmp_path, [["a", "b"], ["c", "d"]], 4) == BucketCheck(distinct=4)
    found = check(tmp_path, [["a", "b"], ["c", "a"]], 4)
    assert (found.distinct, found.repeated_keys, found.repeated_rows) == (3, 1, 2)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 30), max_size=12), min_size=1, max_size=4),
    st.sampled_from([1, 4]),
)
def test_counts_equal_those_of_a_set(
    tmp_path_factory: pytest.TempPathFactory, splits: list[list[int]], buckets: int
) -> None:
    """Distinct keys and repeated rows equal a count of all keys in memory."""
    schema = pa.schema([("key", pa.int64())])
    found = check(tmp_path_factory.mktemp("spill"), splits, buckets, schema)
    every = [key for split in splits for key in split]
    assert found.distinct == len(set(every))
    assert found.repeated_rows == sum(every.count(key) > 1 for key in every)


def test_buckets_follow_the_source_alone() -> None:
    """More bytes, more buckets; always a power of two within bounds."""
    counts = [bucket_count(10**n) for n in range(1, 15)]
    assert counts == sorted(counts)
    assert counts[0] == 1
    assert counts[-1] == 1024
    assert all(count & (count - 1) == 0 for count in counts)


def test_opens_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each spill is opened once, and a bucket opens few pieces, however many splits there are."""
    monkeypatch.setattr("tidemill.storage.exchange.FAN_IN", 5)
    found = {}
    for splits in (4, 12):
        keys = [[f"{split}-{row}" for row in range(40)] for split in range(splits)]
        spills = spilled(tmp_path / str(splits), keys)
        with opened_files() as opened:
            assert checked(spills, tmp_path / str(splits), 4).distinct == 40 * splits
        found[splits] = sum(".ipc" in path for path, _ in opened)
    assert found[4] == 4 + 4 * (4 + 1) == 4 + most_opens(4, 4)
    # Three spills a piece, each read from front to back by one request.
    assert found[12] == 12 + 4 * (4 + 1) <= 12 + most_opens(12, 4)
    # At 1 TB, 16,000 splits and 1,024 buckets: 16 million spills were opened.
    monkeypatch.undo()
    assert most_opens(16_000, 1024) + 16_000 < 300_000


def test_a_damaged_spill_is_seen(tmp_path: Path) -> None:
    """What changed after it was written is no key: its name and a remedy are told."""
    for fan_in in (5, 2):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tidemill.storage.exchange.FAN_IN", fan_in)
            spills = spilled(tmp_path / str(fan_in), [["a", "b"], ["c"], ["d"]])
            path = tmp_path / str(fan_in) / "keys" / "0" / spills[0].name(0)
            content = bytearray(path.read_bytes())
            content[-9] ^= 1
            path.write_bytes(content)
            with pytest.raises(IntegrityError, match=r"piece-00000\.ipc changed"):
                checked(spills, tmp_path / str(fan_in), 2)
