"""Tables as look and the readers find them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tidemill.config import DatasetConfig
from tidemill.engines import LocalEngine
from tidemill.ingestion.first_look.look import LookResult, look_result
from tidemill.ingestion.sources.batches import ParsedBatch
from tidemill.ingestion.sources.listing import list_source
from tidemill.ingestion.sources.reading import read_split


def read(
    root: Path, source: str, *, batch_rows: int = 64, **stated: Any
) -> tuple[LookResult, list[ParsedBatch]]:
    """What look finds in the files, and their rows; the target is y."""
    dataset = DatasetConfig.model_validate({"source": source, "target": "y", **stated})
    listing = list_source(dataset, root, LocalEngine())
    found = look_result(dataset, listing, root)
    return found, [
        batch
        for split in listing.splits
        for batch in read_split(split, found.schema, dataset, listing, root, batch_rows=batch_rows)
    ]


def values(batches: list[ParsedBatch], column: str) -> list[Any]:
    """A column's cells."""
    return [value for batch in batches for value in batch.table[column].to_pylist()]
