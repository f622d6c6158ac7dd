"""Times with zones and names of months, and points that may group thousands: one column's law."""

from __future__ import annotations

import csv
import datetime as dt
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tidemill.config import DatasetConfig
from tidemill.engines import LocalEngine
from tidemill.errors import ConfigError
from tidemill.ingestion.first_look.look import LookResult, look_result
from tidemill.ingestion.sources.batches import ParsedBatch
from tidemill.ingestion.sources.listing import list_source
from tidemill.ingestion.sources.reading import read_split
from tidemill.schema import ColumnType
from tidemill.time_conventions import find_time_conventions

FORMS = ("csv", "jsonl", "parquet")
ROWS = 60
Y = ["a", "b"] * (ROWS // 2)
MOMENTS = [
    dt.datetime(2024, 1, 1) + dt.timedelta(days=5 * n, hours=7 * n, minutes=n)  # noqa: DTZ001
    for n in range(ROWS)
]


def write(root: Path, form: str, v: list[Any]) -> None:
    """The column beside a target."""
    if form == "parquet":
        pq.write_table(pa.table({"v": v, "y": Y}), root / "t.parquet")
    elif form == "jsonl":
        lines = (json.dumps({"v": c, "y": y}) + "\n" for c, y in zip(v, Y, strict=True))
        (root / "t.jsonl").write_text("".join(lines))
    else:
        with (root / "t.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("v", "y"), *zip(v, Y, strict=True)])


def read(root: Path, form: str, **stated: Any) -> tuple[LookResult, list[ParsedBatch]]:
    """What look finds, and the rows."""
    given = {"source": f"t.{form}", "target": "y", **stated}
    dataset = DatasetConfig.model_validate(given)
    listing = list_source(dataset, root, LocalEngine())
    found = look_result(dataset, listing, root)
    return found, [
        batch
        for split in listing.splits
        for batch in read_split(split, found.schema, dataset, listing, root, batch_rows=16)
    ]


def values(batches: list[ParsedBatch]) -> list[Any]:
    """The column's cells."""
    return [value for batch in batches for value in batch.table["v"].to_pylist()]


DAYS = [
    *("%d-%b-%y", "%d-%b-%Y", "%d %B %Y", "%B %d, %Y", "%a, %d %b %Y %H:%M:%S GMT"),
    *("%d/%b/%Y:%H:%M:%S +0000", "%a %b %d %H:%M:%S %Y", "%A, %d %B %Y", "%d%b%Y:%H:%M:%S"),
    *("%d/%m/%Y %H:%M UTC", "%d.%m.%Y %H:%M:%SZ", "%m/%d/%Y %I:%M %p", "%b %d, %Y %I:%M:%S %p"),
    *("%Y-%m-%d %H:%M:%S UTC", "%Y-%m-%d %H:%M:%S GMT", "%Y-%m-%dT%H:%M:%SUTC", "%d %b %y %H:%M"),
    *(
        "%Y-%m-%d %I:%M %p",
        "%Y-%b-%d",
        "%Y-%m-%d %H:%M:%S+00:00",
        "%Y-%m-%d %H:%M:%S.%f UTC",
        "%d/%m/%Y %H:%M:%S.%f",
    ),
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("way", DAYS)
def test_times_with_names_and_zones_are_times(tmp_path: Path, form: str, way: str) -> None:
    """The same ones in every format, by a convention that all texts looked at keep."""
    shown = [moment.strftime(way) for moment in MOMENTS]
    write(tmp_path, form, shown)
    found, batches = read(tmp_path, form)
    assert found.schema["v"].type is ColumnType.DATETIME
    wanted = [dt.datetime.strptime(text, way).replace(tzinfo=None) for text in shown]  # noqa: DTZ007
    assert values(batches) == wanted


@pytest.mark.parametrize("form", FORMS)
def test_offsets_lead_to_utc_and_a_later_cell_is_refused_by_place(
    tmp_path: Path, form: str
) -> None:
    """Whatever does not keep the convention is a fault: another weekday, no zone, no such day."""
    way, east = "%a, %d %b %Y %H:%M:%S", dt.timedelta(hours=2)
    shown = [f"{moment + east:{way}} +0200" for moment in MOMENTS]
    late = {50: "Mon, 02 Jan 2024 00:00:00 +0200", 51: "2024-01-02", 52: shown[52][:-6]}
    late[53] = "Thu, 29 Feb 2023 00:00:00 +0000"
    write(tmp_path, form, [late.get(n, text) for n, text in enumerate(shown)])
    _, batches = read(tmp_path, form, conventions={"v": f"{way} %z"})
    assert values(batches) == [None if n in late else m for n, m in enumerate(MOMENTS)]
    refused = [
        (int(b.rows[i]), text)
        for b in batches
        if b.faults
        for i, text in zip(b.faults["v"].indices, b.faults["v"].texts, strict=True)
    ]
    assert refused == list(late.items())


def test_formats_of_one_meaning_are_one() -> None:
    """May is a short and a long name; day and month first are two, if all looked at are alike."""
    assert len(find_time_conventions(pa.array(["02 May 2024", "12 May 2024"]))) == 1
    assert len(find_time_conventions(pa.array(["02/02/2024", "03/03/2024"]))) == 2


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("day", ["%Y-%m-%d", "%d/%m/%Y", "%d %B %Y", "%a, %d %b %Y"])
@pytest.mark.parametrize("clock", [" %H:%M", " %I:%M:%S %p"])
def test_a_day_among_times_is_its_midnight(tmp_path: Path, form: str, day: str, clock: str) -> None:
    """In whatever convention; a clock of another kind is none of the column's."""
    iso = day.startswith("%Y")
    clock = " %H:%M" if iso else clock
    shown = [f"{m:{day}}" if n % 3 == 0 else f"{m:{day}{clock}}" for n, m in enumerate(MOMENTS)]
    write(tmp_path, form, shown)
    _, batches = read(tmp_path, form)
    midnight = dt.time()
    assert values(batches) == [
        dt.datetime.combine(m.date(), midnight) if n % 3 == 0 else m for n, m in enumerate(MOMENTS)
    ]
    if not iso:
        write(tmp_path, form, [*shown[:-1], f"{MOMENTS[-1]:{day}} 23h"])
        _, batches = read(tmp_path, form, conventions={"v": day + clock})
        assert values(batches)[-1] is None


@pytest.mark.parametrize("form", FORMS)
def test_a_zone_that_is_no_offset_is_named(tmp_path: Path, form: str) -> None:
    """Nobody can say what IST is."""
    for way in ("%Y-%m-%d %H:%M:%S", "%d/%m/%Y %H:%M"):
        write(
            tmp_path,
            form,
            [f"{moment:{way}} {'IST' if moment.day % 2 else 'UTC'}" for moment in MOMENTS],
        )
        found, _ = read(tmp_path, form)
        assert "'IST', which has no one offset" in found.ignored["v"]


GROUPED = [f"{1 + 7 * n % 900}.{n * 37 % 1000:03d}" for n in range(ROWS)]


@pytest.mark.parametrize("texts", [GROUPED, [*GROUPED[:30], *("512", "-7", "0") * 10]])
def test_a_point_that_may_group_thousands_is_told(tmp_path: Path, texts: list[str]) -> None:
    """Read as decimals, with the line that reads thousands; stated, nothing is told any more."""
    write(tmp_path, "csv", texts)
    found, batches = read(tmp_path, "csv")
    assert 'dataset.conventions: {"v": "1.234,5"}' in found.notes["v"]
    assert [float(str(value)) for value in values(batches)] == pytest.approx([*map(float, texts)])
    for stated, grouped in (("1.234,5", True), ("1234.5", False)):
        found, batches = read(tmp_path, "csv", conventions={"v": stated})
        assert not found.notes
        wanted = [float(t.replace(".", "") if grouped else t) for t in texts]
        assert values(batches) == pytest.approx(wanted)
    found, _ = read(tmp_path, "csv", types={"v": "numeric"})
    assert "1.234,5" in found.notes["v"]


@pytest.mark.parametrize(
    "texts",
    [
        ["0.512", *GROUPED[1:]],
        [*GROUPED[1:], "12.5"],
        [*GROUPED[1:], "1234.567"],
        [*GROUPED[1:], "4711"],
        [str(n) for n in range(ROWS)],
        ["-0.250", *GROUPED[1:]],
    ],
)
def test_no_other_point_is(tmp_path: Path, texts: list[str]) -> None:
    """What no groups of three can be is decimals without a word; so is a bare number of JSON."""
    write(tmp_path, "csv", texts)
    assert not read(tmp_path, "csv")[0].notes
    for form in ("jsonl", "parquet"):
        write(tmp_path, form, [float(text) for text in GROUPED])
        assert not read(tmp_path, form)[0].notes


def test_many_columns_are_told_of_as_one_is(tmp_path: Path) -> None:
    """Columns of clean numbers are looked at together; their points are told apart all the same."""
    header = ",".join([*(f"v{n}" for n in range(40)), "y"])
    plain = [f"0.{n:03d}" if n % 2 else f"{n}.125" for n in range(ROWS)]
    rows = [
        ",".join([*((GROUPED if n < 3 else plain)[row] for n in range(40)), Y[row]])
        for row in range(ROWS)
    ]
    (tmp_path / "t.csv").write_text("\n".join([header, *rows]) + "\n")
    found, _ = read(tmp_path, "csv")
    assert set(found.notes) == {"v0", "v1", "v2"}


def test_a_stated_convention_that_is_none_is_refused() -> None:
    """A format needs a day, a month and a year."""
    with pytest.raises((ConfigError, ValueError), match="strptime"):
        DatasetConfig.model_validate({"source": "a", "target": "y", "conventions": {"v": "%B %Y"}})
