"""One column is one thing in all files of a source, and no column is lost without a word."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.ingestion import tables
from tests.ingestion.tables import values

from tidemill.errors import ConfigError, SchemaMismatch
from tidemill.ingestion.first_look.look import LookResult
from tidemill.ingestion.sources.batches import ParsedBatch

MORE = "cells of 'z', which is no column that look found"
Y = ["a", "b"] * 10


def read(root: Path, **stated: Any) -> tuple[LookResult, list[ParsedBatch]]:
    """What look finds in all files of the folder, and their rows."""
    return tables.read(root, **{"source": "*.*", **stated})


def files(root: Path, *columns: Any) -> None:
    """A Parquet file for each array, as column v beside a target."""
    for number, column in enumerate(columns):
        pq.write_table(pa.table({"v": column, "y": Y}), root / f"{number}.parquet")


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_a_column_that_later_files_have_is_told(tmp_path: Path, form: str) -> None:
    """By look, and counted by the scan; members of JSON count from the first that look met."""
    if form == "csv":
        (tmp_path / "a.csv").write_text("v,y\n" + "1,a\n2,b\n" * 10)
        (tmp_path / "b.csv").write_text("z,y,v\n" + "9,a,1\n9,b,2\n" * 10)
    elif form == "jsonl":
        lines = [{"v": 1, "y": "ab"[i % 2]} | ({"z": 9} if i >= 130 else {}) for i in range(150)]
        (tmp_path / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    else:
        files(tmp_path, [1] * 20)
        pq.write_table(pa.table({"z": [9] * 20, "v": [1] * 20, "y": Y}), tmp_path / "1.parquet")
    found, batches = read(tmp_path, look_rows=100)
    left = sum((Counter(batch.left_out) for batch in batches), Counter())
    assert left == {MORE: 20}
    assert f"{MORE}: left out" in found.layout
    assert found.schema.names == ("v", "y")


def test_a_member_that_only_a_later_file_has_is_a_column(tmp_path: Path) -> None:
    """As one is that only later lines of a file have."""
    (tmp_path / "a.jsonl").write_text('{"y": "a"}\n{"y": "b"}\n')
    (tmp_path / "b.jsonl").write_text('{"y": "a", "z": 7}\n{"y": "b", "z": 8}\n')
    _, batches = read(tmp_path)
    assert values(batches, "z") == [None, None, 7, 8]


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_files_may_hold_their_columns_in_any_order(tmp_path: Path, form: str) -> None:
    """Of columns of one type none takes another's values; of a name that comes twice neither."""
    rows = [{"a": i, "b": 100 + i, "c": 200 + i, "y": "ab"[i % 2]} for i in range(20)]
    for number, order in enumerate(["abcy", "ycba", "byca"]):
        table = pa.table({name: [row[name] for row in rows] for name in order})
        if form == "parquet":
            pq.write_table(table, tmp_path / f"{number}.parquet")
        elif form == "jsonl":
            lines = (json.dumps(row) + "\n" for row in table.to_pylist())
            (tmp_path / f"{number}.jsonl").write_text("".join(lines))
        else:
            lines = (",".join(map(str, row.values())) + "\n" for row in table.to_pylist())
            (tmp_path / f"{number}.csv").write_text(",".join(order) + "\n" + "".join(lines))
    _, batches = read(tmp_path)
    for name in "abcy":
        assert values(batches, name) == [row[name] for row in rows] * 3


def test_a_name_that_comes_twice_may_stand_anywhere(tmp_path: Path) -> None:
    """The first of it is the first in every file."""
    for number, names in enumerate(["vwvy", "ywvv"]):
        held = {"w": [3] * 20, "y": Y}
        seen = iter(([1] * 20, [2] * 20))
        columns = [pa.array(held[n] if n in held else next(seen)) for n in names]
        pq.write_table(pa.table(columns, names=list(names)), tmp_path / f"{number}.parquet")
    _, batches = read(tmp_path)
    for name, value in (("v", 1), ("w", 3), ("v_2", 2)):
        assert set(values(batches, name)) == {value}


NUMBERS = pa.array([*range(18), 0, 1])
TIMES = pa.array(range(20), pa.timestamp("s"))


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (NUMBERS, TIMES, "integer in 0.parquet and datetime in 1.parquet"),
        (TIMES, NUMBERS, "datetime in 0.parquet and integer in 1.parquet"),
        (pa.array([True, False] * 10), NUMBERS, "boolean in 0.parquet and integer in 1.parquet"),
        (NUMBERS, [[1]] * 20, "integer in 0.parquet and list<element: int64> in 1.parquet"),
        (["p", "q"] * 10, [b"\xff"] * 20, "text in 0.parquet and binary in 1.parquet"),
    ],
    ids=["number-time", "time-number", "truth-number", "number-list", "text-bytes"],
)
def test_types_that_cannot_be_one_are_refused(
    tmp_path: Path, first: Any, second: Any, said: str
) -> None:
    """A time is no number of microseconds, and 5 is not true; each remedy works."""
    files(tmp_path, first, second)
    with pytest.raises(SchemaMismatch, match=said) as refused:
        read(tmp_path)
    read(tmp_path, drop=["v"])
    for kind in ("numeric", "categorical"):
        if f'dataset.types: {{"v": {kind}}}' in refused.value.remedy:
            _, batches = read(tmp_path, types={"v": kind})
            assert not any(batch.faults for batch in batches)


@pytest.mark.parametrize(
    ("first", "second", "wanted"),
    [
        (pa.nulls(20), NUMBERS, NUMBERS.to_pylist()),
        (NUMBERS, pa.nulls(20), [None] * 20),
        (NUMBERS, NUMBERS.cast("float64"), NUMBERS.to_pylist()),
        (pa.array([0.5] * 20, pa.float32()), pa.array([1 / 3] * 20), [1 / 3] * 20),
    ],
    ids=["null-int", "int-null", "int-float", "float32-float64"],
)
def test_types_that_agree_are_read_as_the_wider(
    tmp_path: Path, first: Any, second: Any, wanted: list[Any]
) -> None:
    """A file without any value says nothing of the type; float64 is not float32."""
    files(tmp_path, first, second)
    _, batches = read(tmp_path)
    assert values(batches, "v")[20:] == wanted


@pytest.mark.parametrize("late", [False, True])
def test_decimals_that_are_whole_and_long_are_no_floats(tmp_path: Path, late: bool) -> None:
    """They are codes where look sees one; a later one is a fault: two never become one."""
    long = [Decimal(2**53 + number) for number in range(20)]
    cells = [Decimal(i) for i in range(200)] + long if late else long[:2] * 110
    columns = {"v": pa.array(cells, pa.decimal128(20, 0)), "y": Y * 11}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    _, batches = read(tmp_path, look_rows=100)
    if not late:
        assert values(batches, "v") == [str(cell) for cell in cells]
        return
    told = [text for batch in batches if "v" in batch.faults for text in batch.faults["v"].texts]
    assert told == [str(v) for v in long if int(float(v)) != v]


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_long_whole_numbers_that_are_stated_to_be_numeric_are_counted(
    tmp_path: Path, form: str
) -> None:
    """What is stated wins, but not in silence."""
    cells = [2**53 + 1, 2**53 + 2] * 10
    if form == "parquet":
        files(tmp_path, cells)
    else:
        lines = ["v,y"] if form == "csv" else []
        line = "{},{}" if form == "csv" else '{{"v": {}, "y": "{}"}}'
        lines += [line.format(cell, label) for cell, label in zip(cells, Y, strict=True)]
        (tmp_path / f"t.{form}").write_text("\n".join(lines))
    _, batches = read(tmp_path, types={"v": "numeric"})
    assert sum(batch.cut.get("v", 0) for batch in batches) == 10
    assert not any(batch.faults for batch in batches)


def test_a_column_of_hours_is_called_what_it_is(tmp_path: Path) -> None:
    """And no remedy is offered that would be refused."""
    files(tmp_path, pa.array(range(20), pa.time32("s")))
    found, _ = read(tmp_path)
    assert found.ignored["v"] == "time32[ms] values cannot be learnt from"
    with pytest.raises(ConfigError, match=r"holds time32\[ms\] values") as refused:
        read(tmp_path, types={"v": "numeric"})
    assert "derive" not in refused.value.remedy


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_keys_beyond_64_bits_are_texts(tmp_path: Path, form: str) -> None:
    """None is lost, and none is another's."""
    keys = [2**64 - 20 + i for i in range(20)]
    if form == "csv":
        lines = [f"{key},{label}" for key, label in zip(keys, Y, strict=True)]
        (tmp_path / "t.csv").write_text("\n".join(["v,y", *lines]))
    else:
        files(tmp_path, pa.array(keys, pa.uint64()))
    _, batches = read(tmp_path, key="v")
    assert values(batches, "v") == [str(key) for key in keys]


def test_days_that_may_begin_with_the_year_are_not_guessed(tmp_path: Path) -> None:
    """24/02/13 is a day of February 2024, or of 2013; what differs less is more likely a year."""
    for name, form in (("a.csv", "{0}/0{1}/{2}"), ("b.csv", "{2}/0{1}/{0}")):
        days = [form.format(20 + i % 5, 1 + i % 9, 10 + i) for i in range(19)]
        lines = [f"{day},{label}" for day, label in zip(days, Y, strict=False)]
        (tmp_path / name).write_text("\n".join(["v,y", *lines]))
    found, _ = read(tmp_path, source="a.csv", types={"y": "categorical"})
    assert "'%d/%m/%y' or '%y/%m/%d'" in found.notes["v"]
    _, batches = read(tmp_path, source="b.csv")
    assert values(batches, "v")[0].year == 2020
