"""JSON lines as a source."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pyarrow as pa

from tidemill.config import DatasetConfig
from tidemill.contracts import RawBatch, RowsAsked, Sniffed, Split
from tidemill.errors import SourceEmpty
from tidemill.ingestion.sources.column_names import with_written_names
from tidemill.ingestion.sources.files import FileSource
from tidemill.ingestion.sources.json_lines.json_rows import (
    JsonSample,
    read_json_rows,
    read_json_sample,
)
from tidemill.ingestion.sources.text_columns import Stated, column_of_texts
from tidemill.schema import SourceColumn

__all__ = ["JsonLinesSource"]


class JsonLinesSource(FileSource):
    """An object a line."""

    suffixes: ClassVar[tuple[str, ...]] = (".jsonl", ".ndjson", ".jsonlines", ".json")
    likely: ClassVar[bytes] = b"{"
    typed: ClassVar[bool] = True

    def sniff(self, splits: tuple[Split, ...], share: Callable[[int], int], named: str) -> Sniffed:
        """All members of the objects looked at."""
        rows = share(1)
        samples = [read_json_sample(split, self.files, rows=rows) for split in splits]
        names = dict.fromkeys(name for sample in samples for name in sample.columns)
        if not any(len(array) for sample in samples for array in sample.columns.values()):
            raise SourceEmpty(
                f"{named} {self.dataset.source!r} has no rows",
                remedy="put one JSON object on each line, or set dataset.format",
                source=self.dataset.source,
            )
        return Sniffed(tuple(_json_column(name, samples, self.dataset) for name in names))

    def rows(self, split: Split, asked: RowsAsked) -> Iterator[RawBatch]:
        """See :func:`read_json_rows`."""
        return read_json_rows(
            split,
            self.files,
            names=list(asked.columns),
            batch_rows=asked.batch_rows,
            whole=asked.max_batches is None,
            conventions=asked.conventions,
            known=frozenset(asked.listed),
        )


def _json_column(name: str, samples: list[JsonSample], dataset: DatasetConfig) -> SourceColumn:
    held = [sample for sample in samples if name in sample.columns]
    column = column_of_texts(
        name,
        pa.concat_arrays([sample.columns[name] for sample in held]),
        Stated.of(dataset, name),
        declared=np.concatenate([sample.quoted[name] for sample in held]),
    )
    respelled = next((s.respelled[name] for s in held if name in s.respelled), None)
    if column.type == "text" and respelled is not None:
        one = f"a bare number has one text: {respelled[0]} is {respelled[1]!r}"
        column = replace(column, note=f"{column.note}; {one}" if column.note else one)
    written = next((s.written[name] for s in held if name in s.written), name)
    return with_written_names([column], [written])[0]
