"""Gathered rows are read from whatever store they are in, and what is told of them names none."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from tidemill.config import DatasetConfig
from tidemill.engines import open_engine
from tidemill.errors import IntegrityError
from tidemill.ingestion import list_source
from tidemill.ingestion.scan import check_source
from tidemill.ingestion.sources.files import format_of
from tidemill.retraining.gathered_rows import FILES, LEARN, PROOF, gathered_dataset
from tidemill.settings import Settings
from tidemill.storage import BlockWriter, StoreFolder, open_store

DATASET = DatasetConfig(source="data/raw", target="late", key="id")
ROWS = pa.record_batch({"id": range(40), "words": [["a", "b"][n % 2] for n in range(40)]})


def gathered(root: Path, decision: str, rows: pa.RecordBatch = ROWS) -> StoreFolder:
    """Rows that teach and rows that judge, in a store at ``root``."""
    folder = StoreFolder(str(root), f"work/{decision}/rows")
    for side in (LEARN, PROOF):
        key = folder.key(f"{FILES}/{side}.parquet")
        with (
            open_store(folder.store).replace(key) as file,
            BlockWriter(file, rows.schema, block_rows=16) as writer,
        ):
            writer.write(rows)
    return folder


def listed(folder: StoreFolder, root: Path):
    with open_engine(Settings(workers=1)) as engine:
        return list_source(gathered_dataset(DATASET, folder), root, engine)


def test_the_listing_names_no_store_and_no_retraining(tmp_path):
    """The same rows have the same splits: names, sizes and hashes."""
    one = listed(gathered(tmp_path / "here", "d1"), tmp_path)
    assert one == listed(gathered(tmp_path / "a#b", "d2"), tmp_path / "elsewhere")
    assert [split.address for split in one.splits] == ["learn.parquet", "proof.parquet"]
    assert str(tmp_path) not in str(one)


def test_no_file_of_the_user_s_is_taken_for_gathered_rows(tmp_path):
    """Also in a process that has read some: Parquet stays Parquet."""
    folder = gathered(tmp_path, "d1")
    listed(folder, tmp_path)
    name = f"{folder.folder}/{FILES}/learn.parquet"
    assert format_of(name, tmp_path) == "parquet"
    given = DatasetConfig(source=name, target="late")
    with open_engine(Settings(workers=1)) as engine:
        (split,) = list_source(given, tmp_path, engine).splits
    assert split.format == "parquet"


def test_rows_that_were_replaced_after_the_listing_are_refused(tmp_path):
    """And what is not there is told as that."""
    folder = gathered(tmp_path, "d1")
    listing, dataset = listed(folder, tmp_path), gathered_dataset(DATASET, folder)
    split = listing.splits[0]
    check_source(dataset, tmp_path, split)
    gathered(tmp_path, "d1", ROWS.slice(1))
    with pytest.raises(IntegrityError, match=r"learn\.parquet changed"):
        check_source(dataset, tmp_path, split)
    open_store(folder.store).discard(folder.key(FILES))
    with pytest.raises(IntegrityError, match=r"learn\.parquet is missing"):
        check_source(dataset, tmp_path, split)
