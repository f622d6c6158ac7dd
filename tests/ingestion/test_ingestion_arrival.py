"""A source that grows: what is as it was is not read again, and all else is as from scratch."""

from __future__ import annotations

import csv
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.ingestion.databases import numbered
from tests.ingestion.test_ingestion_ingest import HEADER, dataset, expect, outputs, quarantined, row

from tidemill.config import DatasetConfig, IngestionConfig
from tidemill.engines import LocalEngine
from tidemill.errors import KeyInvalid, ValidationFailed
from tidemill.ingestion import SourceChanges, Split, ingest, list_source, look
from tidemill.settings import Settings
from tidemill.stages import StageContext, StageResult, run_ingest, run_look, segments_stand
from tidemill.storage import PartEntry, StoreFolder, ValidatedManifest, Workspace, write_json
from tidemill.testing.opens import opened_files

ROWS = 60
SUITE = [
    expect("column_values_to_be_between", column="fare", min_value=0, max_value=100),
    expect("column_mean_to_be_between", column="fare", min_value=1, max_value=1000),
]


def write(root: Path, name: str, number: int, **changed: str) -> None:
    """A file of 60 rows of its own; ``changed`` are cells of its row 7."""
    (root / "raw").mkdir(parents=True, exist_ok=True)
    with (root / "raw" / name).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        for index in range(ROWS):
            cells = row(number * ROWS + index)
            for column, text in changed.items() if index == 7 else ():
                cells[HEADER.index(column)] = text
            writer.writerow(cells)


def written(root: Path, files: int = 6) -> Path:
    for number in range(files):
        write(root, f"{number:04d}.csv", number)
    return root


DATASET = dataset()


def run(
    root: Path,
    schema_of: Path | None = None,
    described: DatasetConfig = DATASET,
    work: StoreFolder | None = None,
    **settings,
):
    """Ingest what lies there, by the schema of another root's files: look keeps it as it is."""
    write_json(root / "suite.json", {"name": "s", "expectations": SUITE})
    other = schema_of or root
    with LocalEngine(1) as engine:
        seen = list_source(described, other, engine)
        listing = list_source(described, root, engine, before=seen)
        return ingest(
            listing,
            look(described, seen, other),
            described,
            IngestionConfig(suite="suite.json", **settings),
            root=root,
            work=work or StoreFolder.at(root / "work"),
            out=root / "validated",
            quarantine=root / "quarantine",
            report=root / "report.json",
            engine=engine,
            keep=True,
        )


@pytest.fixture
def seen(tmp_path: Path) -> Path:
    """Six files that were ingested once, one with a bad row, beside a copy of them as they were."""
    write(written(tmp_path / "seen"), "0003.csv", 3, fare="-2")
    shutil.copytree(tmp_path / "seen", tmp_path / "now")
    run(tmp_path / "now", tmp_path / "seen")
    return tmp_path / "seen"


def aged(*folders: Path) -> None:
    """As if all that lies below had been written a while ago."""
    for path in (path for folder in folders for path in folder.rglob("*") if path.is_file()):
        then = path.stat().st_mtime - 10
        os.utime(path, (then, then))


def scratch(root: Path, seen: Path) -> dict[str, str]:
    """What an ingest of the same files leaves that knows of no other."""
    shutil.copytree(root / "raw", root.parent / "scratch" / "raw")
    run(root.parent / "scratch", seen)
    return outputs(root.parent / "scratch")


def test_what_is_as_it_was_is_not_scanned_and_nothing_differs_from_scratch(seen: Path) -> None:
    """New (one of them first), changed and vanished files, bad rows among them."""
    root = seen.parent / "now"
    write(root, "0000-first.csv", 20, fare="-3")
    write(root, "0002.csv", 21, zone="moon", fare="-1", start="2024-01-01 10:00:00")
    write(root, "0009.csv", 22)
    (root / "raw" / "0004.csv").unlink()
    found = run(root, seen)
    assert (found.splits_scanned, found.splits_resumed) == (3, 4)
    assert found.rows_read == 7 * ROWS
    assert [bad["source"] for bad in quarantined(root)] == [
        f"raw/{name}.csv" for name in ("0000-first", "0002", "0003")
    ]
    assert outputs(root) == scratch(root, seen)


def test_twice_is_once(seen: Path) -> None:
    """Of a source that stays nothing is scanned again, and every byte is what it was."""
    root = seen.parent / "now"
    before = outputs(root)
    found = run(root, seen)
    assert (found.splits_scanned, found.splits_resumed) == (0, 6)
    assert outputs(root) == before
    # What no split of today left is gone.
    (root / "raw" / "0004.csv").unlink()
    run(root, seen)
    assert len(list((root / "work" / "receipts").iterdir())) == 5
    assert len(list((root / "work" / "parts").iterdir())) == 5
    assert len(list((root / "work" / "keys" / "key").rglob("*.ipc"))) == 5


def test_keys_are_unique_among_old_and_new_rows(seen: Path) -> None:
    """A key that stands in a file of before too is named with both places."""
    root = seen.parent / "now"
    write(root, "0000-first.csv", 20, ride="R000123")
    with pytest.raises(KeyInvalid) as caught:
        run(root, seen)
    assert caught.value.fields["examples"] == [
        {"key": "R000123", "place": "raw/0000-first.csv, row 7"},
        {"key": "R000123", "place": "raw/0002.csv, row 3"},
    ]


def test_what_is_refused_costs_no_scan_of_before(seen: Path) -> None:
    """A refused file leaves the version of before; once it is mended it alone is read."""
    root = seen.parent / "now"
    before = {name: sha for name, sha in outputs(root).items() if name != "report.json"}
    write(root, "0009.csv", 22, fare="-1")
    with pytest.raises(ValidationFailed):
        run(root, seen, max_invalid_fraction=0.0)
    after = outputs(root)
    assert {name: after[name] for name in before} == before
    write(root, "0009.csv", 22)
    found = run(root, seen)
    assert (found.splits_scanned, found.splits_resumed) == (1, 6)
    assert outputs(root) == scratch(root, seen)


def test_what_was_altered_in_place_is_scanned_again(seen: Path) -> None:
    """A file of data/validated is its scan's own: a changed byte shows by time, then by hash."""
    root = seen.parent / "now"
    before = outputs(root)
    part = root / "validated" / "part-00003.parquet"
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    (root / "work" / "marks.json").write_text("[7")  # and what cannot be read vouches for nothing
    found = run(root, seen)
    assert (found.splits_scanned, found.splits_resumed) == (1, 5)
    assert found.healed
    assert outputs(root) == before


def test_of_marked_objects_none_is_read(seen: Path) -> None:
    """Parts of before cost a look at their time; a part that lost its mark is hashed."""
    root = seen.parent / "now"
    aged(root / "work")
    run(root, seen)  # what is just written has no mark yet
    write(root, "0009.csv", 22)
    (root / "validated" / "part-00003.parquet").touch()
    with opened_files() as opened:
        run(root, seen)
    receipts = [json.loads(p.read_text()) for p in (root / "work" / "receipts").glob("*.json")]
    parts = {receipt["part"]["path"] for receipt in receipts}
    read = [Path(path).name for path, flags in opened if "/parts/" in path and not flags & 3]
    assert len(parts) == 7
    assert len([name for name in read if name in parts]) == 1


def test_arrival_names_what_came_changed_and_went() -> None:
    """By address; splits of one file count one by one, and the file is named once."""

    def part(source: str, digest: str) -> PartEntry:
        return PartEntry(source, None, 1, 0, digest)

    def split(address: str, etag: str, part: tuple[int, int] | None = None) -> Split:
        return Split(0, address, "csv", "none", 1, etag, part)

    before = [part("a", "1"), part("b", "2:0-1"), part("b", "2:1-2"), part("c", "3")]
    same = [split("a", "1"), split("b", "2", (0, 1)), split("b", "2", (1, 2)), split("c", "3")]
    assert SourceChanges.between(before, same) == SourceChanges(4, 4)
    now = [split("a", "1"), split("b", "5", (0, 1)), split("b", "5", (1, 2)), split("d", "9")]
    found = SourceChanges.between(before, now)
    assert found == SourceChanges(4, 1, new=("d",), changed=("b",), gone=("c",))
    assert str(found) == "1 of 4 splits are as they were; 1 new: d; 1 changed: b; 1 gone: c"


# The stages, as a run calls them


def advance(
    root: Path, *, anew: bool = False, opened: list[tuple[str, int]] | None = None
) -> tuple[StageResult, StageResult]:
    """Look and ingest; the files that ingest opens are added to ``opened``."""
    write_json(root / "suite.json", {"name": "s", "expectations": SUITE})
    with LocalEngine(1) as engine:
        context = StageContext(Workspace.at(root), Settings(), engine, None, anew=anew)
        looked = run_look(context, dataset=DATASET)
        ingestion = IngestionConfig(suite="suite.json")
        with opened_files() as now:
            found = run_ingest(context, dataset=DATASET, ingestion=ingestion)
        if opened is not None:
            opened += now
        return looked, found


def settled() -> None:
    """Until files that were just written tell by their times that they stay."""
    time.sleep(2.1)


def edges(root: Path) -> list[list[float]]:
    document = json.loads((root / "data" / "schema.json").read_text())
    return [column["edges"] for column in document["columns"]]


@pytest.mark.parametrize(
    ("files", "places"),
    [
        (12, ("disk", "apart")),
        pytest.param(1000, ("disk",), marks=[pytest.mark.slow, pytest.mark.timeout(900)]),
    ],
)
def test_a_new_file_costs_that_file(files: int, places: tuple[str, ...], tmp_path: Path) -> None:
    """Of all others look reads the first rows, and ingest not a byte; no row of them is parsed."""
    roots = [written(tmp_path / place, files) for place in places]
    for root in roots:
        if root.name == "apart":
            url = f"storage: {{url: 'file://{tmp_path}/store'}}"
            (root / "params.yaml").write_text(f"dataset: {{source: raw, target: late}}\n{url}\n")
        advance(root)
    settled()
    for root in roots:
        before = edges(root)
        advance(root)  # files so young that they were hashed once more
        write(root, "0003a.csv", files)
        opened: list[tuple[str, int]] = []
        looked, found = advance(root, opened=opened)
        read = {Path(path).name for path, _ in opened if "/raw/" in path}
        assert read == {"0003a.csv"}
        assert found.facts["splits_read"] == 1
        assert found.facts["rows_read"] == (files + 1) * ROWS
        assert looked.facts["files"] == files + 1
        assert edges(root) == before
        (said,) = [warning for warning in found.warnings if "as they were" in warning]
        assert said == f"{files:,} of {files + 1:,} splits are as they were; 1 new: raw/0003a.csv"
        parts = ValidatedManifest.read(root / "data" / "validated").parts
        assert [part.source for part in parts][3:5] == ["raw/0003.csv", "raw/0003a.csv"]


def test_a_file_that_looks_otherwise_is_looked_at_with_all(tmp_path: Path) -> None:
    """A type that changes is that of a look at all files, and all are read by it."""
    written(tmp_path, 5)
    advance(tmp_path)
    path = tmp_path / "raw" / "0002.csv"
    path.write_text(path.read_text().replace(".5,", ".123456789012,"))  # no float32 holds it
    _, found = advance(tmp_path)
    kinds = json.loads((tmp_path / "data" / "schema.json").read_text())["columns"]
    assert next(c for c in kinds if c["name"] == "fare")["physical"] == "float64"
    shutil.rmtree(tmp_path / ".tidemill")
    assert found.facts["splits_read"] == 5
    advance(tmp_path)
    assert json.loads((tmp_path / "data" / "schema.json").read_text())["columns"] == kinds


def test_a_file_that_is_gone_leaves_no_type_behind(tmp_path: Path) -> None:
    """What is looked at is what lies there today, whoever was there before."""
    written(tmp_path, 4)
    advance(tmp_path)
    document = json.loads((tmp_path / "data" / "schema.json").read_text())
    write(tmp_path, "0004.csv", 4)
    path = tmp_path / "raw" / "0004.csv"
    path.write_text(path.read_text().replace(".5,", ".123456789012,"))
    advance(tmp_path)
    assert json.loads((tmp_path / "data" / "schema.json").read_text()) != document
    path.unlink()
    _, found = advance(tmp_path)
    assert json.loads((tmp_path / "data" / "schema.json").read_text()) == document
    assert found.facts["splits_read"] == 4


def test_segments_are_asked_of_the_last_look(tmp_path: Path) -> None:
    """Features with categories are; of a look that is missing or damaged the record tells."""
    place = Workspace.at(written(tmp_path, 1))
    assert segments_stand(place, ["nothing"])
    advance(tmp_path)
    assert segments_stand(place, ["zone"])
    for name in ("fare", "ride", "start", "late", "nothing"):
        assert not segments_stand(place, ["zone", name])
    place.schema.write_text(place.schema.read_text().replace("zone", "zona"))
    assert segments_stand(place, ["nothing"])


def test_a_look_that_is_not_as_it_was_left_is_told(tmp_path: Path) -> None:
    """Edges are those of a look at all; ingest counts the splits that it reads for them."""
    written(tmp_path, 4)
    advance(tmp_path)
    before = edges(tmp_path)
    write(tmp_path, "0004.csv", 4, fare="99")
    kept = tmp_path / ".tidemill" / "look.json"
    kept.write_text(kept.read_text().replace('"rows": ', '"rows": 1', 1))
    looked, found = advance(tmp_path)
    assert edges(tmp_path) != before
    assert "look.json is not what was written: all files were looked at anew" in looked.warnings[0]
    assert "1 new: raw/0004.csv; 4 that are as they were were read again" in found.warnings[0]
    looked, _ = advance(tmp_path)
    assert not any("look.json" in word for word in looked.warnings)


def test_forced_it_is_as_from_scratch(tmp_path: Path) -> None:
    """Edges stay when files come, and are those of all files when everything is made anew."""
    written(tmp_path, 4)
    advance(tmp_path)
    before = edges(tmp_path)
    for number in range(4, 9):
        write(tmp_path, f"{number:04d}.csv", number, fare=str(number * 900))
    looked, _ = advance(tmp_path)
    assert edges(tmp_path) == before
    assert any("of a look at 4 splits, and there are 9" in word for word in looked.warnings)
    advance(tmp_path, anew=True)
    forced = edges(tmp_path)
    shutil.rmtree(tmp_path / ".tidemill")
    advance(tmp_path)
    assert forced == edges(tmp_path) != before


def test_parquet_files_that_are_cut_are_kept_too(tmp_path: Path) -> None:
    """Several splits of a file; of the changed one all are scanned, and compared with its hash."""
    cut = dataset(source="raw", time=None)
    (tmp_path / "seen" / "raw").mkdir(parents=True)
    for number in range(2):
        table = pa.Table.from_pylist(
            [dict(zip(HEADER, row(number * ROWS + i), strict=True)) for i in range(ROWS)]
        )
        place = tmp_path / "seen" / "raw" / f"{number}.parquet"
        pq.write_table(table, place, row_group_size=20, write_page_checksum=True)
    shutil.copytree(tmp_path / "seen", tmp_path / "now")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tidemill.ingestion.sources.parquet.parquet_source.SPLIT_ROWS", 20)
        assert run(tmp_path / "now", tmp_path / "seen", cut).splits_scanned == 6
        place = tmp_path / "now" / "raw" / "1.parquet"
        pq.write_table(table.slice(0, 40), place, row_group_size=20, write_page_checksum=True)
        found = run(tmp_path / "now", tmp_path / "seen", cut)
    assert (found.splits_scanned, found.splits_resumed) == (2, 3)


def test_of_a_table_that_grows_the_last_range_is_read(
    sqlite_base: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows behind the last range, and rows that change in one of before, cost their range."""
    monkeypatch.setattr("tidemill.ingestion.sources.sql.sql_source.SqlSource.split_rows", 100)
    root = sqlite_base.root
    numbered(sqlite_base, 450)
    described = DatasetConfig(source=f"{sqlite_base.url}#t", target="n", key="k")
    between = expect("column_values_to_be_between", column="n", min_value=-5, max_value=10_000)
    write_json(root / "suite.json", {"name": "s", "expectations": [between]})

    def ingested() -> tuple[int, str]:
        with LocalEngine(1) as engine:
            context = StageContext(Workspace.at(root), Settings(), engine, None)
            run_look(context, dataset=described)
            ingestion = IngestionConfig(suite="suite.json")
            found = run_ingest(context, dataset=described, ingestion=ingestion)
        said = [w.replace(str(sqlite_base.url), "") for w in found.warnings if "splits" in w]
        return found.facts["splits_read"], " ".join(said)

    assert ingested() == (5, "")
    sqlite_base.run("INSERT INTO t VALUES (451, 451), (452, 452)")
    read, said = ingested()
    assert read == 1
    assert said.startswith("4 of 5 splits are as they were; 1 new: ")
    assert ingested() == (0, "")
    sqlite_base.run("UPDATE t SET n = -1 WHERE k = 120")
    read, said = ingested()
    assert read == 1
    assert said.startswith("4 of 5 splits are as they were; 1 changed: ")
