"""A table or query of a database as a source."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.cells import CellFaults
from tidemill.config import DatasetConfig
from tidemill.contracts import RawBatch, RowsAsked, Sniffed, Split
from tidemill.errors import SourceEmpty, SourceUnreadable
from tidemill.ingestion.sources.column_names import require_columns, with_written_names
from tidemill.ingestion.sources.sql.from_clause import lock_table
from tidemill.ingestion.sources.sql.relation import NamedRange, Relation
from tidemill.ingestion.sources.sql.row_names import RowName
from tidemill.ingestion.sources.sql.snapshot import Record, Snapshot, open_snapshot
from tidemill.ingestion.sources.sql.sql_address import KeyRange, SqlAddress
from tidemill.ingestion.sources.sql.sql_cells import column_of_arrow, column_of_cells, has_no_text
from tidemill.ingestion.sources.sql.sql_columns import SqlColumn
from tidemill.ingestion.sources.text_columns import Stated, column_of_texts
from tidemill.ingestion.sources.typed_columns import FLOAT32_HOLDS, typed_column
from tidemill.numbers import EXACT
from tidemill.schema import SourceColumn
from tidemill.spelling import LARGEST_WHOLE, categories

__all__ = ["SqlSource"]

_Read = tuple[int, dict[str, pa.Array], dict[str, CellFaults]]


class SqlSource:
    """A table or query; a large one is cut at its key into splits of about a million rows.

    It is cut at ``dataset.cursor`` where that is stated.

    All splits are of one state of the database: their etags were computed in one transaction, and
    each range is read in a transaction that begins with comparing its rows with that. So it does
    not matter when, where and how often a split is read, nor which connections die meanwhile.

    Parameters
    ----------
    dataset : DatasetConfig
    root : Path
        The workspace: a relative path of SQLite's begins there.
    """

    suffixes: ClassVar[tuple[str, ...]] = ()
    magic: ClassVar[tuple[bytes, ...]] = ()
    likely: ClassVar[bytes] = b""
    typed: ClassVar[bool] = True
    scanned: ClassVar[int] = 4
    split_rows: ClassVar[int] = 1_000_000

    def __init__(self, dataset: DatasetConfig, root: Path) -> None:
        self.dataset, self._root = dataset, root
        self._held: Snapshot | None = None
        self._before: tuple[Split, ...] = ()

    def find(self, named: str, given: str | None = None) -> tuple[str, ...]:
        """The table or query that ``dataset.source`` names."""
        del given  # an address means the same from anywhere
        address = SqlAddress.of(self.dataset.source, named)
        with self._opened(address, named):
            return (str(address),)

    @contextmanager
    def one_state(
        self, addresses: tuple[str, ...], before: tuple[Split, ...] = ()
    ) -> Iterator[None]:
        """Within it all that is found is of one state; ranges of ``before`` keep their borders."""
        self._before = before
        with self._locked(SqlAddress.of(addresses[0])) as self._held:
            try:
                yield
            finally:
                self._held, self._before = None, ()

    def split(self, address: str) -> list[Split]:
        """Ranges of the key, or all rows; each is named by its rows, all as they are at once."""
        whole = SqlAddress.of(address)
        with self._opened(whole) as relation:
            before = self._named_before(whole)
            if whole.keys:
                found = [relation.named(whole.keys, before)]
            else:
                found = relation.named_ranges(self.split_rows, before)
        places = [SqlAddress(whole.database, whole.relation, one.keys) for one in found]
        return [
            Split(0, str(place), "sql", "none", one.name.bytes, one.name.etag, mark=one.name.mark)
            for place, one in zip(places, found, strict=True)
        ]

    def etag(self, address: str) -> str:
        """Names the rows that are there now."""
        place = SqlAddress.of(address)
        with self._opened(place) as relation:
            return relation.named(place.keys).name.etag

    def sniff(self, splits: tuple[Split, ...], share: Callable[[int], int], named: str) -> Sniffed:
        """The columns as the database declares them, else by their cells."""
        places = [SqlAddress.of(split.address) for split in splits]
        with self._opened(places[0]) as relation:
            columns = relation.columns
            asked = [column.name for column in columns if column.plain != "other"]
            most = share(len(asked))
            records: list[Record] = []
            for place in places:
                for batch in relation.batches(asked, place.keys, rows=most, most=most):
                    records += batch
            whole = [column.name for column in columns if column.plain == "integer"]
            largest = relation.largest(whole) if records else {}
        if not records:
            raise SourceEmpty(
                f"{named} has no rows: {places[0]}",
                remedy=f"let {named} name another table or query",
            )
        cells = dict(zip(asked, zip(*records, strict=True), strict=True))
        found = [self._column(c, cells.get(c.name, ()), largest.get(c.name, 0.0)) for c in columns]
        return Sniffed(with_written_names(found, [column.written for column in columns]))

    def rows(self, split: Split, asked: RowsAsked) -> Iterator[RawBatch]:
        """Read a range in the order of its key, once its rows were found to be those listed.

        Raises
        ------
        SourceUnreadable
            If they are others by now.
        """
        place, names = SqlAddress.of(split.address), list(asked.columns)
        most = None if asked.max_batches is None else asked.max_batches * asked.batch_rows
        with self._opened(place) as relation:
            now = _named(split)
            if most is None:
                now = relation.named(place.keys, [now])
            if now.name.etag != split.etag:
                raise _others(split)
            require_columns(names, {c.name: c.kind for c in relation.columns}, split.address)
            begin = 0
            # Who stops early leaves nothing open when the connection ends.
            with closing(_batches(relation, names, place.keys, asked, most)) as batches:
                for rows, columns, faults in batches:
                    yield RawBatch(columns, begin + np.arange(rows, dtype=np.int64), faults)
                    begin += rows
            if most is None and begin != now.name.rows:
                raise _others(split)  # now() was another time when they were named

    def said(self, splits: tuple[Split, ...], written: dict[str, Any] | None) -> tuple[str, ...]:
        """Nothing."""
        del splits, written
        return ()

    def unchecked(self, splits: tuple[Split, ...]) -> tuple[str, ...]:
        """Nothing."""
        del splits
        return ()

    def setting_for(
        self, column: str, splits: tuple[Split, ...], written: dict[str, Any] | None
    ) -> str:
        """Nothing."""
        del column, splits, written
        return ""

    @contextmanager
    def _opened(self, address: SqlAddress, named: str = "dataset.source") -> Iterator[Relation]:
        opened = self._locked(address, named) if self._held is None else nullcontext(self._held)
        with opened as snapshot:
            cursor = self.dataset.cursor
            yield Relation(snapshot, address, self.dataset.key, named, cursor=cursor)

    @contextmanager
    def _locked(self, address: SqlAddress, named: str = "dataset.source") -> Iterator[Snapshot]:
        with open_snapshot(address.database, self._root, named) as snapshot:
            lock_table(snapshot, address)
            yield snapshot

    def _named_before(self, whole: SqlAddress) -> list[NamedRange]:
        """The ranges of an earlier listing, if it was of the same table."""
        found = [(SqlAddress.of(split.address), split) for split in self._before]
        return [
            _named(split)
            for place, split in found
            if (place.database, place.relation) == (whole.database, whole.relation)
        ]

    def _column(self, column: SqlColumn, cells: tuple[Any, ...], largest: float) -> SourceColumn:
        """How a column is read: by its declared type, or by its cells as those of JSON."""
        stated = Stated.of(self.dataset, column.name)
        if not column.kind:
            if any(map(has_no_text, cells)):
                return SourceColumn(column.name, "other", style=EXACT, note="binary")
            texts, _ = column_of_cells(cells, "")
            declared = np.array([isinstance(cell, str) for cell in cells], np.bool_)
            return column_of_texts(column.name, texts, stated, declared=declared)
        if column.plain == "other":
            return typed_column(column.name, "other", stated, note=column.kind)
        values, _ = column_of_cells(cells, column.kind)
        # Whole numbers that float64 does not hold may be codes.
        looked = column.plain == "text" or largest > LARGEST_WHOLE or column.kind == "numeric"
        return typed_column(
            column.name,
            column.plain,
            stated,
            categories(values) if looked else None,
            narrow=column.kind == "float4",
            wide=largest > FLOAT32_HOLDS,
            note=_FILLED if column.kind == "bpchar" and _is_filled(values) else "",
        )


def _named(split: Split) -> NamedRange:
    """As it was listed; a split does not tell how many rows it has."""
    name = RowName(split.etag, split.bytes, 0, split.mark)
    return NamedRange(SqlAddress.of(split.address).keys, name)


def _others(split: Split) -> SourceUnreadable:
    return SourceUnreadable(
        f"{split.address} has not the rows any more that were listed",
        remedy="run the same command again: it lists them anew; where rows are others "
        "each time, as those of now() and random() are, name a query of rows that "
        "stay (WHERE day < '2026-11-01'), or store them once (CREATE TABLE kept AS "
        "SELECT ...) and name that table",
        path=split.address,
    )


def _batches(
    relation: Relation, names: list[str], keys: KeyRange | None, asked: RowsAsked, most: int | None
) -> Generator[_Read, None, None]:
    kinds = {column.name: column.kind for column in relation.columns}
    if relation.dialect == "postgresql":
        with closing(relation.tables(names, keys, rows=asked.batch_rows, most=most)) as tables:
            for table in tables:
                yield table.num_rows, *_of_arrow(table, names, kinds)
    else:
        with closing(relation.batches(names, keys, rows=asked.batch_rows, most=most)) as batches:
            for records in batches:
                yield len(records), *_of_cells(records, names, kinds, asked)


def _of_arrow(
    table: pa.Table, names: list[str], kinds: dict[str, str]
) -> tuple[dict[str, pa.Array], dict[str, CellFaults]]:
    cells = (column.combine_chunks() for column in table.columns[: len(names)])
    return {n: column_of_arrow(c, kinds[n]) for n, c in zip(names, cells, strict=True)}, {}


def _of_cells(
    records: list[Record], names: list[str], kinds: dict[str, str], asked: RowsAsked
) -> tuple[dict[str, pa.Array], dict[str, CellFaults]]:
    columns, faults = {}, {}
    table = tuple(zip(*records, strict=True))[: len(names)]
    for name, cells in zip(names, table, strict=True):
        columns[name], found = column_of_cells(cells, kinds[name], asked.conventions.get(name))
        if found is not None:
            faults[name] = found
    return columns, faults


_FILLED = (
    "PostgreSQL fills char(n) up with blanks, which are kept; trim() in a query leaves them out"
)


def _is_filled(texts: pa.Array) -> bool:
    return bool(pc.any(pc.ends_with(texts, " ")).as_py())
