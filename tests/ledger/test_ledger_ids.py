"""Sorted runs, filters and segments find exactly the ids that they hold."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.ledger.database import tables
from tidemill.ledger.database.blobs import pack_table, unpack_table
from tidemill.ledger.event_ids.filters import add_to_filter, empty_filter, may_contain
from tidemill.ledger.event_ids.id_segments import (
    find_in_segment,
    load_segments,
    read_range,
    write_segment,
)
from tidemill.ledger.event_ids.ids import IdRun, Ids, add_run, find_in_run, hash_ids

QUIET = settings(max_examples=80, deadline=None, derandomize=True, database=None)
# Few upper halves: equal ones, which chance never makes, are the hard case.
PAIRS = st.lists(
    st.tuples(st.integers(0, 5) | st.integers(2**64 - 3, 2**64 - 1), st.integers(0, 9)),
    unique=True,
    max_size=60,
)
TOP = 2**64


def ids_of(pairs):
    return Ids(
        np.array([high for high, _ in pairs], np.uint64),
        np.array([low for _, low in pairs], np.uint64),
    )


def run_of(pairs, first=0):
    return IdRun.of(ids_of(pairs), np.arange(first, first + len(pairs)))


@QUIET
@given(PAIRS, PAIRS)
def test_runs_find_what_they_hold(held, asked):
    """Every id has its row number, every other -1, in any order, also with equal halves."""
    ids = ids_of(asked)
    found = find_in_run(run_of(held), ids.high, ids.low)
    assert found.tolist() == [held.index(pair) if pair in held else -1 for pair in asked]


@QUIET
@given(PAIRS, st.lists(st.integers(1, 10), max_size=12))
def test_many_runs_stay_few(held, sizes):
    """However ids arrive, runs halve in length and hold them all."""
    runs, start = (), 0
    for size in [*sizes, len(held)]:
        piece = held[start : start + size]
        runs = add_run(runs, run_of(piece, start)) if piece else runs
        start += len(piece)
    assert sum(len(run) for run in runs) == len(held)
    assert all(len(a) >= 2 * len(b) for a, b in itertools.pairwise(runs))
    ids = ids_of(held)
    found = [find_in_run(run, ids.high, ids.low) for run in runs]
    best = np.max(found, axis=0).tolist() if found else []
    assert best == list(range(len(held)))


def random_pairs(rows, seed):
    drawn = np.random.default_rng(seed).integers(0, TOP, (rows, 2), np.uint64, endpoint=False)
    return Ids(np.ascontiguousarray(drawn[:, 0]), np.ascontiguousarray(drawn[:, 1]))


def test_filters_never_deny_and_seldom_err():
    """No id that was noted is denied; of others fewer than 1 in 100 pass."""
    held, others = random_pairs(20_000, 1), random_pairs(50_000, 2)
    bits = empty_filter(len(held))
    for piece in np.array_split(np.argsort(held.high), 7):
        add_to_filter(bits, held.high[piece], held.low[piece])
    assert may_contain(bits, held.high, held.low).all()
    assert 0 < may_contain(bits, others.high, others.low).mean() < 0.01


@settings(QUIET, max_examples=25)
@given(PAIRS, PAIRS, st.integers(0, 6), st.integers(0, 6))
def test_segments_find_what_they_hold(held, asked, start, stop):
    """A segment in a database answers as a dict does, and gives any range of hashes."""
    engine = sa.create_engine("sqlite://")
    tables.metadata.create_all(engine)
    with engine.begin() as connection:
        if not held:
            return
        written = write_segment(connection, run_of(held), 0)
        (segment,) = load_segments(connection)
        assert (segment.rows, segment.id) == (len(held), written.id)
        order = sorted(asked)
        ids = ids_of(order)
        found = find_in_segment(connection, segment, ids.high, ids.low)
        assert found.tolist() == [held.index(pair) if pair in held else -1 for pair in order]
        some = read_range(connection, segment, start, stop)
        assert list(zip(some.high.tolist(), some.low.tolist(), strict=True)) == sorted(
            pair for pair in held if start <= pair[0] < stop
        )
    engine.dispose()


def test_large_segments_have_many_pages():
    """Pages, fences and ranges fit together: nothing falls between two pages."""
    held, others = random_pairs(5000, 3), random_pairs(3000, 4)
    engine = sa.create_engine("sqlite://")
    tables.metadata.create_all(engine)
    with engine.begin() as connection:
        segment = write_segment(connection, IdRun.of(held, np.arange(5000)), 0)
        order = np.argsort(held.high)
        found = find_in_segment(connection, segment, held.high[order], held.low[order])
        assert (found == order).all()
        order = np.argsort(others.high)
        assert (
            find_in_segment(connection, segment, others.high[order], others.low[order]) < 0
        ).all()
        borders = [(n * TOP) // 7 for n in range(8)]
        pieces = [read_range(connection, segment, a, b) for a, b in itertools.pairwise(borders)]
        assert np.concatenate([piece.high for piece in pieces]).tolist() == sorted(
            held.high.tolist()
        )
    engine.dispose()


@QUIET
@given(st.lists(st.text(max_size=12), max_size=30))
def test_hashes_follow_the_text(texts):
    """Equal texts have equal hashes, others do not, whatever the characters; the salt matters."""
    array = pa.array(texts, pa.string())
    ids, other = hash_ids(array, bytes(16)), hash_ids(array, bytes([1] * 16))
    assert Ids.of_keys(ids.keys()).high.tolist() == ids.high.tolist()
    by_text = dict(zip(texts, ids.keys(), strict=True))
    assert [by_text[text] for text in texts] == ids.keys()
    assert len(set(by_text.values())) == len(by_text)
    assert not set(ids.keys()) & set(other.keys())


def test_tables_come_back_as_they_were():
    """Types, nulls, dictionaries and chunks survive storage."""
    table = pa.table(
        {
            "a": pa.chunked_array([["x", None], ["y"]]).dictionary_encode(),
            "b": pa.array([1.5, None, float("nan")], pa.float32()),
            "c": pa.array([True, None, False]),
            "d": pa.array([2**60, None, -1], pa.int64()),
        }
    )
    again = unpack_table(pack_table(table))
    assert again.schema.equals(table.schema)
    assert str(again.to_pydict()) == str(table.to_pydict())
