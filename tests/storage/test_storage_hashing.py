"""Hashes that never change: changing one of these values changes every user's shards."""

from __future__ import annotations

import hashlib
from datetime import date

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.errors import StorageFailed
from tidemill.storage import (
    hash_bytes,
    hash_file,
    hash_json,
    salted_hash,
    stable_hash,
    stable_row_hash,
)

GOLDEN = {
    "whole": [
        "e220a8397b1dcdaf",
        "910a2dec89025cc1",
        "e4d971771b652c20",
        "055ce0bfd3337037",
        "9e3779b97f4a7c15",
    ],
    "real": [
        "e220a8397b1dcdaf",
        "e220a8397b1dcdaf",
        "d6dab18e1392608a",
        "c72971d82e15bb46",
        "249e5410c2f97d99",
        "9e3779b97f4a7c15",
    ],
    "text": [
        "186da64456263a46",
        "c1999a454057bfd0",
        "8f2a830ce13da062",
        "d7b57f86a2327932",
        "efed726346f82c7a",
        "9e3779b97f4a7c15",
    ],
    "truth": ["910a2dec89025cc1", "e220a8397b1dcdaf", "9e3779b97f4a7c15"],
    "time": ["be34d00a6c8bec4a", "9e3779b97f4a7c15"],
    "rows": ["226ab70d25e9337c", "8ffe3cd5331669ab"],
    "salted": ["87b9110d13629bf5", "83b805643f9f348b"],
}


def _hex(values) -> list[str]:
    return [f"{value:016x}" for value in stable_hash(values).tolist()]


VALUES = {
    "whole": pa.array([0, 1, -1, 2**53 + 1, None]),
    "real": pa.array([0.0, -0.0, 1.5, float("nan"), float("inf"), None]),
    "text": pa.array(["", "a", "ride-17", "Ünter", "🚕", None]),
    "truth": pa.array([True, False, None]),
    "time": pa.array([1_709_208_000_000_000, None]).cast(pa.timestamp("us")),
}


@pytest.mark.parametrize("kind", sorted(VALUES))
def test_golden_values(kind):
    """Values of each type hash to what they hashed to in the first version."""
    assert _hex(VALUES[kind]) == GOLDEN[kind]


def test_golden_rows_and_salts():
    """So do whole rows, and salted hashes."""
    rows = stable_row_hash(pa.table({"a": [1, None], "b": ["x", "y"]}))
    assert [f"{value:016x}" for value in rows.tolist()] == GOLDEN["rows"]
    salted = salted_hash(np.array([0, 1], np.uint64), "holdout:42")
    assert [f"{value:016x}" for value in salted.tolist()] == GOLDEN["salted"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pa.array([1, 2, None], pa.int8()), pa.array([1, 2, None], pa.int64())),
        (pa.array([1.5, None], pa.float32()), pa.array([1.5, None], pa.float64())),
        (pa.array(["a", "b", None]), pa.array(["a", "b", None], pa.large_string())),
        (pa.array(["a", "b", None]), pa.array(["a", "b", None]).dictionary_encode()),
        (pa.array([date(2024, 1, 1)]), pa.array([1_704_067_200]).cast(pa.timestamp("s"))),
        (pa.array([0.0]), pa.array([-0.0])),
        (pa.array([True]), pa.array([1])),
    ],
    ids=str,
)
def test_equal_values_hash_alike(one, other):
    """The width, layout or unit of a type does not show in the hash."""
    assert _hex(one) == _hex(other)


@given(
    st.lists(st.one_of(st.none(), st.text(max_size=5)), max_size=30),
    st.integers(0, 30),
)
def test_hashes_do_not_depend_on_neighbours(values, cut):
    """Slices, chunks and dictionaries of other rows do not change a value's hash."""
    whole = pa.array(values, pa.string())
    chunks = pa.chunked_array([whole[:cut], whole[cut:]], pa.string())
    expected = [int(stable_hash(pa.array([value], pa.string()))[0]) for value in values]
    assert stable_hash(whole).tolist() == expected
    assert stable_hash(chunks).tolist() == expected
    assert stable_hash(whole.dictionary_encode()[cut:]).tolist() == expected[cut:]
    encoded = [chunk.dictionary_encode() for chunk in chunks.chunks]
    assert stable_hash(pa.chunked_array(encoded)).tolist() == expected


@pytest.mark.parametrize(
    "values",
    [pa.array(np.arange(200_000)), pa.array([f"ride-{number}" for number in range(200_000)])],
    ids=["whole", "text"],
)
def test_hashes_are_even_and_distinct(values):
    """Consecutive keys spread evenly over 64 buckets of the hash space, without collisions."""
    hashed = stable_hash(values)
    assert len(np.unique(hashed)) == len(values)
    counts = np.bincount((hashed >> np.uint64(58)).astype(np.int64), minlength=64)
    expected = len(values) / 64
    chi_squared = ((counts - expected) ** 2 / expected).sum()
    assert chi_squared < 120  # the 99.99th percentile with 63 degrees of freedom


def test_salts_make_independent_hashes():
    """What one salt puts into the lower half says nothing about the other salt's choice."""
    hashed = stable_hash(pa.array(np.arange(100_000)))
    below = [salted_hash(hashed, salt) < np.uint64(2**63) for salt in ("holdout:1", "holdout:2")]
    own = hashed < np.uint64(2**63)
    for one, other in ((below[0], below[1]), (below[0], own)):
        assert abs((one & other).mean() - 0.25) < 0.005


def test_rows_hash_by_column_order():
    """A row's hash knows which column holds which value."""
    one = stable_row_hash(pa.table({"a": [1], "b": [2]}))
    assert one.tolist() != stable_row_hash(pa.table({"a": [2], "b": [1]})).tolist()


def test_file_and_document_hashes(tmp_path):
    """Files hash by content, documents by canonical JSON."""
    (tmp_path / "x").write_bytes(b"abc" * 100_000)
    assert hash_file(tmp_path / "x") == hash_bytes(b"abc" * 100_000)
    assert hash_bytes(b"abc") == hashlib.sha256(b"abc").hexdigest()
    assert hash_json({"b": [1, "ü"], "a": None}) == hash_bytes('{"a":null,"b":[1,"ü"]}'.encode())
    with pytest.raises(StorageFailed):
        hash_file(tmp_path / "y")
