"""How times and categories are written: one rule for files, requests and labels."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.spelling import moments

TIMES = {
    "2024-01-01": "2024-01-01 00:00:00",
    "2024-01-01 10": "2024-01-01 10:00:00",
    "2024-01-01T10:00Z": "2024-01-01 10:00:00",
    "2024-01-01T10:00:00+0130": "2024-01-01 08:30:00",
    "2024-01-01 10:00:00.25 +01": "2024-01-01 09:00:00.250000",
    "2024-01-01T10:00:00,1234567z": "2024-01-01 10:00:00.123456",
    "2024-02-29t23:59:59-23:59": "2024-03-01 23:58:59",
}
NONE = [
    "2024-W01-1",
    "2024-001",
    "20240101",
    "2024-01-01T1000",
    "2024-01-01x10:00",
    "2024-01-01T10:00.5",
    "2024-01-01T10:00:00+99:99",
    "2024-01-01T10:00:00+24:00",
    "2024-01-01T10:00:00+23:60",
    "2024-01-01T24:00",
    "2024-01-01T10:00:60",
    "2024-02-30",
    "2024-13-01",
    "0000-01-01",
    "9999-12-31T23:59:59-23:00",
    "2024-01-01\n",
    "",
]


def read(*texts: str | None) -> list[str]:
    return [str(m) for m in moments(pa.array(texts, pa.string()), pa.timestamp("us"))]


def test_a_time_is_what_the_rule_says_whatever_stands_beside_it():
    """Alone, among others, and beside what is none: the same reading."""
    mixed = [*TIMES, *NONE, None]
    assert read(*mixed) == [*TIMES.values(), *["None"] * (len(NONE) + 1)]
    for text, moment in TIMES.items():
        assert read(text) == [moment]
    for text in NONE:
        assert read(text) == ["None"], text


@given(st.lists(st.sampled_from([*TIMES, *NONE]), min_size=1, max_size=6))
def test_neighbours_change_no_reading(texts):
    """What one cell says does not depend on which other cells came with it."""
    assert read(*texts) == [read(text)[0] for text in texts]


@pytest.mark.parametrize("kind", [pa.timestamp("us"), pa.timestamp("s")])
def test_no_time_at_all(kind):
    """Nothing in, nothing out."""
    assert moments(pa.array([], pa.string()), kind).to_pylist() == []
    assert moments(pa.nulls(2, pa.string()), kind).to_pylist() == [None, None]
