"""Columns of the source that the schema lacks, and what to set to have each."""

from __future__ import annotations

import json

from tidemill.config import DatasetConfig
from tidemill.ingestion.sources.listing import SourceListing
from tidemill.schema import TableSchema

__all__ = ["left_out"]

_KINDS = {"integer": "numeric", "number": "numeric", "boolean": "boolean", "datetime": "datetime"}


def left_out(listing: SourceListing, dataset: DatasetConfig, schema: TableSchema) -> dict[str, str]:
    """By column of the source, or of ``dataset.derive``, what would bring it into the schema.

    Parameters
    ----------
    listing : SourceListing
    dataset : DatasetConfig
    schema : TableSchema
        What look made of them.
    """
    kinds = {column.name: column.type for column in listing.columns}
    names = [*kinds, *(name for name in dataset.derive if name not in kinds)]
    return {
        name: _remedy(name, kinds.get(name, "text"), dataset)
        for name in names
        if name not in schema
    }


def _remedy(name: str, kind: str, dataset: DatasetConfig) -> str:
    if kind == "other":
        return "write it to the files as numbers, texts, times or booleans"
    if name in dataset.drop:
        return "take it out of dataset.drop"
    stated = json.dumps(name, ensure_ascii=False)
    return f"set dataset.types: {{{stated}: {_KINDS.get(kind, 'categorical')}}}"
