"""The exchange: every row comes to its shard, in order, whatever the runs; damage is seen."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.errors import IntegrityError, StorageFailed
from tidemill.storage import Exchange, StoreFolder, open_store


def rows_of(numbers: np.ndarray) -> pa.Table:
    texts = pa.array([f"text {number % 5}" for number in numbers]).dictionary_encode()
    return pa.table({"number": numbers, "text": texts, "": numbers * 2})


def filled(
    place: Path | StoreFolder,
    places: np.ndarray,
    *,
    shards: int,
    groups: int,
    pieces: int,
    add: int,
    run: int,
) -> Exchange:
    """The exchange of rows numbered from 0, which go to ``places``."""
    folder = StoreFolder.at(place) if isinstance(place, Path) else place
    exchange = Exchange(folder, shards, groups, run)
    indices = []
    for number, mine in enumerate(np.array_split(np.arange(len(places)), pieces)):
        with exchange.writer(number) as writer:
            for start in range(0, len(mine), add):
                taken = mine[start : start + add]
                writer.add(rows_of(taken), places[taken])
        assert writer.stored.key == folder.key(exchange.name(number))
        assert writer.stored.sha256 == open_store(folder.store).sha256(writer.stored.key)
        indices.append(writer.index)
    assert sum(index.rows.sum() for index in indices) == (places >= 0).sum()
    return exchange.holding(indices)


@settings(max_examples=settings.default.max_examples * 2 // 5)
@given(
    rows=st.integers(0, 300),
    shards=st.integers(1, 6),
    groups=st.integers(1, 3),
    pieces=st.integers(1, 4),
    add=st.integers(1, 80),
    run=st.integers(1, 120),
    seed=st.integers(0, 99),
)
def test_every_row_comes_to_its_shard(rows, shards, groups, pieces, add, run, seed):
    """By group, then as they were added; runs, pieces and rows that are left out do not show."""
    places = np.random.default_rng(seed).integers(-1, shards * groups, rows)
    with tempfile.TemporaryDirectory() as folder:
        exchange = filled(
            Path(folder), places, shards=shards, groups=groups, pieces=pieces, add=add, run=run
        )
        assert len(list(Path(folder).iterdir())) == pieces
        split = np.array_split(places // groups, pieces)
        for shard in range(shards):
            holding = [number for number, mine in enumerate(split) if (mine == shard).any()]
            assert exchange.pieces_of(shard).tolist() == holding
            found = list(exchange.read(shard))
            mine = [np.flatnonzero(places == shard * groups + group) for group in range(groups)]
            assert [group for group, _ in found] == sorted(group for group, _ in found)
            tables = [table for _, table in found]
            numbers = np.concatenate([np.empty(0, int), *(t["number"].to_numpy() for t in tables)])
            assert numbers.tolist() == np.concatenate(mine).tolist()
            for table in tables:
                told = [f"text {number % 5}" for number in table["number"].to_pylist()]
                assert table["text"].to_pylist() == told
                assert (table.column(2).to_numpy() == 2 * table["number"].to_numpy()).all()


def test_damage_is_seen(tmp_path):
    """Whatever byte of a piece changes, and however short it is, reading says so by name."""
    places = np.random.default_rng(1).integers(0, 6, 60)
    exchange = filled(tmp_path, places, shards=3, groups=2, pieces=1, add=60, run=60)
    path = tmp_path / exchange.name(0)
    sound = path.read_bytes()
    for at in [*range(40), *range(40, len(sound), 97)]:
        path.write_bytes(sound[:at] + bytes([sound[at] ^ 1]) + sound[at + 1 :])
        with pytest.raises(IntegrityError, match=r"piece-00000\.ipc changed"):
            [list(exchange.read(shard)) for shard in range(3)]
    for damage in (lambda: path.write_bytes(sound[:-1]), path.unlink):
        damage()
        with pytest.raises(IntegrityError, match=r"piece-00000\.ipc changed"):
            list(exchange.read(2))


@pytest.mark.parametrize("run", [60, 9], ids=["in memory", "in runs"])
def test_any_store_takes_an_exchange(tmp_path, monkeypatch, run):
    """Rows go through a database as through a folder; whatever the runs."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "outside"))
    places = np.random.default_rng(1).integers(0, 6, 60)
    made = {"shards": 3, "groups": 2, "pieces": 2, "add": 8, "run": run}
    other = StoreFolder(f"sqlite://{tmp_path}/store.db", "work")
    exchanges = [filled(place, places, **made) for place in (tmp_path / "here", other)]
    for shard in range(3):
        found = [[(group, t.to_pydict()) for group, t in e.read(shard)] for e in exchanges]
        assert found[0] == found[1] != []


def test_scratch_lies_where_the_pieces_do(tmp_path, monkeypatch):
    """Beside them, where the store is a folder; of another store in ``TMPDIR``, and only there."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "outside"))
    assert StoreFolder.at(tmp_path / "work").scratch() == tmp_path / "work"
    (tmp_path / "none").write_text("")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    other = StoreFolder(f"sqlite://{tmp_path}/store.db", "work")
    made = {"shards": 3, "groups": 1, "pieces": 1, "add": 8}
    with pytest.raises(StorageFailed, match=f"^{tmp_path}/none: "):
        filled(other, np.arange(60) % 3, run=9, **made)
    filled(other, np.arange(60) % 3, run=60, **made)
    filled(tmp_path / "work", np.arange(60) % 3, run=9, **made)


@pytest.mark.parametrize("shards", [2, 500])
def test_memory_is_that_of_runs(tmp_path, monkeypatch, shards):
    """A piece of forty runs is written in the memory of a few, and read in that of a frame."""
    monkeypatch.setattr("tidemill.storage.piece_writer._FRAME_ROWS", 1000)
    rows, run = 80_000, 2_000
    places = np.random.default_rng(1).integers(0, shards, rows)
    pool = pa.proxy_memory_pool(pa.default_memory_pool())
    before = pa.default_memory_pool()
    pa.set_memory_pool(pool)
    try:
        exchange = filled(tmp_path, places, shards=shards, groups=1, pieces=1, add=900, run=run)
        for _ in exchange.read(1):
            pass
    finally:
        pa.set_memory_pool(before)
    run_bytes = rows_of(np.arange(run)).nbytes
    assert run_bytes < pool.max_memory() < 8 * run_bytes
