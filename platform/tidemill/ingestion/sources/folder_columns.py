"""Columns that stand in the names of folders: ``year=2024/month=01/part.csv``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from urllib.parse import unquote

import numpy as np
import pyarrow as pa

from tidemill.config import DatasetConfig
from tidemill.contracts import RawBatch
from tidemill.errors import SchemaMismatch
from tidemill.ingestion.sources.text_columns import Stated, column_of_texts
from tidemill.schema import SourceColumn

__all__ = ["folder_cells", "folder_columns", "with_folder_cells"]

_MISSING = "__HIVE_DEFAULT_PARTITION__"
_PART = re.compile(r"([^=]+)=(.*)")


def folder_cells(folders: str) -> dict[str, str | None]:
    """The columns that folders' names state, and their cells: as Hive, Spark and DuckDB write.

    Parameters
    ----------
    folders : str
        With forward slashes.

    Examples
    --------
    >>> folder_cells("rides/year=2024/zone=New%20Town")
    {'year': '2024', 'zone': 'New Town'}
    """
    parts = (_PART.fullmatch(part) for part in folders.split("/"))
    said = {unquote(part[1]): unquote(part[2]) for part in parts if part is not None}
    return {name: None if cell == _MISSING else cell for name, cell in said.items()}


def folder_columns(
    folders: Mapping[str, str], dataset: DatasetConfig, held: Sequence[SourceColumn]
) -> tuple[SourceColumn, ...]:
    """The columns of the folders' names, of the types that their cells have as texts of CSV.

    Columns that the files hold themselves are theirs; those that only later files have are passed
    over.

    Parameters
    ----------
    folders : dict of address to str
        The folders of each file, from what ``dataset.source`` names on downward.
    held : sequence of SourceColumn
        The files' own.

    Raises
    ------
    SchemaMismatch
        If a file lies below no folder of a column that the first one has.
    """
    cells = {address: folder_cells(names) for address, names in folders.items()}
    (first, known), *others = cells.items()
    wanted = [name for name in known if name not in {column.name for column in held}]
    for address, own in others:
        absent = [name for name in wanted if name not in own]
        if absent:
            raise SchemaMismatch(
                f"{address} lies below no folder {absent[0]}=..., as {first} does",
                remedy="let dataset.source name files of one kind of folders, for example with a "
                "glob",
                path=address,
                columns=tuple(absent),
            )
    texts = {name: pa.array([own[name] for own in cells.values()], pa.string()) for name in wanted}
    return tuple(column_of_texts(n, t, Stated.of(dataset, n)) for n, t in texts.items())


def with_folder_cells(
    batch: RawBatch, cells: Mapping[str, str | None], kinds: Mapping[str, pa.DataType]
) -> RawBatch:
    """The batch with columns that have one cell in all rows, as texts of the ``kinds`` asked for.

    Memory: the columns.
    """
    rows = len(batch.rows)
    more = {name: _repeated(cells.get(name), rows, kind) for name, kind in kinds.items()}
    return replace(batch, columns=batch.columns | more)


def _repeated(cell: str | None, rows: int, kind: pa.DataType) -> pa.Array:
    if cell is None:
        return pa.nulls(rows, kind)
    if pa.types.is_dictionary(kind):
        return pa.DictionaryArray.from_arrays(np.zeros(rows, np.int32), [cell])
    return pa.repeat(pa.scalar(cell, kind), rows)
