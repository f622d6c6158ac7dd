"""Columns that are looked at together come out as each would by itself, to the last bit."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tidemill.alike import alike
from tidemill.casting import cast_column
from tidemill.config import DatasetConfig
from tidemill.engines import LocalEngine
from tidemill.ingestion import list_source, look, read_split
from tidemill.ingestion.first_look.number_spread import Spread, spreads_of
from tidemill.ingestion.first_look.prospects import leaks
from tidemill.ingestion.sources.batches import cells_of
from tidemill.ingestion.sources.many_text_columns import columns_of_texts
from tidemill.ingestion.sources.text_columns import Stated, column_of_texts
from tidemill.profiling import NumericProfile
from tidemill.schema import Column, ColumnType, Purpose, SourceColumn, TableSchema, Task

#: Texts of columns: plain, in every style, codes, dirty, with gaps, times, words.
POOLS = (
    ["1", "2", "3"],
    ["0.5", "1.25", "-3"],
    ["1.10", "2.50", "3.00"],
    ["0.10", "12.5"],
    ["1.5", "1.50"],
    ["007", "7"],
    ["1e5", "2"],
    ["+1", "2"],
    [".5", "-.5", ".25"],
    ["5.", "6."],
    ["-0.0", "-0", "1.0"],
    ["", "NA", "3", "4"],
    ["", "NA"],
    ["-999", "1", "2.5"],
    [" 1", "2 "],
    ["1-2", "3-4"],
    ["1,5", "2,5"],
    ["$1", "$2"],
    ["12345678901234567890", "1"],
    ["0.000000000000000001", "1"],
    ["0." + "0" * 400 + "1", "1"],
    ["1" * 400, "2"],
    ["16777217", "1"],
    ["yes", "no"],
    ["a", "b"],
    ["x1", "y2"],
    ["\u0663", "\u0664"],
    ["2024-01-01", "2024-02-03"],
    ["13/01/2024", "01/02/2024"],
)


def some_columns(seed: int) -> dict[str, pa.Array]:
    """A few columns of one length, of one pool or of two."""
    draw = random.Random(seed)
    rows, columns = draw.choice([1, 3, 40, 300]), {}
    for number in range(draw.randint(2, 12)):
        pool = [*draw.choice(POOLS), *(draw.choice(POOLS) if draw.random() < 0.2 else ())]
        weights = [draw.choice([1, 1, 30]) for _ in pool]
        columns[f"c{number}"] = pa.array(draw.choices(pool, weights, k=rows), pa.string())
    return columns


def test_columns_of_texts_are_read_as_each_by_itself() -> None:
    """Type, style, words, convention, what is missing, and notes: of 60 tables all the same."""
    met: Counter[tuple[str, str]] = Counter()
    for seed in range(60):
        columns = some_columns(seed)
        stated = {name: Stated(("NA", "-999"), key=name == "c1") for name in columns}
        stated["c0"] = Stated(("NA",), type=ColumnType.CATEGORICAL)
        together = columns_of_texts(columns, stated)
        assert list(together) == list(columns)
        for name, texts in columns.items():
            assert together[name] == column_of_texts(name, texts, stated[name]), texts
            met[together[name].type, together[name].style] += 1
    assert {"shortest", "decimals 2", ""} <= {style for _, style in met}


@pytest.mark.parametrize(
    "kind",
    [pa.float32(), pytest.param(pa.float64(), marks=pytest.mark.slow), pa.timestamp("us")],
)
def test_cells_are_cast_as_those_of_each_column(kind: pa.DataType) -> None:
    """Values, faults with their places and texts, and numbers that float32 alters."""
    source = SourceColumn("", "number", style="shortest")
    faulty = altered = 0
    for seed in range(40):
        columns = some_columns(seed)
        for _, group in alike({name: (None, texts) for name, texts in columns.items()}):
            cells = cast_column(group.cells, kind, ("NA",), source)
            for name, found in cells_of(group, cells):
                alone = cast_column(columns[name], kind, ("NA",), source)
                assert found.values.equals(alone.values)
                for ours, theirs in (
                    (found.faults, alone.faults),
                    (found.misfits, alone.misfits),
                ):
                    assert (ours is None) == (theirs is None)
                    if ours is not None and theirs is not None:
                        assert ours.indices.tolist() == theirs.indices.tolist()
                        assert ours.texts == theirs.texts
                faulty += found.faults is not None
                altered += found.misfits is not None
    assert faulty > 25
    assert altered > 2 or kind != pa.float32()


def numbers(seed: int) -> tuple[np.ndarray, list[tuple[float, ...]]]:
    """Columns with gaps and negative zeros, and some edges of each."""
    draw = np.random.default_rng(seed)
    columns, rows = int(draw.integers(1, 9)), int(draw.choice([0, 1, 5, 419, 5_000]))
    values = draw.normal(size=(columns, rows)) * 10.0 ** draw.integers(-2, 7, (columns, 1))
    values = values.astype([np.float32, np.float64, np.int64][seed % 3])
    if values.dtype != np.int64 and rows:
        values[draw.random(values.shape) < [0, 0.01][seed % 2]] = np.nan
        values[0, 0], values[-1, 0] = np.nan, -0.0
    edges = [
        tuple(np.unique(draw.normal(size=int(draw.integers(0, 9)))).tolist())
        for _ in range(columns)
    ]
    return values, edges


def test_profiles_and_spreads_are_those_of_each_column() -> None:
    """Moments, ranges, histograms and edges are the same bits."""
    for seed in range(30):
        values, edges = numbers(seed)
        together = NumericProfile.of_each(values, edges)
        alone = [NumericProfile.of(row, cuts) for row, cuts in zip(values, edges, strict=True)]
        assert [p.to_json() for p in together] == [p.to_json() for p in alone]
        columns = {str(at): pa.array(row, from_pandas=True) for at, row in enumerate(values)}
        most = dict.fromkeys(columns, 8)
        spreads = spreads_of(columns, most)
        for name, column in columns.items():
            assert spreads[name] == spreads_of({name: column}, most)[name]
            if not len(column.drop_null()):
                assert spreads[name] == Spread()


def test_leaks_are_those_of_each_feature() -> None:
    """Of forty features, with gaps, ties and one leak, the same ones with the same figures."""
    draw = np.random.default_rng(2)
    label = draw.integers(0, 2, 400)
    arrays = {f"x{at}": (label + draw.normal(size=400)).round(1) for at in range(40)}
    arrays["x7"] = label + draw.normal(size=400) * 0.01
    table = {
        name: pa.array(values, mask=draw.random(400) < 0.05 * (at % 3 == 0))
        for at, (name, values) in enumerate(arrays.items())
    }
    table["y"] = pa.array([str(value) for value in label]).dictionary_encode()
    columns = [Column(n, ColumnType.NUMERIC, Purpose.FEATURE, "float64") for n in arrays]
    target = Column("y", ColumnType.CATEGORICAL, Purpose.TARGET, "dictionary")
    found = leaks(TableSchema((*columns, target), Task.BINARY), pa.table(table))
    alone = [
        leak
        for column in columns
        for leak in leaks(TableSchema((column, target), Task.BINARY), pa.table(table))
    ]
    assert list(found) == alone
    assert [name for name, _ in found] == ["x7"]


def test_each_column_of_categories_has_its_own_words(tmp_path: Path) -> None:
    """Short columns of texts that are read alike do not share a dictionary."""
    rows = [{"a": "red", "b": "north", "c": "no", "y": f"{row % 2}"} for row in range(40)]
    rows[3] |= {"a": "blue", "b": "south", "c": "yes"}
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    dataset = DatasetConfig(source="t.jsonl", target="y")
    with LocalEngine(1) as engine:
        listing = list_source(dataset, tmp_path, engine)
    schema = look(dataset, listing, tmp_path)
    split = listing.splits[0]
    (batch,) = read_split(split, schema, dataset, listing, tmp_path, batch_rows=100)
    words = {n: batch.table[n].chunk(0).dictionary.to_pylist() for n in ("a", "b")}
    assert words == {"a": ["red", "blue"], "b": ["north", "south"]}
