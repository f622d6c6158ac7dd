"""JSON lines to columns of texts."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from pathlib import PurePath
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill.contracts import RawBatch, Reject, Split
from tidemill.conventions import NumberConvention
from tidemill.errors import SchemaMismatch, SourceUnreadable
from tidemill.ingestion.sources.batches import unlisted
from tidemill.ingestion.sources.column_names import refuse_more_columns, second_names, unique_names
from tidemill.ingestion.sources.delimited.csv_dialect import CsvDialect
from tidemill.ingestion.sources.delimited.records import RecordBlock, cut_records
from tidemill.ingestion.sources.streams import line_blocks
from tidemill.spelling import category
from tidemill.storage import SourceFiles

__all__ = ["JsonSample", "read_json_rows", "read_json_sample"]

_MAX_RAW = 500
_SURELY_HELD = 16
"""Characters of a number with a sign and a point: at most 15 digits, which float64 holds."""
_LINES = CsvDialect(",", "", "utf-8", header=False)  # nothing quotes: each line is a record
_LINE_BY_LINE = (
    'python -c "import json, sys; [print(json.dumps(row)) for row in json.load(sys.stdin)]"'
)
_ARRAY = re.compile(rb"\s*\[\s*(\{|$)")
_NO_TEXT = "holds half a surrogate pair, which is no text"


class _Number(str):
    """A number as it is written; JSON's numbers beyond float64 keep their digits."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class JsonSample:
    """The first objects of a split.

    Parameters
    ----------
    columns : dict of member to pyarrow.Array of string
        In the order in which members first appear.
    quoted : dict of member to (rows,) bool
        Which of them are strings in the file.
    written : dict of member to str
        The true name of a member that is called otherwise: an object has it twice, blanks stand
        around it, or it is empty.
    respelled : dict of member to (str, str)
        The first number that has another text than it is written, and that text.
    """

    columns: dict[str, pa.Array]
    quoted: dict[str, npt.NDArray[np.bool_]]
    written: dict[str, str]
    respelled: dict[str, tuple[str, str]]


def read_json_rows(
    split: Split,
    files: SourceFiles,
    *,
    names: Iterable[str],
    batch_rows: int,
    whole: bool = True,
    conventions: Mapping[str, NumberConvention] | None = None,
    known: Set[str] | None = None,
) -> Iterator[RawBatch]:
    """Yield the split's objects as texts, ``batch_rows`` lines at a time; see ``read_csv_rows``.

    A line that is no JSON object is rejected; an absent member and NaN are null; nested values
    are texts of JSON. A number has the shortest spelling that is it, whatever the file's, and is
    written as the column's texts are where these have a convention: 1.234 is no 1234. Members are
    called as columns are in every format (``unique_names``), nested ones as they are. Cells of
    members that are not ``known`` are counted as left out.
    """
    blocks = cut_records(
        line_blocks(split, files, encoding="utf-8", whole=whole)[0],
        _LINES,
        batch_rows=batch_rows,
        path=split.address,
    )
    first_row = 0
    for block in blocks:
        objects, bad = _objects(block)
        rejects = tuple(
            Reject(first_row + i, block.line(i), reason, _shown(block.record(i)))
            for i, reason in sorted(bad.items())
        )
        keep = np.ones(len(block.starts), bool)
        keep[list(bad)] = False
        columns = {
            name: pa.array(
                [_text(v) for v in _as_texts_are(name, objects, conventions or {})], pa.string()
            )
            for name in names
        }
        left = {} if known is None else _unlisted(objects, known)
        yield RawBatch(columns, first_row + np.flatnonzero(keep), {}, rejects, left)
        first_row += len(block.starts)


def _unlisted(objects: list[dict[str, Any]], known: Set[str]) -> dict[str, int]:
    more = Counter(n for value in objects if not value.keys() <= known for n in value)
    return {unlisted(name): cells for name, cells in more.items() if name not in known}


def _as_texts_are(
    name: str, objects: list[dict[str, Any]], conventions: Mapping[str, NumberConvention]
) -> Iterator[Any]:
    convention = conventions.get(name)
    for value in objects:
        cell = value.get(name)
        if convention is not None and isinstance(cell, _Number):
            cell = convention.write(_shortest(cell))
        yield cell


def read_json_sample(split: Split, files: SourceFiles, *, rows: int) -> JsonSample:
    """The first ``rows`` objects, whatever their members."""
    blocks = cut_records(
        line_blocks(split, files, encoding="utf-8", whole=False)[0],
        _LINES,
        batch_rows=rows,
        path=split.address,
    )
    block = next(blocks, None)
    objects, bad = ([], {}) if block is None else _objects(block)
    if block is not None and bad and (not objects or _begins_an_array(block)):
        raise _no_object(split, block, bad)
    names = dict.fromkeys(name for value in objects for name in value)
    refuse_more_columns(len(names), split.address)
    _refuse_met(objects, split)
    cells = {name: [value.get(name) for value in objects] for name in names}
    return JsonSample(
        {name: pa.array(map(_text, values), pa.string()) for name, values in cells.items()},
        {name: np.array([type(v) is str for v in values]) for name, values in cells.items()},
        {n: n.written for value in objects for n in value if isinstance(n, _Renamed)},
        {name: found for name, values in cells.items() if (found := _first_respelled(values))},
    )


def _begins_an_array(block: RecordBlock) -> bool:
    return _ARRAY.match(block.record(0)) is not None


def _no_object(split: Split, block: RecordBlock, bad: dict[int, str]) -> SourceUnreadable:
    """Why none of the lines looked at is a row, with the first of them."""
    first, array = min(bad), _begins_an_array(block)
    what = f"none of the {len(bad)} lines looked at is a JSON object"
    remedy = "write one JSON object on each line, or set dataset.format to what the file is"
    if array:
        what = "one array of JSON, where each line should be an object"
        made = shlex.quote(PurePath(split.address).stem + ".lines.jsonl")
        remedy = (
            "write one JSON object on each line, as jq -c '.[]' does, or this: "
            f"{_LINE_BY_LINE} < {shlex.quote(split.address)} > {made}"
        )
    return SourceUnreadable(
        f"{split.address}: {what}: line {block.line(first)} is {bad[first]}: "
        f"{_shown(block.record(first))[:80]!r}",
        remedy=remedy,
        path=split.address,
        line=block.line(first),
    )


def _first_respelled(values: list[Any]) -> tuple[str, str] | None:
    numbers = (value for value in values if isinstance(value, _Number))
    return next(((str(n), text) for n in numbers if (text := _shortest(n)) != n), None)


def _refuse_met(objects: list[dict[str, Any]], split: Split) -> None:
    """Refuse a name of our making that another object has of its own."""
    kinds: dict[str, set[bool]] = {}
    for value in objects:
        for name in value:
            made = isinstance(name, _Renamed) and name.written.strip() != name
            kinds.setdefault(name, set()).add(made)
    for name, found in kinds.items():
        if len(found) > 1:
            raise SchemaMismatch(
                f"{split.address}: an object has a member twice or without a name, and {name!r}, "
                "which that would be called, is a member of another object",
                remedy="rename one of the members in the data",
                path=split.address,
                column=name,
            )


class _Renamed(str):
    """The name of a member that is written otherwise."""

    __slots__ = ("written",)
    written: str

    @classmethod
    def of(cls, name: str, written: str) -> str:
        """The name, which knows how it is written where that is not the same."""
        if name == written:
            return written
        renamed = cls(name)
        renamed.written = getattr(written, "written", written)
        return renamed


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    given = [name for name, _ in pairs]
    _refuse_third(given)
    named = zip(second_names(given), pairs, strict=True)
    return {_Renamed.of(name, written): cell for name, (written, cell) in named}


def _named(value: dict[str, Any]) -> dict[str, Any]:
    """The object with its members called as columns are."""
    if _are_plain(tuple(value)):
        return value
    _refuse_third([name.strip() for name in value])
    named = zip(unique_names(list(value)), value.items(), strict=True)
    return {_Renamed.of(name, written): cell for name, (written, cell) in named}


@lru_cache(maxsize=1024)
def _are_plain(names: tuple[str, ...]) -> bool:
    """Whether all names are columns' names; most objects of a file have the same."""
    return all(name and name == name.strip() for name in names)


def _refuse_third(given: list[str]) -> None:
    """Refuse a member that is called as the second of another would be."""
    seconds = [f"{name}_2" for name, count in Counter(given).items() if count > 1]
    if not set(seconds).isdisjoint(given):
        raise ValueError(f"a member comes twice, and {seconds[0]!r} is another")


def _objects(block: RecordBlock) -> tuple[list[dict[str, Any]], dict[int, str]]:
    decoder = json.JSONDecoder(parse_float=_Number, parse_int=_Number, object_pairs_hook=_object)
    objects: list[dict[str, Any]] = []
    bad: dict[int, str] = {}
    for index in range(len(block.starts)):
        record = block.record(index)
        try:
            value = decoder.decode(record.decode())
            value = _named(value) if isinstance(value, dict) else value
        except UnicodeDecodeError:
            bad[index] = "not valid UTF-8 text"
        except (ValueError, RecursionError) as exc:
            bad[index] = f"not valid JSON: {exc}"
        else:
            if not isinstance(value, dict):
                bad[index] = "not a JSON object"
            elif b"\\u" in record and not _is_text(value):
                bad[index] = _NO_TEXT
            else:
                objects.append(value)
    return objects, bad


def _is_text(value: dict[str, Any]) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _text(value: Any) -> str | None:
    if value is None or type(value) is str:
        return value
    if isinstance(value, float):  # NaN and Infinity, which Python's reader accepts
        return None if math.isnan(value) else str(value)
    return _shortest(value) if isinstance(value, _Number) else _json(value)


def _shortest(number: str) -> str:
    """As a category of it is called: 7.5 for 7.50, 100000 for 1e5; as it came beyond float64."""
    plain = "e" not in number and "E" not in number
    if plain and "." not in number:
        return "0" if number == "-0" else number
    if plain and number[-1] != "0" and len(number) <= _SURELY_HELD and "0.0000" not in number:
        return number
    held = float(number)
    exact = math.isfinite(held) and Decimal(repr(held)) == Decimal(number)
    return category(held) if exact else str(number)


def _json(value: Any) -> str:
    """JSON as it came, blanks aside: numbers keep their digits, and texts their quotes."""
    if isinstance(value, _Number):
        return value
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)}: {_json(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_json, value)) + "]"
    return json.dumps(value)


def _shown(record: bytes) -> str:
    return record[: 4 * _MAX_RAW].decode(errors="replace")[:_MAX_RAW]
