"""A package beside tidemill with a source of its own: columns stand where their names do."""

from __future__ import annotations

import re
from itertools import islice

import pyarrow as pa

from tidemill.contracts import RawBatch, Reject, RowsAsked, Sniffed
from tidemill.errors import SourceEmpty
from tidemill.ingestion.sources.files import FileSource
from tidemill.ingestion.sources.streams import text_blocks
from tidemill.ingestion.sources.text_columns import Stated, column_of_texts

__all__ = ["FixedWidthSource"]


class FixedWidthSource(FileSource):
    """Text whose first line has the names; a column reaches to the beginning of the next."""

    suffixes = (".fwf",)

    def sniff(self, splits, share, named):
        """Names and places from the first file, types from all."""
        header = next(self._lines(splits[0], whole=False), "")
        places = {m[0].strip(): m.span() for m in re.finditer(r"\S+\s*", header)}
        asked = RowsAsked(
            columns=dict.fromkeys(places, pa.string()),
            listed=tuple(places),
            written={"places": places},
            batch_rows=share(len(places)),
            max_batches=1,
        )
        heads = [batch for split in splits for batch in islice(self.rows(split, asked), 1)]
        if not any(len(batch.rows) for batch in heads):
            raise SourceEmpty(f"{named} has no rows", remedy=f"let {named} name another file")
        texts = {n: pa.concat_arrays([b.columns[n] for b in heads]) for n in places}
        found = [column_of_texts(n, texts[n], Stated.of(self.dataset, n)) for n in places]
        return Sniffed(tuple(found), asked.written)

    def rows(self, split, asked):
        """Cut every line; one that ends before its last column is no row."""
        places = asked.written["places"]
        least = max(first for first, _ in places.values())
        lines = enumerate(islice(self._lines(split, asked.max_batches is None), 1, None))
        while records := list(islice(lines, asked.batch_rows)):
            good = [(row, line) for row, line in records if len(line) > least]
            yield RawBatch(
                {
                    name: pa.array([line[slice(*places[name])].strip() for _, line in good], kind)
                    for name, kind in asked.columns.items()
                },
                pa.array([row for row, _ in good], pa.int64()).to_numpy(),
                rejects=tuple(
                    Reject(row, row + 2, "shorter than its columns", line[:500])
                    for row, line in records
                    if len(line) <= least
                ),
            )

    def _lines(self, split, whole):
        rest = ""
        for block in text_blocks(split, self.files, encoding="utf-8", whole=whole):
            *lines, rest = (rest + block.decode()).split("\n")
            yield from lines
        if rest:
            yield rest
