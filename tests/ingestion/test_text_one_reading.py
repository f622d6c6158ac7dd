"""One table as CSV, JSON lines and Parquet is one schema, and the values that were written."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tidemill.config import DatasetConfig
from tidemill.engines import LocalEngine
from tidemill.ingestion.first_look.look import LookResult, look_result
from tidemill.ingestion.sources.listing import list_source
from tidemill.ingestion.sources.reading import read_split
from tidemill.schema import ColumnType

MISSING = ["", "NA", "NaN", "null", "None", "N/A", " NA ", "   "]
FORMS = ("csv", "jsonl", "parquet")
ROWS = 90
FIRST, LAST = dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31)  # noqa: DTZ001


@dataclass(frozen=True)
class Written:
    """A column: its cells as texts, what they are worth, and how typed formats hold them."""

    texts: list[str]
    values: list[Any]
    type: ColumnType
    bare: list[Any] | None = None  # what JSON and Parquet hold; None: the texts


def _chosen(rng: random.Random, pool: list[Any], rows: int) -> list[Any]:
    """Every one of the pool, then any."""
    return [*pool, *(rng.choice(pool) for _ in range(rows - len(pool)))][:rows]


def _numbers(rng: random.Random, values: list[Any], show: Callable[[Any], str]) -> Written:
    cells = _chosen(rng, values, ROWS)
    return Written([show(v) for v in cells], [float(v) for v in cells], ColumnType.NUMERIC, cells)


def _integers(rng: random.Random) -> Written:
    top = 10 ** rng.randrange(1, 16)
    return _numbers(rng, [rng.randrange(-top, top) for _ in range(30)], str)


def _reals(rng: random.Random) -> Written:
    scale = 10.0 ** rng.randrange(-9, 9)
    return _numbers(rng, [rng.gauss(0, 1) * scale for _ in range(40)], repr)


def _decimals(rng: random.Random) -> Written:
    places = rng.randrange(1, 5)
    values = [round(rng.uniform(-900, 900), places) for _ in range(40)]
    return _numbers(rng, values, lambda v: f"{v:.{places}f}")


def _with_gaps(rng: random.Random) -> Written:
    """Whole numbers as a frame with gaps writes them beside one without."""
    values = [rng.randrange(1000) for _ in range(30)]
    return _numbers(rng, values, lambda v: rng.choice([f"{v}", f"{v}.0"]))


def _codes(rng: random.Random) -> Written:
    kinds: list[Callable[[int], list[str]]] = [
        lambda n: [f"{n:05d}", f"{n}"],
        lambda n: [f"+{n}", f"{n}"],
        lambda n: [f"1.{n}0", f"1.{n}"],
        lambda n: [f"{n}e2", f"{n}00"],
        lambda n: [f"0{n}", f"7{n}"],
        lambda n: [f"{9007199254740993 + 2 * n}", f"{n}"],
    ]
    make = rng.choice(kinds)
    cells = _chosen(rng, [text for n in range(1, 9) for text in make(n)], ROWS)
    return Written(cells, cells, ColumnType.CATEGORICAL)


def _words(rng: random.Random) -> Written:
    pool = [
        "Rome",
        "São Paulo",
        "a,b",
        'say "hi"',
        "x;y",
        "東京",
        "it's",
        "#5",
        "-",
        "tab\tbed",
        "NA1",
    ]
    cells = _chosen(rng, rng.sample(pool, 6), ROWS)
    return Written(cells, cells, ColumnType.CATEGORICAL)


def _flags(rng: random.Random) -> Written:
    no, yes = rng.choice([("no", "yes"), ("False", "True"), ("f", "t"), ("N", "Y")])
    cells = _chosen(rng, [False, True], ROWS)
    return Written([yes if c else no for c in cells], cells, ColumnType.BOOLEAN)


def _times(rng: random.Random, show: Callable[[dt.datetime], str], unit: int) -> Written:
    span = int((LAST - FIRST).total_seconds())
    moments = [FIRST + dt.timedelta(seconds=rng.randrange(span) // unit * unit) for _ in range(40)]
    cells = _chosen(rng, [*moments, LAST, FIRST], ROWS)
    return Written([show(c) for c in cells], cells, ColumnType.DATETIME)


def _iso(rng: random.Random) -> Written:
    if rng.random() < 0.5:
        return _times(rng, lambda t: t.isoformat(), 1)
    return _times(rng, lambda t: t.date().isoformat(), 86_400)


def _dmy(rng: random.Random) -> Written:
    mark = rng.choice("/.-")
    return _times(rng, lambda t: f"{t.day:02d}{mark}{t.month:02d}{mark}{t.year:04d}", 86_400)


def _conventional(rng: random.Random) -> Written:
    thousands, decimal = rng.choice([(".", ","), (",", "."), (" ", ","), ("'", ".")])
    prefix, suffix = rng.choice([("", ""), ("$", ""), ("", " €"), ("", "%")])

    def show(value: float) -> str:
        plain = f"{abs(value):,.2f}".replace(",", "_").replace(".", decimal)
        return ("-" if value < 0 else "") + prefix + plain.replace("_", thousands) + suffix

    values = [1234.5, *(round(rng.uniform(-90_000, 90_000), 2) for _ in range(39))]
    cells = _chosen(rng, values, ROWS)
    return Written([show(v) for v in cells], cells, ColumnType.NUMERIC)


KINDS = (
    *(_integers, _reals, _decimals, _with_gaps, _codes),
    *(_words, _flags, _iso, _dmy, _conventional),
)


def _random_table(seed: int) -> dict[str, Written]:
    """Some columns, with gaps here and there."""
    rng = random.Random(seed)
    table = {}
    for number in range(rng.randrange(2, 6)):
        column = rng.choice(KINDS)(rng)
        if rng.random() < 0.5:
            column = _with_missing(rng, column)
        table[f"c{number}"] = column
    return table


def _with_missing(rng: random.Random, column: Written) -> Written:
    texts, values = list(column.texts), list(column.values)
    bare = None if column.bare is None else list(column.bare)
    for row in rng.sample(range(ROWS), ROWS // 6):
        texts[row], values[row] = rng.choice(MISSING), None
        if bare is not None:
            bare[row] = None
    return Written(texts, values, column.type, bare)


def write(root: Path, form: str, table: dict[str, Written], rows: int) -> None:
    """The table as one file, with a target of 0 and 1."""
    targets = [i % 2 for i in range(rows)]
    if form == "csv":
        out = io.StringIO(newline="")
        writer = csv.writer(out)
        writer.writerow([*table, "y"])
        writer.writerows(zip(*(c.texts for c in table.values()), targets, strict=True))
        (root / "t.csv").write_text(out.getvalue(), newline="")
        return
    held = {name: c.texts if c.bare is None else c.bare for name, c in table.items()}
    if form == "jsonl":
        cells = zip(*held.values(), targets, strict=True)
        lines = [dict(zip([*held, "y"], row, strict=True)) for row in cells]
        (root / "t.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
        return
    pq.write_table(pa.table({**held, "y": targets}), root / "t.parquet")


def read(root: Path, form: str, **stated: Any) -> tuple[LookResult, pa.Table, dict[str, list[str]]]:
    """What look finds in the file of this form, all its rows, and the texts of its faults."""
    dataset = DatasetConfig.model_validate({"source": f"t.{form}", "target": "y", **stated})
    listing = list_source(dataset, root, LocalEngine())
    found = look_result(dataset, listing, root)
    batches = [
        batch
        for split in listing.splits
        for batch in read_split(split, found.schema, dataset, listing, root, batch_rows=64)
    ]
    faults: dict[str, list[str]] = {}
    for batch in batches:
        assert not batch.rejects
        for name, cells in batch.faults.items():
            faults.setdefault(name, []).extend(cells.texts)
    return found, pa.concat_tables([b.table for b in batches]).unify_dictionaries(), faults


def _same(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, float) and found is not None:
        # float32 where its shortest text is the number.
        return found == wanted or float(str(np.float32(found))) == wanted
    return found == wanted


def _holds(root: Path, table: dict[str, Written]) -> None:
    schemas = []
    for form in FORMS:
        write(root, form, table, ROWS)
        found, rows, faults = read(root, form)
        assert not faults, form
        schemas.append((found.schema.columns, found.schema.task))
        for name, column in table.items():
            assert found.schema[name].type is column.type, (form, name)
            for text, value, wanted in zip(
                column.texts, rows[name].to_pylist(), column.values, strict=True
            ):
                assert _same(value, wanted), (form, name, text, value, wanted)
    assert schemas[0] == schemas[1] == schemas[2]


@settings(
    max_examples=4,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 2**40))
def test_a_random_table_is_read_alike_in_every_format(tmp_path: Path, seed: int) -> None:
    """Numbers, codes, words, times, conventions, gaps: as generated, whatever the file."""
    _holds(tmp_path, _random_table(seed))


@pytest.mark.slow
@pytest.mark.timeout(3600)
@settings(
    max_examples=2000,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 2**40))
def test_thousands_of_random_tables_are_read_alike(tmp_path: Path, seed: int) -> None:
    """The same law, tried long."""
    _holds(tmp_path, _random_table(seed))


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_column_is_read_alike(tmp_path: Path, kind: Callable[..., Written]) -> None:
    """Every kind at least once, with gaps."""
    rng = random.Random(kind.__name__)
    _holds(tmp_path, {"c0": kind(rng), "c1": _with_missing(rng, kind(rng))})
