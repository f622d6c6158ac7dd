"""A package beside tidemill whose rows lie in no files: tables of a database, by its address."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from hashlib import sha256
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa

from tidemill.contracts import RawBatch, Sniffed, Split
from tidemill.errors import SourceEmpty, SourceMissing, SourceUnreadable
from tidemill.ingestion.sources.text_columns import Stated, column_of_texts

__all__ = ["SqliteSource"]


class SqliteSource:
    """All tables of ``sqlite://PLACE``; each is a split; ``sqlite://PLACE#NAME`` is one."""

    suffixes, magic, likely, typed, scanned = (), (), b"", False, 4

    def __init__(self, dataset, root):
        self.dataset = dataset

    def find(self, named, given=None):
        """The tables, by their names."""
        source = self.dataset.source
        if not Path(source.removeprefix("sqlite://")).exists():
            raise SourceMissing(
                f"{named} {given or source!r} is no database",
                remedy=f"let {named} name one: sqlite:///PATH",
            )
        _, *names = self._records(f"{source}#sqlite_master")
        return tuple(sorted(f"{source}#{name}" for _, name, *_ in names))

    def split(self, address):
        """A table as one split."""
        return [Split(0, address, "", "none", 0, self.etag(address))]

    def etag(self, address):
        """The SHA-256 of its rows."""
        digest = sha256()
        for record in self._records(address):
            digest.update(repr(record).encode())
        return digest.hexdigest()

    def sniff(self, splits, share, named):
        """Names from the first table, types from all."""
        names = next(self._records(splits[0].address))
        heads = [self._columns(split, names, share(len(names))) for split in splits]
        if not any(len(head[names[0]]) for head in heads):
            raise SourceEmpty(f"{named} has no rows", remedy=f"let {named} name another database")
        texts = {name: pa.concat_arrays([head[name] for head in heads]) for name in names}
        found = [column_of_texts(n, texts[n], Stated.of(self.dataset, n)) for n in names]
        return Sniffed(tuple(found))

    def rows(self, split, asked):
        """Read a table with a cursor."""
        records, digest, begin = self._records(split.address), sha256(), 0
        names = next(records)
        digest.update(repr(names).encode())
        while chunk := list(islice(records, asked.batch_rows)):
            for record in chunk:
                digest.update(repr(record).encode())
            columns = _texts(names, chunk, asked.columns)
            yield RawBatch(columns, np.arange(begin, begin + len(chunk)))
            begin += len(chunk)
        if asked.max_batches is None and digest.hexdigest() != split.etag:
            raise SourceUnreadable(
                f"{split.address} changed while it was in use", remedy="run the same command again"
            )

    def said(self, splits, written):
        return ()

    def unchecked(self, splits):
        return ()

    def setting_for(self, column, splits, written):
        return ""

    def _columns(self, split, names, rows):
        records = islice(self._records(split.address), 1, 1 + rows)
        return _texts(names, list(records), dict.fromkeys(names, pa.string()))

    def _records(self, address):
        """The names of the columns, and every row."""
        place, _, table = address.removeprefix("sqlite://").partition("#")
        with closing(sqlite3.connect(f"file:{place}?mode=ro", uri=True)) as base:
            found = base.execute(f'SELECT * FROM "{table}"')
            yield tuple(name for name, *_ in found.description)
            yield from found


def _texts(names, records, kinds):
    cells = [[None if cell is None else str(cell) for cell in row] for row in records]
    places = {name: place for place, name in enumerate(names)}
    return {n: pa.array([row[places[n]] for row in cells], kind) for n, kind in kinds.items()}
