"""Parse Parquet and Arrow of unknown origin: a process under limits, which may die of a file.

A script, run by its path with ``python -P``: ``parquet_child.py MEMORY_BYTES CPU_SECONDS SOCKET``.
It imports no room of tidemill, so that it starts in a fifth of a second. Each line of its input
asks one thing in JSON; a line of JSON answers, and for rows a stream of Arrow batches and one more
line. Over the socket it asks for ranges of files that are not on this machine.
"""

from __future__ import annotations

import base64
import json
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tidemill.arrow_file import ArrowFile
from tidemill.asked_ranges import AskedFile, HeldBytes
from tidemill.parquet_pages import Damaged, chunk_begin, has_checksum, page_values
from tidemill.schema import MOST_COLUMNS

__all__ = ["refuse_bomb", "serve"]

MAX_CHUNK_BYTES = 1 << 30
MAX_RATIO = 1000
MAX_UNCHECKED_BYTES = 1 << 26
BATCH_ROWS = 16_384
_FOOTER_BYTES = 1 << 16
"""Of a file elsewhere, what pyarrow reads first."""
MAX_RUN_BYTES = 1 << 24
"""Opened, of small row groups that are read at once: pyarrow takes long over each one alone."""
IDLE_SECONDS = 30
"""After so long without a question it ends; whoever asks later starts another."""


def _flat_columns(metadata: pq.FileMetaData, names: set[str]) -> dict[int, str]:
    """Columns whose pages tell their rows: those that are not nested."""
    found = {}
    for number in range(metadata.num_columns):
        described = metadata.schema.column(number)
        if described.path in names and not described.max_repetition_level:
            found[number] = described.path
    return found


def _check_pages(
    file: BinaryIO, metadata: pq.FileMetaData, group: int, flat: dict[int, str]
) -> None:
    described = metadata.row_group(group)
    for number, name in flat.items():
        chunk = described.column(number)
        held = page_values(file, chunk)
        if not held == chunk.num_values == described.num_rows:
            raise Damaged(
                f"row group {group} has {described.num_rows} rows by the footer, its column {name} "
                f"{chunk.num_values} by the footer and {held} by its pages",
                group=group,
                column=name,
            )


def _chunks(
    metadata: pq.FileMetaData, run: list[int], names: set[str]
) -> Iterator[tuple[int, int]]:
    """Where the columns' bytes lie of some row groups: first and end of each."""
    for group in run:
        described = metadata.row_group(group)
        for number in range(metadata.num_columns):
            chunk = described.column(number)
            path = chunk.path_in_schema
            if path in names or path.partition(".")[0] in names:
                yield chunk_begin(chunk), chunk_begin(chunk) + chunk.total_compressed_size


def refuse_bomb(metadata: pq.FileMetaData, size: int) -> None:
    """Refuse a file whose footer promises far more than its bytes can honestly hold."""
    if (wide := metadata.num_columns) > MOST_COLUMNS:
        raise Damaged(f"{wide:,} columns; at most {MOST_COLUMNS:,} are read", "write fewer columns")
    for group in range(metadata.num_row_groups):
        for column in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(column)
            opened = chunk.total_uncompressed_size
            if opened > MAX_CHUNK_BYTES or opened > max(MAX_RATIO * size, MAX_UNCHECKED_BYTES):
                raise Damaged(
                    f"column {chunk.path_in_schema} of row group {group} opens to "
                    f"{opened >> 20} MB, the file has {size >> 10} KB",
                    "if the file is what it should be, write it again in smaller row groups",
                    opened=opened,
                    size=size,
                )


class _Opened:
    """A file whose footer has been parsed and found to agree with itself."""

    def __init__(self, place: str | AskedFile) -> None:
        self._asked = place if isinstance(place, AskedFile) else None
        self._raw: Any  # closed with the next one's opening
        if isinstance(place, AskedFile):
            size, self._raw = place.size, HeldBytes(place)
            place.hold([(max(0, size - _FOOTER_BYTES), size)])
        else:
            self._raw = open(place, "rb")  # noqa: SIM115, PTH123
            size = self._raw.seek(0, 2)
        # INT96 counts nanoseconds, which would end in the year 2262.
        read = partial(
            pq.ParquetFile,
            place if isinstance(place, str) else pa.PythonFile(place, mode="r"),
            page_checksum_verification=True,
            coerce_int96_timestamp_unit="us",
        )
        file = read()
        refuse_bomb(file.metadata, size)
        texts = _dictionary_texts(file)
        self.file = read(read_dictionary=texts) if texts else file
        self.schema = self.file.schema_arrow
        metadata = self.file.metadata
        self.rows = [metadata.row_group(g).num_rows for g in range(metadata.num_row_groups)]
        if min(self.rows, default=0) < 0 or sum(self.rows) != metadata.num_rows:
            raise Damaged(
                f"it has {metadata.num_rows} rows by its footer, {sum(self.rows)} by that of its "
                "row groups"
            )
        _refuse_other_types(self.schema, metadata)

    def close(self) -> None:
        self.file.close()
        self._raw.close()

    def told(self) -> dict[str, Any]:
        """What the footer says."""
        schema = self.schema.remove_metadata().serialize().to_pybytes()
        return {
            "schema": base64.b64encode(schema).decode(),
            "rows": self.rows,
            "largest": _largest_numbers(self.file),
            "checked": self._checked(),
        }

    def _checked(self) -> bool:
        held = [group for group, rows in enumerate(self.rows) if rows]
        if not held or not self.file.metadata.num_columns:
            return True
        return has_checksum(self._raw, self.file.metadata.row_group(held[0]).column(0))

    def batches(
        self, groups: list[int], positions: list[int], most: int | None
    ) -> Iterator[pa.RecordBatch]:
        """Batches of some columns, all rows that the footer promises of each row group.

        It stops behind the batch that fills ``most`` rows.
        """
        told = 0
        written = {self.schema.names[p] for p in positions}
        flat = _flat_columns(self.file.metadata, written)
        for run in self._runs(groups):
            if self._asked is not None:
                self._asked.hold(_chunks(self.file.metadata, run, written))
            for group in run:
                _check_pages(self._raw, self.file.metadata, group, flat)
            rows, promised = 0, sum(self.rows[group] for group in run)
            found = self._sound_batches(run, positions)
            for batch in found if len(run) == 1 else _joined(found):
                rows, told = rows + batch.num_rows, told + batch.num_rows
                yield batch
                if most is not None and told >= most:
                    return
            if rows != promised:
                where = f"row group {run[0]}" + (f" to {run[-1]}" if len(run) > 1 else "")
                raise Damaged(
                    f"{where} has {promised} rows by the footer, and {rows} could be read",
                    group=run[0],
                )

    def _sound_batches(self, run: list[int], positions: list[int]) -> Iterator[pa.RecordBatch]:
        written = [self.schema.names[p] for p in positions]
        # Asked for many row groups at once, pyarrow holds all that it has read.
        for batch in self.file.iter_batches(
            batch_size=BATCH_ROWS,
            row_groups=run,
            columns=list(dict.fromkeys(written)),
            use_threads=False,
        ):
            columns = self._by_position(batch)
            yield pa.RecordBatch.from_arrays(
                [_sound(columns[p]) for p in positions], names=[str(p) for p in positions]
            )

    def _runs(self, groups: list[int]) -> Iterator[list[int]]:
        """The row groups, small ones that follow each other together, a batch of rows at most."""
        run, rows, opened = list[int](), 0, 0
        for group in groups:
            size = self.file.metadata.row_group(group).total_byte_size
            full = rows + self.rows[group] > BATCH_ROWS or opened + size > MAX_RUN_BYTES
            if run and full:
                yield run
                run, rows, opened = [], 0, 0
            run.append(group)
            rows, opened = rows + self.rows[group], opened + size
        if run:
            yield run

    def _by_position(self, batch: pa.RecordBatch) -> dict[int, pa.Array]:
        """Columns by their place in the file.

        They come in the order that was asked for, all of a name that is there twice together.
        """
        places: dict[str, list[int]] = {}
        for position in reversed(range(len(self.schema))):
            places.setdefault(self.schema.field(position).name, []).append(position)
        named = zip(batch.schema.names, batch.columns, strict=True)
        return {places[name].pop(): column for name, column in named}


def _joined(batches: Iterator[pa.RecordBatch]) -> list[pa.RecordBatch]:
    """One batch of those of small row groups, each of which has dictionaries of its own."""
    small = list(batches)
    if len(small) < 2:
        return small
    joined = pa.Table.from_batches(small).unify_dictionaries().combine_chunks()
    return list(joined.to_batches())


def _refuse_other_types(schema: pa.Schema, metadata: pq.FileMetaData) -> None:
    """Refuse types that contradict the Arrow schema which Arrow's own writers leave in the footer.

    Bytes that are microseconds by one and nanoseconds by the other are damage.
    """
    kept = (metadata.metadata or {}).get(b"ARROW:schema")
    if kept is None:
        return
    stored = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(kept)))
    if len(stored) != len(schema):
        raise Damaged(f"it has {len(schema)} columns, or {len(stored)}, by its own footer")
    leaves = (metadata.schema.column(leaf) for leaf in range(metadata.num_columns))
    # INT96 has no unit; we read it as microseconds.
    unitless = {leaf.path for leaf in leaves if leaf.physical_type == "INT96"}
    for was, found in zip(stored, schema, strict=True):
        contradict = found.name not in unitless and _contradict(was.type, found.type)
        if was.name != found.name or contradict:
            raise Damaged(
                f"the column {found.name} ({found.type}) is {was.name} ({was.type}) elsewhere in "
                "the footer"
            )


def _contradict(was: pa.DataType, found: pa.DataType) -> bool:
    types, other = pa.types, bool(was != found)
    if types.is_timestamp(was) and types.is_timestamp(found):
        # Parquet has no seconds; nanoseconds that it cannot hold are read as microseconds.
        units = (was.unit, found.unit)
        return was.unit != found.unit and units not in (("s", "ms"), ("ns", "us"))
    if types.is_integer(was) and types.is_integer(found):
        return other and was.bit_width == found.bit_width
    return other and types.is_decimal(was) and types.is_decimal(found)


def _sound(values: pa.Array) -> pa.Array:
    """The array, within whose bounds its codes and offsets lie; texts may be no UTF-8."""
    values.validate()
    if pa.types.is_dictionary(values.type) and len(values) > values.null_count:
        bounds = pc.min_max(values.indices)
        if bounds["min"].as_py() < 0 or bounds["max"].as_py() >= len(values.dictionary):
            raise Damaged("a code stands for no entry of its dictionary")
    return values


def _dictionary_texts(file: pq.ParquetFile) -> list[str]:
    """Text columns whose repeated texts can stay one; delta encodings refuse to be read so."""
    metadata = file.metadata
    plain = set()
    for group in range(metadata.num_row_groups):
        for column in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(column)
            if any(encoding.startswith("DELTA") for encoding in chunk.encodings):
                plain.add(chunk.path_in_schema)
    return [f.name for f in file.schema_arrow if pa.types.is_string(f.type) and f.name not in plain]


def _largest_numbers(file: pq.ParquetFile) -> dict[str, float]:
    """The largest magnitude in each column of whole numbers, by the footer; else its type's."""
    kinds = {f.name: f.type for f in file.schema_arrow if pa.types.is_integer(f.type)}
    found, metadata = dict.fromkeys(kinds, 0.0), file.metadata
    for column in range(metadata.num_columns if kinds else 0):
        name = metadata.schema.column(column).path
        for group in range(metadata.num_row_groups if name in kinds else 0):
            known = metadata.row_group(group).column(column).statistics
            told = known is not None and known.has_min_max
            largest = max(abs(known.min), abs(known.max)) if told else 2.0 ** kinds[name].bit_width
            found[name] = max(found[name], float(largest))
    return found


class _Server:
    """Answers one question after the other about one file after the other."""

    def __init__(self, out: BinaryIO, seconds: int, channel: socket.socket) -> None:
        self._out, self._seconds, self._channel = out, seconds, channel
        self._opened: _Opened | ArrowFile | None = None

    def answer(self, asked: dict[str, Any]) -> None:
        if "open" in asked:
            self._guarded(partial(self._open, asked["open"], _KINDS[asked["kind"]]))
        else:
            self._guarded(partial(self._read, **asked))

    def _guarded(self, act: Callable[[], dict[str, Any]]) -> None:
        self._allow()
        try:
            told = act()
        except Damaged as exc:
            told = {"damaged": exc.told}
        except MemoryError:
            told = {"too_large": True}
        except BrokenPipeError:
            raise
        except Exception as exc:  # whatever pyarrow makes of a damaged file
            said = str(exc).splitlines()[0] if str(exc) else type(exc).__name__
            told = {"damaged": {"message": said, "remedy": "", "fields": {}}}
        self._say(told)

    def _open(self, place: str | int, kind: type[_Opened | ArrowFile]) -> dict[str, Any]:
        if self._opened is not None:
            self._opened.close()
            self._opened = None
        if isinstance(place, str):
            self._opened = kind(place)
        else:  # so many bytes are asked for elsewhere
            self._opened = kind(AskedFile(self._channel, place))
        return self._opened.told()

    def _read(self, groups: list[int], columns: list[int], most: int | None) -> dict[str, Any]:
        assert self._opened is not None, "rows are asked for behind the footer"  # noqa: S101
        schema = pa.schema([(str(p), self._opened.schema.field(p).type) for p in columns])
        # Whoever reads the stream learns from the line behind it whether it is whole.
        with pa.ipc.new_stream(pa.PythonFile(self._out, mode="w"), schema) as stream:
            for batch in self._opened.batches(groups, columns, most):
                stream.write_batch(batch)
                self._allow()
        return {"whole": True}

    def _say(self, told: dict[str, Any]) -> None:
        self._out.write(json.dumps(told).encode() + b"\n")
        self._out.flush()

    def _allow(self) -> None:
        """From now on, so many seconds of computing; then the system ends this process."""
        limit = int(time.process_time()) + 1 + self._seconds
        resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))


_KINDS: dict[str, type[_Opened | ArrowFile]] = {"Parquet": _Opened, "Arrow": ArrowFile}


def serve(memory_bytes: int, seconds: int, channel: int) -> None:
    """Answer until the input ends, or nobody has asked for a while."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one who asks decides; its end is ours
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    server = _Server(sys.stdout.buffer, seconds, socket.socket(fileno=channel))
    asked = sys.stdin.buffer
    while select.select([asked], [], [], IDLE_SECONDS)[0]:
        line = asked.readline()
        if not line:
            return
        server.answer(json.loads(line))


if __name__ == "__main__":
    serve(*map(int, sys.argv[1:]))
