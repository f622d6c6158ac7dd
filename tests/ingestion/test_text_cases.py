"""Small tables that came out wrong once come out right, whatever format they are in."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.ingestion import tables
from tests.ingestion.tables import values

from tidemill.errors import SourceUnreadable
from tidemill.ingestion.first_look.look import LookResult
from tidemill.ingestion.sources.batches import ParsedBatch
from tidemill.schema import ColumnType

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases"

pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason=f"{CASES} is absent")


def read(source: str, **stated: Any) -> tuple[LookResult, list[ParsedBatch]]:
    return tables.read(CASES, source, batch_rows=65_536, **stated)


@pytest.mark.parametrize(
    ("source", "codes"),
    [
        ("c01_zip.csv", {"02134", "2134", "00501", "501"}),
        ("c01_zip.jsonl", {"02134", "00501"}),
        ("c01_zip.parquet", {"02134", "00501"}),
    ],
)
def test_zips_are_texts(source: str, codes: set[str]) -> None:
    """02134 and 2134 are two."""
    _, batches = read(source, target="churned" if source.endswith("csv") else "y")
    assert codes <= set(values(batches, "zip"))


def test_the_classes_of_departments_are_three() -> None:
    """01, 1 and 02, with the type stated and without."""
    for types in ({}, {"dept": "categorical"}):
        _, batches = read("c23_dept.csv", target="dept", types=types)
        found = values(batches, "dept")
        assert {label: found.count(label) for label in set(found)} == {
            "01": 300,
            "1": 300,
            "02": 300,
        }


def test_a_sentinel_is_a_time() -> None:
    """9999-12-31 in CSV and in INT96."""
    far = dt.datetime(9999, 12, 31)  # noqa: DTZ001
    _, batches = read("c07_sentinel.csv", time="ends")
    assert values(batches, "ends").count(far) == 4
    _, batches = read("c02_int96.parquet")
    assert values(batches, "valid_to")[3] == far


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_formats_agree(form: str) -> None:
    """Names that come twice, NA, and the empty text."""
    found, batches = read(f"c03_dup.{form}")
    assert found.schema.names == ("id", "value", "value_2", "y")
    assert values(batches, "value")[:3] == [0.0, 10.0, 20.0]
    assert "value_2" in found.notes
    found, batches = read(f"c04_na.{form}")
    assert found.missing["country"] == (("NA", 10),)
    assert values(batches, "country").count(None) == 10
    found, batches = read(f"c13_empty.{form}")
    assert set(values(batches, "s")) == {None, "a"}
    assert found.missing["s"]


def test_conventions_of_columns() -> None:
    """Found where one fits; named where two would."""
    found, _ = read("c10_dmy.csv")
    assert found.schema["d"].type is ColumnType.DATETIME
    assert "%d/%m/%Y" in found.notes["d"]
    for source, column in (("c10_ambig.csv", "d"), ("c11_us_thou.csv", "amt")):
        assert "dataset.conventions" in read(source)[0].ignored[column]
    found, batches = read("c11_pct.csv")
    assert values(batches, "p")[:3] == [0.0, 1.0, 2.0]
    assert values(batches, "c")[:3] == [0.5, 1.5, 2.5]
    assert set(found.notes) == {"p", "c"}


def test_another_encoding_is_named() -> None:
    """With the rows that are no UTF-8."""
    _, batches = read("c14_latin.csv")
    assert "dataset.csv.encoding" in batches[0].rejects[0].reason


def test_json_of_json() -> None:
    """1 and "1" are two values, and NaN is missing as NA is in CSV."""
    _, batches = read("c18_strnum.jsonl")
    assert set(values(batches, "geo")) == {'{"v": 1}', '{"v": "1"}'}
    for source in ("c27_jsonnan.jsonl", "c27_csv.csv"):
        found, batches = read(source)
        assert found.schema["v"].type is ColumnType.NUMERIC
        assert values(batches, "v").count(None) == 20


def test_texts_of_parquet() -> None:
    """Times and yes/no as in CSV; number texts are texts, with the line that reads them."""
    found, _ = read("c22_text.parquet")
    assert found.schema["t"].type is ColumnType.DATETIME
    assert found.schema["b"].type is ColumnType.BOOLEAN
    assert 'dataset.types: {"x": numeric}' in found.ignored["x"]
    _, batches = read("c22_text.parquet", types={"x": "numeric"})
    assert values(batches, "x")[:3] == [0.0, 1.5, 3.0]
    _, batches = read("latin1_in_string.parquet")
    assert sum(len(b.faults["name"].texts) for b in batches) == values(batches, "name").count(None)


def test_late_epochs_end_the_scan_or_are_kept() -> None:
    """The look of 1,000 rows finds float32; what it would alter is named, and stated is kept."""
    _, batches = read("c25_late_epoch.csv", look_rows=1000)
    lost = next(b for b in batches if b.misfits)
    lines = (CASES / "c25_late_epoch.csv").read_text().splitlines()[1:]
    written = [float(line.split(",")[1]) for line in lines]
    first = int(lost.rows[lost.misfits["last_login"].indices[0]])
    assert float(lost.misfits["last_login"].texts[0]) == written[first]
    _, batches = read("c25_late_epoch.csv", look_rows=1000, types={"last_login": "numeric"})
    assert values(batches, "last_login") == written


def test_offsets_that_no_clock_shows_are_faults() -> None:
    """+25:61 and +99:99 are none, and the column is no free text for them."""
    found, batches = read("c32_off.csv", time="d")
    assert found.schema["d"].type is ColumnType.DATETIME
    assert sum(len(b.faults["d"].texts) for b in batches) == len(values(batches, "d"))


def test_float32_keeps_what_it_holds() -> None:
    """Rounded as float32 is shown."""
    _, batches = read("c01_zip.csv", target="churned")
    assert [str(np.float32(v)) for v in values(batches, "x")[:2]] == ["0.847", "0.495"]


def test_a_dictionary_that_opens_to_gigabytes_is_refused() -> None:
    """6 KB of it; before a text is spelled out for each row."""
    with pytest.raises(SourceUnreadable, match="column t open to 1,335 MB"):
        read("dict_bomb.parquet")


def test_every_case_is_in_a_test() -> None:
    """A file that is added wants its right value shown."""
    tests = "".join(path.read_text() for path in Path(__file__).parents[1].rglob("test_*.py"))
    cases = {path.stem for path in CASES.iterdir()} - {"README"}
    assert {case for case in cases if f"{case}." not in tests and f'"{case}"' not in tests} == set()
