"""Which live rows judge: whole stretches of time, and never another side for a row."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.errors import IntegrityError, TooFewRows
from tidemill.ingestion import as_labelled
from tidemill.metrics import STRETCHES
from tidemill.retraining.gathering import Gathered, _among, find_gathered, gather_rows
from tidemill.retraining.sets import keep_cut, known_sides
from tidemill.retraining.sides import UNTIMED, Cut, Sides, stretch_numbers
from tidemill.schema import Column, ColumnType, Purpose, TableSchema, Task
from tidemill.storage import (
    LiveSet,
    StoreFolder,
    Workspace,
    hash_file,
    open_store,
    read_blocks,
    read_hashed,
    write_hashed,
    write_json,
    write_learnt,
)

HOUR = 3_600_000_000
SCHEMA = TableSchema(
    (
        Column("x", ColumnType.NUMERIC, Purpose.FEATURE, "float64"),
        Column("y", ColumnType.CATEGORICAL, Purpose.TARGET, "dictionary"),
    ),
    Task.BINARY,
    ("no", "yes"),
)
TIMES = st.lists(st.integers(-(10**6), 10**6), min_size=1, max_size=300)
SHARES = st.floats(0.02, 0.98)


def hashes(rows):
    return np.random.default_rng(5).integers(0, 2**64, rows, dtype=np.uint64)


def events(times, start=0):
    """Labelled rows of these microseconds; None is no time."""
    rows = len(times)
    return pa.table(
        {
            "event_id": [f"e{start + n}" for n in range(rows)],
            "at": pa.array(times, pa.timestamp("us")),
            "x": np.arange(start, start + rows, dtype=np.float64),
            "y": ["yes", "no"] * (rows // 2) + ["yes"] * (rows % 2),
        }
    )


def gathered(table, folder, sides=None, taken=(), batch=97):
    """What was gathered, and x of the learn rows and of the proof rows, as they lie."""
    batches = table.to_batches(max_chunksize=batch)
    found = gather_rows(batches, SCHEMA, sides or Sides(0.3), StoreFolder.at(folder), taken)
    both = [
        np.concatenate(
            [t["x"].to_numpy() for t in read_blocks(folder / "files" / f"{side}.parquet")]
        )
        for side in ("learn", "proof")
    ]
    return found, *both


def test_neighbours_in_time_are_on_one_side(tmp_path):
    """Half-hours of half a year: proof is twenty stretches of days, spread over all of it."""
    times = np.arange(8640) * HOUR // 2
    found, learn, proof = gathered(events(times), tmp_path / "rows")
    assert found.proof == pytest.approx(0.3 * 8640, abs=2)
    assert (found.learn + found.proof, len(found.cut.proof)) == (8640, 20)
    lengths = [(last - first) / HOUR for first, last in found.cut.proof]
    assert min(lengths) > 60
    assert [np.isin(proof // 432, [part]).sum() for part in range(20)] == pytest.approx(
        [129.6] * 20, abs=2
    )
    assert not set(learn) & set(proof)


def test_no_stretch_keeps_step_with_the_week():
    """Twenty weeks, a stretch of two days in each: they begin on every day."""
    times = np.arange(20 * 168) * HOUR
    starts = {first // (24 * HOUR) % 7 for first, _ in Cut.of(times, 0.25).proof}
    assert len(starts) >= 5


@given(first=TIMES, later=TIMES, share=SHARES, seed=st.integers(0, 99))
@settings(max_examples=60)
def test_a_row_never_changes_sides(first, later, share, seed):
    """However rows come in batches and in whatever order, and whatever comes after them."""
    times = np.array(first + later, np.int64)
    names = hashes(len(times))
    one = Sides(share).extended(times[: len(first)])
    whole = one.extended(times)
    judges = whole.judges(times, names)
    assert (one.judges(times[: len(first)], names[: len(first)]) == judges[: len(first)]).all()
    order = np.random.default_rng(seed).permutation(len(times))
    assert (whole.judges(times[order], names[order]) == judges[order]).all()
    assert whole.extended(times) == whole
    for cut in whole.cuts:
        assert Cut.from_json(cut.to_json()) == cut


@given(times=TIMES, share=SHARES)
@settings(max_examples=100)
def test_the_share_holds_or_the_hash_tells(times, share):
    """Also where many rows have one time: within a fifth, or nothing is cut."""
    times = np.array(times, np.int64)
    cut = Cut.of(times, share)
    if cut.proof is not None:
        held = cut.judges(times, np.zeros(len(times), bool)).mean()
        assert 0 < held < 1
        assert held == pytest.approx(share, rel=0.2 + 1e-9)


@pytest.mark.parametrize(
    ("times", "stretches"),
    [
        (np.repeat(np.arange(10) * 24, 100), 3),
        (np.repeat(np.arange(90) * 24, 70), 20),
        (np.arange(100), 20),
        (np.zeros(500), None),
        (np.concatenate([np.zeros(800), np.arange(1, 200)]), None),
    ],
    ids=["ten days' stamps", "ninety", "few rows", "one time", "nearly all of one time"],
)
def test_rows_of_one_time_stay_together(times, stretches):
    """Fewer stretches where times come in lumps; the hash where one lump is nearly all."""
    times = times.astype(np.int64) * HOUR
    cut = Cut.of(times, 0.3)
    assert (None if cut.proof is None else len(cut.proof)) == stretches
    judges = Sides(0.3, (cut,)).judges(times, hashes(len(times)))
    assert 0.2 < judges.mean() < 0.4


def test_rows_without_a_time_go_by_their_hash(tmp_path):
    """Some rows, or all of them; they judge part by part in the order in which they came."""
    times = [None if n % 3 else n * HOUR for n in range(3000)]
    found, _, proof = gathered(events(times), tmp_path / "some")
    assert len(found.cut.proof) == 20
    untimed = proof[proof % 3 != 0]
    assert 0.25 < len(untimed) / 2000 < 0.35
    table = events([None] * 3000)
    none, _, proof = gathered(table, tmp_path / "none")
    assert none.cut is None
    assert set(untimed) == set(proof[proof % 3 != 0])
    assert (np.diff(proof) > 0).all()
    again, _, same = gathered(table.drop_columns(["at"]), tmp_path / "no column")
    assert (again, same.tolist()) == (none, proof.tolist())


def test_without_ids_the_truth_decides_no_side(tmp_path):
    """The same rows with other labels judge, or teach, as they did."""
    table = events([None] * 600).drop_columns(["event_id"])
    turned = table.set_column(2, "y", pa.array(["yes"] * 600))
    _, _, one = gathered(table, tmp_path / "one")
    _, _, two = gathered(turned, tmp_path / "two")
    assert 0 < len(one) < 600
    assert one.tolist() == two.tolist()


def test_proof_follows_time_however_rows_came(tmp_path):
    """The twentieths by which chance is judged are of time; so is one that was late."""
    times = np.arange(40_000) * HOUR
    order = np.random.default_rng(1).permutation(len(times))
    _, _, sorted_proof = gathered(events(times), tmp_path / "a", batch=9000)
    table = events(times).take(pa.array(order))
    _, _, proof = gathered(table, tmp_path / "b", batch=9000)
    parts = np.arange(len(proof)) * STRETCHES // len(proof)
    for number in range(STRETCHES):
        assert set(proof[parts == number]) == set(sorted_proof[parts == number])


def test_parts_are_equal_whatever_the_times():
    """Rows without a time come first, in their order."""
    times = np.array([7, UNTIMED, 3, UNTIMED, 5] * 8)
    numbers = stretch_numbers(times)
    assert np.bincount(numbers).tolist() == [2] * 20
    assert numbers[times == UNTIMED].tolist() == sorted(numbers[times == UNTIMED].tolist())
    assert numbers[times == UNTIMED].max() < numbers[times == 3].min()
    assert stretch_numbers(times[:0]).tolist() == []


def test_the_next_take_is_cut_by_itself_and_late_rows_are_not(tmp_path):
    """What comes later has its own stretches; a late row goes where its neighbours went."""
    early = np.arange(0, 2000, 2) * HOUR
    found, _, _ = gathered(events(early), tmp_path / "one")
    sides = Sides(0.3, (found.cut,))
    late, new = np.arange(1, 400, 2) * HOUR, np.arange(2000, 2100) * HOUR
    second, _, proof = gathered(events(np.concatenate([late, new]), 5000), tmp_path / "two", sides)
    assert (second.cut.first, second.cut.last) == (2000 * HOUR, 2099 * HOUR)
    assert len(second.cut.proof) == 20
    judged = found.cut.judges(late, np.zeros(len(late), bool))
    assert set(proof[proof < 5200]) == set(5000 + np.flatnonzero(judged))


def test_what_was_learnt_judges_nobody(tmp_path):
    """A set of an earlier rule, by hash: its rows are left out on both sides."""
    table = events(np.arange(1000) * HOUR)
    earlier = LiveSet(Workspace.at(tmp_path), "0001-d0")
    _, old, _ = gathered(table.drop_columns(["at"]), earlier.place)
    write_json(earlier.place / "set.json", {"name": "0001-d0"})
    found, learn, proof = gathered(table, tmp_path / "new", taken=[earlier])
    assert found.repeated == len(old)
    assert not set(old) & (set(learn) | set(proof))
    assert found.proof / (found.proof + found.learn) == pytest.approx(0.3, abs=0.02)


def test_one_sided_rows_are_refused_and_fix_nothing(tmp_path):
    """All of them lie where an earlier cut lets judge."""
    sides = Sides(0.3, (Cut(0, 100 * HOUR, ((0, 100 * HOUR),)),))
    with pytest.raises(TooFewRows, match="0 may be learnt from, 50 would judge"):
        gathered(events(np.arange(50) * HOUR), tmp_path / "rows", sides)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_what_was_gathered_is_read_again(tmp_path):
    """Also as an earlier tidemill left it."""
    start = int(dt.datetime(2025, 1, 1, tzinfo=dt.UTC).timestamp()) * 10**6
    found, *_ = gathered(events(start + np.arange(300) * HOUR), tmp_path / "rows")
    kept = read_hashed(tmp_path / "rows" / "gathered.json")
    kept.pop("files_sha256")
    assert Gathered.from_json(kept) == found
    kept.pop("cut")
    assert Gathered.from_json(kept).cut is None


@pytest.mark.parametrize("name", ["gathered.json", "files/learn.parquet", "learnt.npy"])
def test_gathered_rows_that_are_damaged_are_gathered_again(tmp_path, name):
    """Nothing else would tell: a footer and a list of hashes have no checksum."""
    table, folder = events(np.arange(300) * HOUR), tmp_path / "rows"
    gathered(table, folder)
    whole = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    damaged = bytearray(whole[folder / name])
    damaged[-9] ^= 1
    (folder / name).write_bytes(damaged)
    found, *_ = gathered(table, folder)
    assert [word.split(" in ")[0] for word in found.said] == ["1 sets of gathered rows"]
    assert {file: file.read_bytes() for file in whole} == whole


def test_hashes_of_rows_that_taught_are_those_that_were_written(tmp_path):
    """Else rows that a model has learnt would judge it."""
    live = LiveSet(Workspace.at(tmp_path), "0001-d0")
    live.place.mkdir(parents=True)
    path = live.place / "learnt.npy"
    with path.open("wb") as file:
        write_learnt(file, hashes(9))
    write_hashed(live.place / "set.json", {"learnt": hash_file(path)})
    (whole,) = live.learnt()
    assert whole.tolist() == sorted(hashes(9).tolist()) == np.load(path).tolist()
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(IntegrityError, match=r"learnt\.npy is not what was written"):
        next(live.learnt())


def test_what_was_learnt_is_found_piece_by_piece(tmp_path):
    """The hashes of a set that is larger than a piece, and those between two pieces."""
    live = LiveSet(Workspace.at(tmp_path), "0001-d0")
    live.place.mkdir(parents=True)
    known = np.unique(hashes(2**20 + 5))
    with (live.place / "learnt.npy").open("wb") as file:
        write_learnt(file, known)
    write_json(live.place / "set.json", {"name": "0001-d0"})
    assert [len(piece) for piece in live.learnt()] == [2**20, 5]
    values = [known[2**20], known[0] - 1, known[2**20 - 1], known[0], known[-1] + 1, 5, 5]
    asked = np.array(values, np.uint64)
    assert _among(asked, [live]).tolist() == [True, False, True, True, False, False, False]
    assert _among(asked, [live, live])[:3].tolist() == [True, False, True]


def test_rows_are_gathered_in_any_store(tmp_path, monkeypatch):
    """The same objects, and none besides; what a killed one has begun is gone."""
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "storage" / "outside")
    folder = StoreFolder(f"tidemill_sqlite:SqliteStore://{tmp_path}/store.db", "d1/rows")
    store = open_store(folder.store)
    with store.replace(folder.key("files/half")) as begun:
        begun.write(b"half")
    table = events(np.arange(300) * HOUR)
    found = gather_rows(table.to_batches(max_chunksize=97), SCHEMA, Sides(0.3), folder)
    assert find_gathered(folder) == found == gathered(table, tmp_path / "rows")[0]
    names = ("files/learn.parquet", "files/proof.parquet", "gathered.json", "learnt.npy")
    assert list(store.list_keys()) == [folder.key(name) for name in names]
    for name in names:
        assert store.read(folder.key(name)) == (tmp_path / "rows" / name).read_bytes()


def test_cuts_are_kept_once_and_those_of_before_had_none(tmp_path):
    """A workspace whose share was kept without cuts goes on with it."""
    workspace = Workspace.at(tmp_path)
    write_json(workspace.live / "split.json", {"proof_fraction": 0.4})
    before = known_sides(workspace, 0.3)
    assert before == Sides(0.4)
    times = np.arange(100) * HOUR
    cut = before.extended(times).cuts[-1]
    for _ in range(2):
        keep_cut(workspace, before, cut)
        assert known_sides(workspace, 0.3) == Sides(0.4, (cut,))
    keep_cut(workspace, known_sides(workspace, 0.3), cut)
    keep_cut(workspace, known_sides(workspace, 0.3), None)
    assert known_sides(workspace, 0.3) == Sides(0.4, (cut,))
    path = workspace.live / "split.json"
    path.write_text(path.read_text().replace("0.4", "0.6"))
    with pytest.raises(IntegrityError, match="not what was written"):
        known_sides(workspace, 0.3)


@pytest.mark.parametrize(
    ("at", "untimed", "stretches"),
    [
        (
            ["soon", None, *(f"2024-03-{1 + n // 20:02d} 10:{n % 20:02d}" for n in range(398))],
            2,
            20,
        ),
        ([float(n) for n in range(400)], 400, None),
    ],
    ids=["texts", "numbers"],
)
def test_a_time_that_the_model_has_not_costs_no_row(tmp_path, at, untimed, stretches):
    """It only tells sides; rows without a readable one go by their hash, and are counted."""
    table = events([None] * 400).drop_columns(["at"]).append_column("at", pa.array(at))
    found, *_ = gathered(table, tmp_path / "rows")
    assert (found.learn + found.proof, found.unreadable, found.untimed) == (400, 0, untimed)
    assert (None if found.cut is None else len(found.cut.proof)) == stretches


@pytest.mark.parametrize(
    ("kind", "physical"), [("text", "string"), ("datetime", "timestamp[us]"), ("number", None)]
)
def test_at_is_read_where_it_can_tell_a_time(kind, physical):
    """As it comes, where the model has no time column; and never twice."""
    read = as_labelled(SCHEMA, {"event_id": "text", "x": "number", "y": "text", "at": kind})
    assert [c.physical for c in read.columns if c.name == "at"] == ([physical] if physical else [])
    carried = Column("at", ColumnType.CATEGORICAL, Purpose.CARRIED, "string")
    held = replace(SCHEMA, columns=(*SCHEMA.columns, carried))
    assert as_labelled(held, {"at": kind}).names == ("at",)
