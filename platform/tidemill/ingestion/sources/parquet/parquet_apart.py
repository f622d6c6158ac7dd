"""Parquet and Arrow of unknown origin, parsed in a process apart; what comes back is sound."""

from __future__ import annotations

import atexit
import base64
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from tidemill.errors import SourceUnreadable, TidemillError, WorkerLost
from tidemill.ingestion.sources.parquet.served_ranges import ServedRanges
from tidemill.storage import ExactRanges, storage_errors

__all__ = ["Kind", "ParquetApart", "open_parquet"]

Kind = Literal["Parquet", "Arrow"]

MEMORY_BYTES = 2 << 30
CPU_SECONDS = 60
_FAULTS = (signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE)
_PIECES = {"Parquet": "row groups and pages", "Arrow": "record batches"}
_FETCH = "fetch the file again, or take it out of the source"

_idle: list[_Child] = []
"""Children that wait for the next file, so that not every file costs the start of a process."""


@dataclass(frozen=True, slots=True)
class ParquetApart:
    """A file whose footer has been parsed; of Arrow a row group is a record batch.

    Parameters
    ----------
    schema : pyarrow.Schema
        Names as they are written; some may come twice.
    group_rows : tuple of int
        Rows of each row group, by the footer.
    largest : dict of column name to float
        The largest magnitude in each column of whole numbers, by the footer; else its type's.
    checked : bool
        Whether its pages carry checksums, which were compared wherever a page is read.
    """

    schema: pa.Schema
    group_rows: tuple[int, ...]
    largest: dict[str, float]
    checked: bool
    _child: _Child

    def batches(
        self, groups: range, columns: list[int], most: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield batches of columns, by their positions, of all rows of some row groups.

        It stops behind the batch that fills ``most`` rows.

        Raises
        ------
        SourceUnreadable
            If the file is damaged, has fewer or more rows than its footer says, or takes more
            memory or time than any honest file.
        """
        return self._child.batches(groups, columns, most)


@contextmanager
def open_parquet(
    place: Path | ExactRanges, shown: str, kind: Kind = "Parquet"
) -> Iterator[ParquetApart]:
    """Open a file of unknown origin in a child process.

    Of a file elsewhere the child asks for ranges of bytes, and knows neither address nor
    credentials.

    Raises
    ------
    SourceUnreadable
        If its footer is damaged, contradicts itself, tells of a decompression bomb, aborts the
        parser, or takes more memory or time than any honest file.

    Notes
    -----
    The child may hold ``MEMORY_BYTES`` and compute for ``CPU_SECONDS`` without a result.
    """
    child, told = _opened(place, shown, kind)
    try:
        yield ParquetApart(
            schema=pa.ipc.read_schema(pa.py_buffer(base64.b64decode(told["schema"]))),
            group_rows=tuple(told["rows"]),
            largest=told["largest"],
            checked=told["checked"],
            _child=child,
        )
    finally:
        if child.streaming or _idle:  # in the midst of an answer nothing else can be asked
            child.end()
        else:
            _idle.append(child)


def _opened(place: Path | ExactRanges, shown: str, kind: Kind) -> tuple[_Child, dict[str, Any]]:
    with suppress(IndexError, _Gone):
        child = _idle.pop()
        return child, child.footer(place, shown, kind)
    child = _Child()
    return child, child.footer(place, shown, kind)


class _Gone(Exception):
    """A child that had waited too long for a question has ended."""


class _Child:
    """The other end of :mod:`tidemill.ingestion.sources.parquet.parquet_child`."""

    def __init__(self) -> None:
        self.streaming, self._shown, self._kind = False, "", ""
        self._ranges = ServedRanges()
        with storage_errors(Path(tempfile.gettempdir())):
            self._said = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the child
        script = Path(__file__).with_name("parquet_child.py")
        limits = (str(MEMORY_BYTES), str(CPU_SECONDS), str(self._ranges.theirs))
        self._process = subprocess.Popen(  # noqa: S603 - a fixed program
            [sys.executable, "-P", str(script), *limits],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            pass_fds=[self._ranges.theirs],
        )
        self._ranges.started()
        assert self._process.stdin is not None and self._process.stdout is not None  # noqa: S101, PT018
        self._in, self._out = self._process.stdin, self._process.stdout
        atexit.register(self.end)

    def footer(self, place: Path | ExactRanges, shown: str, kind: Kind) -> dict[str, Any]:
        """What the footer says."""
        self._shown, self._kind = shown, kind
        self._ranges.serve(None if isinstance(place, Path) else place)
        try:
            where = str(place.resolve()) if isinstance(place, Path) else place.size
            return self._asked({"open": where, "kind": kind})
        except BaseException:
            self.end()
            raise

    def batches(
        self, groups: range, columns: list[int], most: int | None
    ) -> Iterator[pa.RecordBatch]:
        """What :meth:`ParquetApart.batches` yields."""
        self.streaming = True
        self._ask({"groups": list(groups), "columns": columns, "most": most})
        try:
            yield from pa.ipc.open_stream(pa.PythonFile(self._out, mode="r"))
        except (OSError, pa.ArrowException) as exc:
            raise self._death() from exc
        self._told()
        self.streaming = False

    def end(self) -> None:
        """End the child, whatever it is doing."""
        atexit.unregister(self.end)
        self._process.kill()
        self._process.wait()
        for pipe in (self._in, self._out, self._said, self._ranges):
            with suppress(OSError):
                pipe.close()

    def _asked(self, question: dict[str, Any]) -> dict[str, Any]:
        self._ask(question)
        return self._told()

    def _ask(self, question: dict[str, Any]) -> None:
        with suppress(BrokenPipeError):  # what answers tells why
            self._in.write(json.dumps(question).encode() + b"\n")
            self._in.flush()

    def _told(self) -> dict[str, Any]:
        line = self._out.readline()
        if not line.endswith(b"\n"):
            raise self._death()
        told: dict[str, Any] = json.loads(line)
        self._ranges.tell_failure()
        if "too_large" in told:
            raise SourceUnreadable(
                f"{self._shown} takes more than {MEMORY_BYTES >> 20:,} MB to read",
                remedy="if the file is what it should be, write it again in smaller "
                f"{_PIECES[self._kind]}, or with fewer columns",
                path=self._shown,
            )
        if "damaged" in told:
            found = told["damaged"]
            raise SourceUnreadable(
                f"{self._shown} cannot be read as {self._kind}: {found['message']}",
                remedy=found["remedy"] or _FETCH,
                path=self._shown,
                **found["fields"],
            )
        return told

    def _death(self) -> TidemillError | _Gone:
        """Why the child is there no more."""
        code = self._process.wait()
        self._ranges.tell_failure()
        if code == 0:
            return _Gone()
        if -code == signal.SIGXCPU:
            return SourceUnreadable(
                f"{self._shown} keeps the reader of {self._kind} busy for more than {CPU_SECONDS} "
                "seconds without a result",
                remedy=_FETCH,
                path=self._shown,
            )
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        if -code in _FAULTS and "decrypt" in last:
            return SourceUnreadable(
                f"{self._shown} has encrypted columns",
                remedy="decrypt them: no keys are known here",
                path=self._shown,
            )
        if -code in _FAULTS:
            name = signal.Signals(-code).name
            return SourceUnreadable(
                f"{self._shown} is damaged: the reader of {self._kind} aborts on it "
                f"({name}: {last})",
                remedy=_FETCH,
                path=self._shown,
            )
        return WorkerLost(
            f"the process that reads {self._shown} ended with {code}: {last}",
            remedy="run the same command again; if it happens again, there may be too little "
            "memory on this machine",
            path=self._shown,
        )
