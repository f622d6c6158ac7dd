"""dataset.sample: which rows are drawn, that they are the same ones always, and what is said."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import strategies as st

from tidemill.config import DatasetConfig, IngestionConfig, read_params
from tidemill.contracts import Engine
from tidemill.engines import LocalEngine
from tidemill.errors import ColumnMissing, ConfigError, KeyInvalid, SourceEmpty, TargetUnusable
from tidemill.ingestion import IngestResult, ingest, list_source, look
from tidemill.ingestion.drawn_rows import drawn_from
from tidemill.ingestion.lowest_hashes import MOST_CLASSES, LowestHashes
from tidemill.ingestion.sources.parquet import parquet_source
from tidemill.storage import StoreFolder, ValidatedManifest, write_json
from tidemill.testing.partials import PartialContract

ROWS, RARE = 3000, 12
EXISTS = {"type": "expect_column_to_exist", "kwargs": {"column": "y"}}
SUITE = {
    "name": "s",
    "expectations": [{"type": "expect_column_to_exist", "kwargs": {"column": "y"}}],
}


class TestLowestHashes(PartialContract):
    """Rows of three classes, of equal hashes too."""

    def rows(self) -> st.SearchStrategy[list[Any]]:
        return st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), max_size=30)

    def of(self, rows: list[Any]) -> LowestHashes:
        classes = pa.array([name for name, _ in rows], pa.string())
        return LowestHashes.of(classes, np.array([h for _, h in rows], np.uint64), limit=4)


def table(first: int = 0, rows: int = ROWS) -> pa.Table:
    """A key, a number, and a target with a class of 12 in 3,000 rows."""
    numbers = np.arange(first, first + rows)
    rare = np.where(numbers % (ROWS // RARE) == 5, "rare", np.where(numbers % 3, "late", "kept"))
    return pa.table({"id": numbers, "x": numbers % 97 + 0.5, "y": rare})


def run(
    root: Path,
    sample: dict[str, Any] | None,
    *,
    workers: int = 1,
    batch_rows: int = 256,
    **stated: Any,
) -> IngestResult:
    """Ingest what lies in the source."""
    write_json(root / "suite.json", {"name": "s", "expectations": [EXISTS]})
    settings = {"source": "raw", "target": "y", "key": "id", **stated}
    dataset = DatasetConfig.model_validate({**settings, "sample": sample})
    with LocalEngine(workers) as engine:
        listing = list_source(dataset, root, engine)
        return ingest(
            listing,
            look(dataset, listing, root),
            dataset,
            IngestionConfig(suite="suite.json", batch_rows=batch_rows),
            root=root,
            work=StoreFolder.at(root / "work"),
            out=root / "validated",
            quarantine=root / "quarantine",
            report=root / "report.json",
            engine=engine,
        )


def drawn(root: Path, column: str = "id") -> list[Any]:
    """A column of the validated rows, in their order."""
    parts = sorted((root / "validated").glob("*.parquet"))
    return [value for part in parts for value in pq.read_table(part)[column].to_pylist()]


def write_csv(root: Path, cuts: tuple[int, ...] = (ROWS,), written: pa.Table | None = None) -> None:
    """The table, in as many files as there are cuts."""
    (root / "raw").mkdir(parents=True)
    first, whole = 0, table() if written is None else written
    for number, end in enumerate(cuts):
        pa.csv.write_csv(whole.slice(first, end - first), root / "raw" / f"{number}.csv")
        first = end


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace with the table in three files."""
    write_csv(tmp_path, (1000, 1007, ROWS))
    return tmp_path


def test_a_reservoir_has_exactly_so_many_rows(root: Path) -> None:
    """Not one more or less, spread over the whole source, in its order; and counted."""
    result = run(root, {"rows": 500})
    ids = drawn(root)
    assert len(set(ids)) == len(ids) == result.rows_read == result.rows_valid == 500
    assert ids == sorted(ids)
    # Of 500 draws a third of the source has 167 give or take 9.
    assert all(120 < sum(low <= i < low + 1000 for i in ids) < 215 for low in (0, 1000, 2000))
    assert result.counts is not None
    assert result.counts.passed_over == ROWS - 500


def test_a_fraction_draws_each_row_by_itself(root: Path) -> None:
    """About that share; a larger one has all rows of a smaller one, another seed others."""
    shares = {}
    for fraction in (0.1, 0.2, 1.0):
        run(root, {"fraction": fraction})
        shares[fraction] = set(drawn(root))
    assert 240 < len(shares[0.1]) < 360  # 300, give or take 16
    assert shares[0.1] < shares[0.2] < shares[1.0] == set(range(ROWS))
    run(root, {"fraction": 0.1, "seed": 1})
    assert 10 < len(set(drawn(root)) & shares[0.1]) < 60  # 30 of two independent draws


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        ({"rows": 100, "by": "y"}, {"late": 100, "rare": RARE, "kept": 100}),
        ({"fraction": 0.02, "by": "y", "at_least": 10}, {"rare": 10}),
        ({"fraction": 0.01, "by": "y"}, {"rare": 1}),
    ],
)
def test_strata_keep_rare_classes(root: Path, sample: dict, expected: dict[str, int]) -> None:
    """So many of each class, or the share but at least so many; counted class by class."""
    result = run(root, sample)
    classes = drawn(root, "y")
    found = {name: classes.count(name) for name in set(classes)}
    assert expected.items() <= found.items()
    assert result.counts is not None
    assert result.counts.drawn == found
    whole = table()["y"].to_pylist()
    assert result.counts.rows == {name: whole.count(name) for name in ("kept", "late", "rare")}


@pytest.mark.parametrize("sample", [{"rows": 300}, {"fraction": 0.1}, {"rows": 40, "by": "y"}])
def test_rows_are_drawn_by_their_key_whatever_the_files(tmp_path: Path, sample: dict) -> None:
    """One file or five, of another format, with two workers, in other batches: the same rows."""
    write_csv(tmp_path / "one")
    write_csv(tmp_path / "five", (3, 700, 701, 2500, ROWS))
    (tmp_path / "parquet" / "raw").mkdir(parents=True)
    pq.write_table(table().take(np.arange(ROWS)[::-1]), tmp_path / "parquet" / "raw" / "a.parquet")
    run(tmp_path / "one", sample)
    run(tmp_path / "five", sample, workers=2, batch_rows=999)
    run(tmp_path / "parquet", sample)
    assert drawn(tmp_path / "one") == drawn(tmp_path / "five")
    assert drawn(tmp_path / "one") == sorted(drawn(tmp_path / "parquet"))


def test_without_a_key_a_row_is_drawn_by_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is cut into splits elsewhere has the same places; a new file changes no draw."""
    (tmp_path / "raw").mkdir()
    pq.write_table(table(), tmp_path / "raw" / "b.parquet", row_group_size=500)
    found = []
    for split_rows in (1_000_000, 500):
        monkeypatch.setattr(parquet_source, "SPLIT_ROWS", split_rows)
        for sample in ({"rows": 200}, {"fraction": 0.1}):
            run(tmp_path, sample, key=None)
            found.append(drawn(tmp_path))
    assert found[:2] == found[2:]
    pq.write_table(table(ROWS, 500), tmp_path / "raw" / "a.parquet")
    run(tmp_path, {"fraction": 0.1}, key=None)
    assert [i for i in drawn(tmp_path) if i < ROWS] == found[1]


def test_a_table_of_a_database_is_sampled(tmp_path: Path) -> None:
    """By its key it has the rows that the same table has in files."""
    write_csv(tmp_path)
    run(tmp_path, {"rows": 250})
    expected = drawn(tmp_path)
    with sqlite3.connect(tmp_path / "t.db") as db:
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x REAL, y TEXT)")
        db.executemany(
            "INSERT INTO t VALUES (?, ?, ?)", zip(*table().to_pydict().values(), strict=True)
        )
    db.close()
    run(tmp_path, {"rows": 250}, source="sqlite:///t.db#t")
    assert drawn(tmp_path) == expected


def test_off_is_all_and_more_than_all_is_all(root: Path) -> None:
    """More rows than there are draw all; without a sample nothing is counted."""
    run(root, None)
    plain = (root / "validated" / "manifest.json").read_bytes()
    assert b"passed_over" not in plain
    assert "sample" not in json.loads((root / "report.json").read_text())["meta"]["tidemill"]
    assert "sample" not in DatasetConfig(source="raw", target="y").model_dump()
    result = run(root, {"rows": ROWS + 1})
    assert (root / "validated" / "manifest.json").read_bytes() == plain
    assert result.rows_read == ROWS


def test_what_is_wrong_with_rows_is_told_of_those_that_were_drawn(tmp_path: Path) -> None:
    """Records that are no rows and cells of another type are drawn as others are."""
    lines = ["id,x,y", *(f"{i},{i % 97}.5,{'yes' if i % 2 else 'no'}" for i in range(2000))]
    for at in range(40, 2000, 20):
        lines[at] = lines[at] + ",too many" if at % 40 else lines[at].replace(".5", "?")
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.csv").write_text("\n".join(lines) + "\n")
    whole = run(tmp_path, None)
    result = run(tmp_path, {"fraction": 0.5})
    assert whole.rows_quarantined == 98
    assert 25 < result.rows_quarantined < 73  # 49, give or take 5
    assert result.rows_read == result.rows_valid + result.rows_quarantined
    assert result.counts is not None
    assert result.rows_read + result.counts.passed_over == 2000
    part = pq.read_table(tmp_path / "quarantine" / "part-00000.parquet").to_pylist()
    for refused in part:  # each is told with its own place, cell and text
        text = lines[refused["row"] + 1]
        assert ("too many" in text) == ("x is not a number" not in refused["reasons"])
        assert json.loads(refused["values"]).get("x", text) in text


def test_the_sample_is_told_in_report_and_manifest(root: Path) -> None:
    """How many rows there were, and of each class."""
    run(root, {"rows": 50, "by": "y"})
    told = json.loads((root / "report.json").read_text())["meta"]["tidemill"]
    assert told["rows_passed_over"] == ROWS - 112
    assert told["sample"]["drawn"] == {"kept": 50, "late": 50, "rare": RARE}
    parts = ValidatedManifest.read(root / "validated").parts
    assert sum(part.rows_passed_over + part.rows_read for part in parts) == ROWS


def test_what_was_found_first_is_not_looked_for_again(root: Path) -> None:
    """A run that goes on after its end, and workers apart, take the thresholds that were noted."""
    described = DatasetConfig.model_validate(
        {"source": "raw", "target": "y", "key": "id", "sample": {"rows": 9, "by": "y"}}
    )
    with LocalEngine(1) as engine:
        listing = list_source(described, root, engine)
        schema = look(described, listing, root)
        stated: dict[str, Any] = {"root": root, "batch_rows": 256}
        stated["work"] = StoreFolder.at(root / "work")
        first = drawn_from(listing, schema, described, engine=engine, **stated)
    noted = drawn_from(listing, schema, described, engine=cast("Engine", None), **stated)
    assert noted == first
    assert first is not None
    assert set(first.at_most) == {"kept", "late", "rare"}


def test_rows_of_one_key_are_drawn_together(tmp_path: Path) -> None:
    """So a key that repeats is found in a sample, if the first of its rows is in it."""
    doubled = pa.concat_tables([table(0, 300), table(0, 300)])
    write_csv(tmp_path, (600,), doubled)
    with pytest.raises(KeyInvalid) as caught:
        run(tmp_path, {"fraction": 0.1})
    assert caught.value.fields["repeated_rows"] == 2 * caught.value.fields["repeated_keys"]


def test_what_cannot_be_drawn_is_told_with_its_remedy(root: Path) -> None:
    """A column that is not there or has no classes, and a share of nothing."""
    with pytest.raises(ColumnMissing, match=r"dataset\.sample\.by"):
        run(root, {"rows": 5, "by": "z"})
    noted = {"derive": {"note": "'ride ' || id"}}
    for stated, remedy in (
        (noted, 'set dataset.types: {"note": categorical}; or '),
        ({**noted, "drop": ["note"]}, "take it out of dataset.drop; or "),
    ):
        with pytest.raises(ColumnMissing, match="the data have and look left out") as left:
            run(root, {"rows": 5, "by": "note"}, **stated)
        assert left.value.remedy.startswith(remedy)
    with pytest.raises(ConfigError, match="different values"):  # the remedy brought it in
        run(root, {"rows": 5, "by": "note"}, **noted, types={"note": "categorical"})
    with pytest.raises(ConfigError, match=f"{MOST_CLASSES:,} different values") as many:
        run(root, {"rows": 5, "by": "id"})
    with pytest.raises(SourceEmpty, match="drew none of 3000 rows") as none:
        run(root, {"fraction": 1e-12})
    assert many.value.remedy
    assert "dataset.sample.fraction" in none.value.remedy


@pytest.mark.parametrize(
    ("sample", "told"),
    [
        ("{rows: 5, fraction: 0.5}", "either fraction or rows"),
        ("{by: y}", "either fraction or rows"),
        ("{rows: 5, at_least: 3}", "at_least goes with fraction and by"),
        ("{fraction: 0}", "greater than 0"),
        ("{frac: 0.1}", "fraction"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(sample: str, told: str) -> None:
    """At the edge, by what is wrong."""
    with pytest.raises(ConfigError, match=told):
        read_params(f"dataset: {{source: raw, target: y, sample: {sample}}}\n")


def test_a_sample_of_one_class_names_the_setting(root: Path) -> None:
    """The source has more: draw more rows, or some of each class."""
    with pytest.raises(TargetUnusable, match="has 1 different values") as caught:
        run(root, {"rows": 1})
    assert "dataset.sample" in caught.value.remedy
