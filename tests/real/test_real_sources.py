"""Every real data set in ../shared/data can be listed, looked at and read to its last row."""

from __future__ import annotations

import csv
import io
import tarfile
from pathlib import Path

import pytest

from tidemill.config import DatasetConfig
from tidemill.engines import LocalEngine
from tidemill.errors import SourceUnreadable, TidemillError
from tidemill.ingestion.first_look.look import LookResult, look_result
from tidemill.ingestion.sources.batches import ParsedBatch
from tidemill.ingestion.sources.listing import list_source
from tidemill.ingestion.sources.reading import read_split
from tidemill.schema import Purpose, Task

pytestmark = pytest.mark.real

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture(scope="module")
def unpack(tmp_path_factory: pytest.TempPathFactory):
    def _unpack(name: str) -> Path:
        archive = DATA / name
        if not archive.is_file():
            pytest.skip(f"{archive} is absent")
        folder = tmp_path_factory.mktemp("real")
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
        return folder

    return _unpack


def read(root: Path, **settings: object) -> tuple[LookResult, list[ParsedBatch]]:
    dataset = DatasetConfig.model_validate(settings)
    listing = list_source(dataset, root, LocalEngine())
    found = look_result(dataset, listing, root)
    return found, [
        batch
        for split in listing.splits
        for batch in read_split(split, found.schema, dataset, listing, root, batch_rows=65_536)
    ]


def rows(batches: list[ParsedBatch]) -> int:
    return sum(batch.table.num_rows for batch in batches)


def test_adult(unpack) -> None:
    """Pandas categoricals inside Parquet; 6,465 nulls."""
    found, batches = read(unpack("adult.tar.gz"), source="adult/raw", target="class")
    assert rows(batches) == 48_842
    assert sum(c.null_count for b in batches for c in b.table.columns) == 6_465
    assert found.schema.task is Task.BINARY


def test_elec2(unpack) -> None:
    """A plain CSV with texts as target and leaks dropped."""
    found, batches = read(
        unpack("elec2.tar.gz"), source="elec2/elec2.csv", target="class", drop=["date", "nswprice"]
    )
    assert rows(batches) == 45_312
    assert found.schema.names[0] == "day"
    assert not any(b.faults or b.rejects for b in batches)


@pytest.mark.slow
def test_fraud(unpack) -> None:
    """Daily Parquet files with nanosecond times, a key and a whole-number target."""
    found, batches = read(
        unpack("fraud_daily_d000_044.tar"),
        source="fraud_daily/daily_parquet",
        target="TX_FRAUD",
        time="TX_DATETIME",
        key="TRANSACTION_ID",
        drop=["TX_FRAUD_SCENARIO", "CUSTOMER_ID", "TERMINAL_ID"],
    )
    assert rows(batches) == 431_773
    assert found.schema.task is Task.BINARY
    assert found.schema["TRANSACTION_ID"].purpose is Purpose.KEY
    assert found.schema.time is not None


@pytest.mark.slow
def test_kddcup99(unpack) -> None:
    """Headerless gzip text without a telling name, and Parquet with a derived target."""
    root = unpack("kddcup99.tar.gz")
    found, batches = read(root, source="kddcup99/raw/corrected.gz", target="column_42")
    assert rows(batches) == 311_029
    assert found.schema.task is Task.MULTICLASS
    found, batches = read(
        root,
        source="kddcup99/train_10pct.parquet",
        target="attack",
        derive={"attack": "label <> 'normal'"},
        drop=["label"],
    )
    assert rows(batches) == 494_021
    labels = [value for b in batches for value in b.table["attack"].to_pylist()]
    assert round(labels.count("true") / len(labels), 3) == 0.803


@pytest.mark.slow
def test_taxi(unpack) -> None:
    """Monthly CSV; a column that is null for the first year is kept; minutes are derived."""
    found, batches = read(
        unpack("taxi_yellow_2018_2019.tar.gz"),
        source="taxi_yellow/raw",
        target="minutes",
        time="pickup_datetime",
        derive={"minutes": "date_diff('second', pickup_datetime, dropoff_datetime) / 60"},
        drop=["dropoff_datetime"],
    )
    assert rows(batches) == 240_000
    assert found.schema.task is Task.REGRESSION
    assert "congestion_surcharge" in found.schema.names
    assert "dropoff_datetime" not in found.schema.names


def test_csv_spectrum(unpack) -> None:
    """Each small edge case gives the fields that Python's csv module gives.

    A quote inside an unquoted field may be a lost separator: refused, with the setting that reads.
    """
    root = unpack("dirty_small.tar.gz")
    for path in sorted(root.glob("**/csvs/*.csv")):
        coordinates = path.name == "location_coordinates.csv"
        if coordinates:
            with pytest.raises(SourceUnreadable, match="a quote inside an unquoted") as refused:
                read(root, source=str(path.relative_to(root)), target="id")
            assert refused.value.remedy == 'set dataset.csv.quote: ""'
        expected = list(csv.DictReader(io.StringIO(path.read_bytes().decode(), newline="")))
        names = list(expected[0])
        _, batches = read(
            root,
            source=str(path.relative_to(root)),
            target=names[0],
            types=dict.fromkeys(names, "categorical"),
            csv={"header": True, "null_values": []} | ({"quote": ""} if coordinates else {}),
        )
        found = [row for b in batches for row in b.table.to_pylist()]
        if path.name not in ("utf8.csv", "simple.csv"):
            assert not any(b.rejects for b in batches), path.name
        assert [dict(row) for row in found] == [
            {k: v if k != names[0] else _label(v) for k, v in row.items()} for row in expected
        ], path.name


def _label(text: str) -> str | None:
    return text if text else None


@pytest.mark.slow
def test_pollock_and_bad_parquet_end_in_rows_or_in_an_error_of_ours(unpack) -> None:
    """No polluted file ends in a foreign exception; corrupt checksums are refused."""
    root = unpack("dirty_small.tar.gz")
    refused: dict[str, str] = {}
    paths = [*root.glob("**/polluted_files/csv/*.csv"), *root.glob("**/*.parquet")]
    assert len(paths) > 80
    for path in sorted(paths):
        source = str(path.relative_to(root))
        try:
            dataset = DatasetConfig(source=source, target="?")
            names = [c.name for c in list_source(dataset, root, LocalEngine()).columns]
            read(root, source=source, target=names[0])
        except TidemillError as error:
            refused[path.name] = error.remedy
    assert {
        "datapage_v1-corrupt-checksum.parquet",
        "rle-dict-uncompressed-corrupt-checksum.parquet",
        "large_string_map.brotli.parquet",
        "file_no_payload.csv",
        "file_header_only.csv",
    } <= set(refused)
    assert all(refused.values())
    assert "alltypes_plain.parquet" not in refused


def test_lending_club(unpack) -> None:
    """151 columns: null ones and free texts are ignored with a reason, footer lines are faults."""
    found, batches = read(
        unpack("dirty_small.tar.gz"),
        source="dirty_lendingclub/raw/*.csv",
        target="loan_status",
        key="id",
    )
    assert rows(batches) == 1_000
    assert len(found.ignored) == 17
    [texts] = [b.faults["id"].texts for b in batches]
    assert len(texts) == 2
    assert texts[0].startswith("Total amount funded")
