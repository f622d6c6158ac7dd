"""The body of a request: read with a limit while it streams in, unpacked with a limit, parsed."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from fastapi import Request

from tidemill_monitor.intake.row_faults import Fault
from tidemill_monitor.intake.twice import Twice, keys_in_rows, keys_in_text, rows_twice
from tidemill_monitor.problems import Problem

__all__ = [
    "ARROW",
    "JSON",
    "NDJSON",
    "Body",
    "HeldBodies",
    "parse_json",
    "parse_lines",
    "read_body",
]

JSON, NDJSON = "application/json", "application/x-ndjson"
ARROW = "application/vnd.apache.arrow.stream"
_KINDS = {
    JSON: JSON,
    NDJSON: NDJSON,
    "application/ndjson": NDJSON,
    "application/jsonl": NDJSON,
    ARROW: ARROW,
}
_READ_SECONDS = 60.0
_SEARCHED_BYTES = 4 << 20
_COUNTED_BYTES = 1 << 20
_VALUES_A_ROW = 2_000
_ALL_ZERO = bytes.maketrans(b"123456789", b"0" * 9)
_MANY = b"0" * 19
_BEYOND_64_BITS = (b"0" + _MANY, b"-" + _MANY)


@dataclass(frozen=True, slots=True)
class Body:
    """A request's body.

    Parameters
    ----------
    content : bytes-like
        As it came over the wire, or decompressed by :meth:`opened`.
    kind : str
        ``JSON``, ``NDJSON`` or ``ARROW``.
    packed : bool
        Whether ``content`` is gzip.
    """

    content: bytes | bytearray
    kind: str
    packed: bool = False

    def opened(self, max_bytes: int) -> Body:
        """The body decompressed; 413 beyond ``max_bytes``, however small it is packed."""
        if not self.packed:
            return self
        unpack = zlib.decompressobj(zlib.MAX_WBITS | 16)
        try:
            content = unpack.decompress(self.content, max_bytes + 1)
        except zlib.error as exc:
            raise _bad_encoding() from exc
        if len(content) > max_bytes:
            raise _too_large(max_bytes)
        if not unpack.eof or unpack.unused_data:
            raise _bad_encoding()
        return Body(content, self.kind)


class HeldBodies:
    """Bytes of bodies that may be held at once; used from the event loop only."""

    def __init__(self, max_bytes: int) -> None:
        self._max = max_bytes
        self.held = 0

    def take(self, size: int) -> None:
        """Admit ``size`` more bytes, or answer 503."""
        if self.held + size > self._max:
            raise Problem.later(
                503, "Overloaded", "too many requests are being read; try again", 1.0
            )
        self.held += size

    def give(self, size: int) -> None:
        """Let go of ``size`` bytes."""
        self.held -= size


@asynccontextmanager
async def read_body(
    request: Request, held: HeldBodies, *, max_bytes: int, kinds: tuple[str, ...]
) -> AsyncIterator[Body]:
    """Read the body of a request; its bytes count against ``held`` until the block ends.

    Raises
    ------
    Problem
        415 for another content type or encoding, 413 beyond ``max_bytes`` (before reading, where
        Content-Length says so), 503 when too much is being read, 408 when it comes too slowly.
    """
    kind = _content_kind(request, kinds)
    packed = _packed(request)
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length[:20]) > max_bytes:
        raise _too_large(max_bytes)
    content, taken = bytearray(), 0
    try:
        async with asyncio.timeout(_READ_SECONDS):
            async for chunk in request.stream():
                held.take(len(chunk))
                taken += len(chunk)
                if taken > max_bytes:
                    raise _too_large(max_bytes)
                content += chunk
        yield Body(content, kind, packed)
    except TimeoutError as exc:
        raise Problem(
            408, "TooSlow", "Request timeout", f"send the body within {_READ_SECONDS:g} seconds"
        ) from exc
    finally:
        held.give(taken)


def _content_kind(request: Request, kinds: tuple[str, ...]) -> str:
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    kind = _KINDS.get(given)
    if kind not in kinds:
        raise Problem(
            415,
            "UnsupportedMediaType",
            "Unsupported media type",
            f"send Content-Type {' or '.join(kinds)}",
            accepted=list(kinds),
        )
    return kind


def _packed(request: Request) -> bool:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        raise Problem(
            415,
            "UnsupportedEncoding",
            "Unsupported content encoding",
            "send the body as it is, or with Content-Encoding gzip",
        )
    return encoding == "gzip"


def parse_json(body: Body, member: str, *, max_rows: int) -> tuple[list[Any], list[Fault]]:
    """The rows of ``{"<member>": [...]}``, as whatever JSON makes of each.

    A document with NaN, Infinity, numbers beyond range or lone surrogates is no JSON, but is
    read all the same (up to 4 MiB), so that the reader of cells can say which row and field.
    """
    _bound_values(body.content, max_rows)
    document = _loads(body.content)
    if not isinstance(document, dict):
        raise _not_rows(member)
    rows = document.get(member)
    if not isinstance(rows, list):
        raise _not_rows(member)
    if set(document) != {member}:
        raise Problem(
            400,
            "MembersUnknown",
            "Unknown members",
            f"the document must have the member {member!r} and no other",
            field=member,
        )
    return _looked_through(_bounded(rows, max_rows), body.content, member), []


def parse_lines(body: Body, *, max_rows: int) -> tuple[list[Any], list[Fault]]:
    """The rows of newline-delimited JSON; a line that is no JSON is a fault of its row.

    Line by line: joined, two halves of a row would be one, and a line of two rows two.
    """
    lines = [line for line in bytes(body.content).split(b"\n") if line.strip()]
    _bounded(lines, max_rows)
    _bound_values(body.content, max_rows)
    found: list[Any] = []
    bad: list[int] = []
    searched = _SEARCHED_BYTES
    for number, line in enumerate(lines):
        try:
            found.append(_strict(line))
        except orjson.JSONDecodeError:
            searched -= len(line)
            try:
                found.append(_lenient(line) if searched > 0 else None)
            except (ValueError, RecursionError):
                found.append(None)
            if found[-1] is None:
                bad.append(number)
    return _lines_looked_through(found, lines, bad)


def _looked_through(rows: list[Any], content: bytes | bytearray, member: str) -> list[Any]:
    """The rows, with a ``Twice`` in the place of one whose text has a key twice."""
    if keys_in_text(content) == keys_in_rows(rows) + 1:
        return rows
    try:
        document, _ = rows_twice(_text(content))
    except (ValueError, RecursionError) as exc:
        raise Problem(400, "JsonInvalid", "Not valid JSON", "it is nested too deeply") from exc
    if len(document) > 1:
        raise Problem(
            400,
            "MemberTwice",
            "A member twice",
            f"the document has the member {member!r} twice",
            field=member,
        )
    return _replaced(rows, document[0][1])


def _lines_looked_through(
    rows: list[Any], lines: list[bytes], bad: list[int]
) -> tuple[list[Any], list[Fault]]:
    """The same of lines; ``bad`` are those that are no JSON."""
    if sum(map(keys_in_text, lines)) != keys_in_rows(rows):
        found: list[Any] = []
        for number, (row, line) in enumerate(zip(rows, lines, strict=True)):
            doubtful = row is not None and keys_in_text(line) != keys_in_rows([row])
            try:
                found.append(rows_twice(_text(line))[1] if doubtful else None)
            except (ValueError, RecursionError):
                found.append(None)
                bad = [*bad, number]
        rows = _replaced(rows, found)
    fault = Fault("", "json", "the line is not valid JSON", np.array(sorted(bad), np.int64))
    return rows, [fault] if bad else []


def _replaced(rows: list[Any], found: list[Any]) -> list[Any]:
    return [twice if type(twice) is Twice else row for row, twice in zip(rows, found, strict=True)]


def _loads(content: bytes | bytearray) -> Any:
    try:
        return _strict(content)
    except orjson.JSONDecodeError as exc:
        if len(content) <= _SEARCHED_BYTES:
            try:
                return _lenient(content)
            except (ValueError, RecursionError):
                pass  # it is not JSON in any reading
        raise Problem(
            400,
            "JsonInvalid",
            "Not valid JSON",
            f"the body is not valid JSON at line {exc.lineno}, column {exc.colno}",
            line=exc.lineno,
            column=exc.colno,
        ) from exc


def _strict(content: bytes | bytearray) -> Any:
    """What JSON says; whole numbers beyond 64 bits, of which orjson makes floats, stay whole."""
    found = orjson.loads(content)
    zeros = content.translate(_ALL_ZERO)
    if _MANY not in zeros or not any(digits in zeros for digits in _BEYOND_64_BITS):
        return found
    try:
        return _lenient(content)
    except (ValueError, RecursionError):  # more digits than Python makes a number of
        return found


def _lenient(content: bytes | bytearray) -> Any:
    # Encoded lone surrogates too: the reader of texts refuses them by row and field.
    return json.loads(_text(content))


def _text(content: bytes | bytearray) -> str:
    return content.decode("utf-8", "surrogatepass")


def _bound_values(content: bytes | bytearray, max_rows: int) -> None:
    """Refuse what would become far more objects than rows have fields, before parsing it."""
    if len(content) < _COUNTED_BYTES:
        return
    objects = content.count(b"{") + content.count(b"[")
    if objects > 8 * max_rows + 64 or content.count(b",") > _VALUES_A_ROW * max_rows:
        raise _too_many_rows(max_rows)


def _bounded(rows: list[Any], max_rows: int) -> list[Any]:
    if len(rows) > max_rows:
        raise _too_many_rows(max_rows)
    return rows


def _too_many_rows(max_rows: int) -> Problem:
    return Problem(
        413,
        "TooManyRows",
        "Too many rows",
        f"a request may have {max_rows} rows; send several",
        max_rows=max_rows,
    )


def _too_large(max_bytes: int) -> Problem:
    return Problem(
        413,
        "BodyTooLarge",
        "Too large",
        f"a request may have {max_bytes} bytes, also once decompressed; send several",
        max_bytes=max_bytes,
    )


def _bad_encoding() -> Problem:
    return Problem(
        400, "EncodingInvalid", "Not valid gzip", "the body is not one whole gzip stream"
    )


def _not_rows(member: str) -> Problem:
    return Problem(
        400,
        "RowsMissing",
        "No rows",
        f"the document must be an object whose member {member!r} is a list of objects",
        field=member,
    )
