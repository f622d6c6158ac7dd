"""Write a simulated ride-hailing table: ride requests with their quotes, as monthly files."""

from __future__ import annotations

import datetime as dt
import io
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from tidemill.errors import ConfigError
from tidemill.samples.ride_model import CHUNK_ROWS, Calendar, simulate_rides
from tidemill.storage import storage_errors

__all__ = ["write_sample"]

_THREADS = 2
_Piece = tuple[int, bytes | pa.Table]


def write_sample(
    folder: Path,
    *,
    rows: int,
    months: int,
    seed: int,
    format: Literal["csv", "parquet"] = "csv",  # noqa: A002 - the word of params.yaml
) -> tuple[Path, ...]:
    """Write ``rows`` simulated ride requests over ``months`` months from January 2024.

    Two things can be predicted: ``cancelled`` (binary) and ``fare_total`` (regression). From
    the first month of the last quarter on, prices and habits are others
    (``Calendar.regime_change``). About 2.5 % of the rows are dirty: negative distance,
    impossible fare, text in a number (null in Parquet), unknown zone, missing required value,
    drop-off before pick-up. Ride ids are unique.

    Parameters
    ----------
    folder : Path
        Made if absent; files of the same names are replaced.
    rows, months : int
        Rows in all, and files.
    seed : int
        The same seed and arguments give the same bytes.
    format : str
        ``csv`` or ``parquet``.

    Returns
    -------
    tuple of Path
        ``rides-YYYY-MM.csv`` or ``.parquet``, in the order of time.

    Raises
    ------
    ConfigError
        If ``rows`` or ``months`` is not positive, or the format is another.
    StorageFailed
        If the disk refuses.

    Notes
    -----
    Memory: a few chunks of 65,536 rows, whatever ``rows``.
    """
    if rows < 1 or months < 1 or months > 120 or format not in ("csv", "parquet"):
        raise ConfigError(
            f"a sample of {rows} rows in {months} months as {format!r} cannot be made",
            remedy="give at least 1 row, 1 to 120 months, and csv or parquet",
            rows=rows,
            months=months,
            format=format,
        )
    calendar = Calendar.of(months)
    paths = tuple(folder / f"rides-{start:%Y-%m}.{format}" for start in calendar.starts)
    make = partial(_pieces, rows=rows, calendar=calendar, seed=seed, as_text=format == "csv")
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            write = _text_sink if format == "csv" else _parquet_sink
            sinks = [write(path, stack) for path in paths]
            for pieces in _in_order(make, range(-(-rows // CHUNK_ROWS))):
                for month, piece in pieces:
                    sinks[month](piece)
    return paths


def _in_order(make: Callable[[int], list[_Piece]], chunks: range) -> Iterator[list[_Piece]]:
    """Make chunks in threads (numpy and Arrow leave the interpreter lock), a few ahead."""
    with ThreadPoolExecutor(_THREADS) as pool:
        waiting: deque[Future[list[_Piece]]] = deque()
        for chunk in chunks:
            waiting.append(pool.submit(make, chunk))
            if len(waiting) > _THREADS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _pieces(chunk: int, *, rows: int, calendar: Calendar, seed: int, as_text: bool) -> list[_Piece]:
    table, month = simulate_rides(chunk, rows=rows, calendar=calendar, seed=seed, as_text=as_text)
    pieces: list[_Piece] = []
    begin = 0
    while begin < table.num_rows:  # rows are in time order: each month is one stretch
        end = int(month.searchsorted(month[begin], side="right"))
        part = table.slice(begin, end - begin)
        pieces.append((int(month[begin]), _text_of(part) if as_text else part))
        begin = end
    return pieces


def _text_of(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pacsv.write_csv(
        table, out, pacsv.WriteOptions(include_header=False, quoting_style="none", batch_size=8192)
    )
    return out.getvalue()


def _text_sink(path: Path, stack: ExitStack) -> Callable[[Any], object]:
    file = stack.enter_context(path.open("wb"))
    file.write(",".join(_schema(as_text=True).names).encode() + b"\n")
    return file.write


def _parquet_sink(path: Path, stack: ExitStack) -> Callable[[Any], object]:
    writer = pq.ParquetWriter(
        path, _schema(as_text=False), compression="zstd", write_page_checksum=True
    )
    return stack.enter_context(writer).write_table  # type: ignore[no-any-return]


def _schema(*, as_text: bool) -> pa.Schema:
    calendar = Calendar(starts=(dt.datetime(2024, 1, 1),), end=dt.datetime(2024, 2, 1))  # noqa: DTZ001
    table, _ = simulate_rides(0, rows=1, calendar=calendar, seed=0, as_text=as_text)
    return table.schema
