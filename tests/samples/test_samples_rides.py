"""The simulated table is the same for the same seed, dirty in known ways, and learnable."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tidemill.config import DatasetConfig
from tidemill.engines import LocalEngine
from tidemill.errors import ConfigError
from tidemill.ingestion.first_look.look import look_result
from tidemill.ingestion.sources.listing import list_source
from tidemill.ingestion.sources.reading import read_split
from tidemill.samples import CHUNK_ROWS, Calendar, write_sample
from tidemill.schema import ColumnType, Task
from tidemill.storage import hash_file

ROWS = CHUNK_ROWS + 5_000


@pytest.fixture(scope="module")
def rides(tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    folder = tmp_path_factory.mktemp("rides")
    paths = write_sample(folder, rows=ROWS, months=8, seed=5, format="parquet")
    return pa.concat_tables([pq.read_table(path) for path in paths])


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    """Twice the same files; another seed, others."""
    hashes = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        paths = write_sample(tmp_path / name, rows=3_000, months=3, seed=seed)
        hashes.append([hash_file(path) for path in paths])
    assert hashes[0] == hashes[1]
    assert not set(hashes[0]) & set(hashes[2])


def test_rows_do_not_depend_on_how_many_there_are_in_later_chunks(tmp_path: Path) -> None:
    """Ids and categories of the first rows are those of a longer sample."""
    [short] = write_sample(tmp_path / "a", rows=1_000, months=1, seed=3, format="parquet")
    [long] = write_sample(tmp_path / "b", rows=2_000, months=1, seed=3, format="parquet")
    columns = ["ride_id", "dropoff_zone", "product", "payment", "driver_rating"]
    assert pq.read_table(short, columns=columns) == pq.read_table(long, columns=columns)[:1000]


def test_files_are_months_and_rows_are_complete(rides: pa.Table, tmp_path: Path) -> None:
    """One file a month, in the order of time, ids unique, at least 30 columns."""
    assert rides.num_rows == ROWS
    assert rides.num_columns >= 30
    assert pc.count_distinct(rides["ride_id"]).as_py() == ROWS
    assert rides["ride_id"].null_count == 0
    times = pc.drop_null(rides["requested_at"])
    assert pc.all(pc.less_equal(times[:-1], times[1:])).as_py()
    paths = write_sample(tmp_path, rows=2_000, months=14, seed=1, format="parquet")
    assert [p.name for p in paths[::13]] == ["rides-2024-01.parquet", "rides-2025-02.parquet"]
    for path in paths:
        months = pc.strftime(pc.drop_null(pq.read_table(path)["requested_at"]), "%Y-%m")
        assert pc.unique(months).to_pylist() == [path.stem[-7:]]


def test_dirt_is_of_six_kinds_and_two_to_three_percent(rides: pa.Table) -> None:
    """Every kind is there, and rare."""
    kinds = {
        "negative distance": pc.less(rides["distance_km"], 0),
        "high fare": pc.greater(rides["fare_total"], 3000),
        "negative fare": pc.less(rides["fare_total"], 0),
        "unknown zone": pc.equal(rides["pickup_zone"], "unknown"),
        "no time": pc.is_null(rides["requested_at"]),
        "no zone": pc.is_null(rides["pickup_zone"]),
        "no target": pc.is_null(rides["cancelled"]),
        "ends before": pc.less(rides["promised_dropoff_at"], rides["promised_pickup_at"]),
        "no passengers": pc.is_null(rides["passengers"]),
    }
    shares = {name: pc.sum(mask).as_py() / ROWS for name, mask in kinds.items()}
    assert all(0.001 < share < 0.008 for share in shares.values()), shares
    assert 0.02 < sum(shares.values()) < 0.03


def test_text_dirt_in_csv_is_a_fault_of_a_numeric_column(tmp_path: Path) -> None:
    """The look is not misled by a few texts, and every one is reported."""
    write_sample(tmp_path / "raw", rows=20_000, months=4, seed=9)
    dataset = DatasetConfig(
        source="raw", target="cancelled", time="requested_at", key="ride_id", look_rows=8_000
    )
    listing = list_source(dataset, tmp_path, LocalEngine())
    found = look_result(dataset, listing, tmp_path)
    schema = found.schema
    assert found.ignored == {}
    assert schema.task is Task.BINARY
    assert schema["passengers"].type is schema["distance_km"].type is ColumnType.NUMERIC
    assert schema["is_airport"].type is ColumnType.BOOLEAN
    texts: list[str] = []
    written = sum(path.read_text().count("two,") for path in (tmp_path / "raw").iterdir())
    for split in listing.splits:
        for batch in read_split(split, schema, dataset, listing, tmp_path, batch_rows=512):
            for name, fault in batch.faults.items():
                assert name in ("passengers", "distance_km")
                texts += fault.texts
                assert batch.table[name].take(pa.array(fault.indices)).null_count == len(
                    fault.texts
                )
    assert set(texts) == {"two", "12 km"}
    assert texts.count("two") == written > 20


def test_the_targets_can_be_learnt_and_the_regime_changes(rides: pa.Table) -> None:
    """A booster ranks cancellations well, worse after the change; fares follow distance."""
    import lightgbm as lgb
    from sklearn.metrics import roc_auc_score

    frame = rides.to_pandas().dropna(subset=["requested_at", "cancelled"])
    for name in frame.select_dtypes(["object", "string"]):
        frame[name] = frame[name].astype("category")
    X = frame.drop(columns=["cancelled", "ride_id", "requested_at"])
    X = X.select_dtypes(exclude=["datetime"])
    y = frame["cancelled"].astype(int)
    change = Calendar.of(8).regime_change
    assert change.isoformat() == "2024-07-01T00:00:00"
    before = (frame["requested_at"] < change).to_numpy()
    cut = int(before.sum() * 0.8)
    model = lgb.LGBMClassifier(n_estimators=80, verbose=-1, n_jobs=1, random_state=0)
    model.fit(X[:cut], y[:cut])
    scores = model.predict_proba(X)[:, 1]
    early = roc_auc_score(y[before][cut:], scores[before][cut:])
    late = roc_auc_score(y[~before], scores[~before])
    assert 0.78 < early < 0.92
    assert late < early - 0.03
    assert 0.1 < y.mean() < 0.35
    # Dirty fares are hundreds of times too high; ranks do not mind.
    assert frame[["distance_km", "fare_total"]].corr("spearman").iloc[0, 1] > 0.6


@pytest.mark.parametrize("wrong", [{"rows": 0}, {"months": 0}, {"format": "xlsx"}])
def test_impossible_samples_are_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    """No rows, no months, another format."""
    with pytest.raises(ConfigError):
        write_sample(tmp_path, **{"rows": 10, "months": 1, "seed": 0, **wrong})  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
