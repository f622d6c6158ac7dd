"""The rows of a window as a Parquet file, at any address that fsspec knows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any, Protocol

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import sqlalchemy as sa

from tidemill.cells import decoded_type
from tidemill.errors import ConfigError, DependencyMissing, StorageFailed
from tidemill.ledger.database import Database, micros, tables
from tidemill.ledger.row_reading import rows_between, truth_columns

__all__ = ["archive_window"]


class _Archivable(Protocol):
    @property
    def id(self) -> int: ...
    @property
    def model_version(self) -> int: ...
    @property
    def start(self) -> dt.datetime: ...
    @property
    def end(self) -> dt.datetime: ...
    @property
    def positions(self) -> tuple[int, int] | None: ...


def archive_window(database: Database, window: _Archivable, url: str) -> str:
    """Write the rows of ``window``, with their truths; returns the file's address.

    Raises
    ------
    ConfigError, DependencyMissing
        If the address is not understood, or its file system is not installed.
    StorageFailed
        If the file cannot be written.

    Notes
    -----
    Memory is one stored batch. The file appears whole or not at all: it is written beside and
    moved, or (object stores) becomes visible when its upload ends.
    """
    name = f"model={window.model_version}/window-{window.start:%Y%m%dT%H%M%S}-{window.id}.parquet"
    try:
        system, folder = fsspec.core.url_to_fs(url)
    except ImportError as exc:
        raise DependencyMissing(
            f"the archive's address needs a package that is not installed: {exc}",
            remedy="install the file system's package, for example s3fs",
        ) from exc
    except ValueError as exc:
        raise ConfigError(
            f"monitoring.archive is not understood: {exc}",
            remedy="give a folder or an address like s3://bucket/prefix",
        ) from exc
    target = f"{folder.rstrip('/')}/{name}"
    try:
        _write(system, target, _tables(database, window))
    except OSError as exc:
        raise StorageFailed(
            f"{target}: {exc.strerror or exc}",
            remedy="check monitoring.archive; the rows are still in the store",
            path=target,
            retry_after=60,
        ) from exc
    return str(system.unstrip_protocol(target))


def _write(system: Any, target: str, pieces: Iterator[pa.Table]) -> None:
    system.makedirs(target.rpartition("/")[0], exist_ok=True)
    temporary = f"{target}.part"
    writer = None
    with system.open(temporary, "wb") as file:
        try:
            for piece in pieces:
                if writer is None:
                    writer = pq.ParquetWriter(
                        file, piece.schema, compression="zstd", write_page_checksum=True
                    )
                writer.write_table(piece.cast(writer.schema))
        finally:
            if writer is not None:
                writer.close()
    system.mv(temporary, target)


def _tables(database: Database, window: _Archivable) -> Iterator[pa.Table]:
    b = tables.batches
    start, end = micros(window.start), micros(window.end)
    if window.positions is not None:
        first, last = window.positions
        conditions = [b.c.position < last, b.c.position + b.c.rows > first]
        by, low, high = "position", pa.scalar(first), pa.scalar(last)
    else:
        conditions = [b.c.min_at < window.end, b.c.max_at >= window.start]
        by = "at"
        low, high = pa.scalar(start, pa.timestamp("us")), pa.scalar(end, pa.timestamp("us"))
    with database.read() as connection:
        found = False
        for first_seq, table in rows_between(connection, window.model_version, conditions):
            seq = pa.array(np.arange(first_seq, first_seq + len(table)))
            table = table.append_column("seq", seq)
            inside = pc.and_(pc.greater_equal(table[by], low), pc.less(table[by], high))
            piece = table.filter(inside)
            if len(piece) or not found:
                found = True
                yield _labelled(connection, _decoded(piece))


def _decoded(table: pa.Table) -> pa.Table:
    # Dictionaries differ from batch to batch; a file has one schema.
    rows = table.drop_columns(["position"])
    fields = [field.with_type(decoded_type(field.type)) for field in rows.schema]
    return rows.cast(pa.schema(fields))


def _labelled(connection: sa.engine.Connection, table: pa.Table) -> pa.Table:
    t = tables.labels
    seq = table["seq"].to_numpy()
    rows = table.drop_columns(["seq"])
    labels: list[Any] = []
    if len(seq):
        chosen = sa.select(t).where(t.c.seq.between(int(seq[0]), int(seq[-1]))).order_by(t.c.seq)
        wanted = set(seq.tolist())
        labels = [row for row in connection.execute(chosen) if row.seq in wanted]
    words = _texts(labels)
    at = np.searchsorted(seq, [row.seq for row in labels]).tolist()
    truth: list[str | None] = [None] * len(seq)
    for row, word in zip(at, words, strict=True):
        truth[row] = word
    return rows.append_column("truth", pa.array(truth, pa.string()))


def _texts(labels: list[Any]) -> list[str]:
    if not labels:
        return []
    return [str(value) for value in truth_columns(labels)["truth"].to_pylist()]
