"""Column types that are the same in SQLite and PostgreSQL: times and JSON documents."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import orjson
from sqlalchemy import BigInteger, Integer, Row, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

__all__ = [
    "AnyRow",
    "Document",
    "Moment",
    "SerialInteger",
    "Words",
    "cleaned",
    "from_micros",
    "micros",
]

AnyRow = Row[*tuple[Any, ...]]

_SORTED = orjson.OPT_SORT_KEYS | orjson.OPT_SERIALIZE_NUMPY
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)

# SQLite numbers rows by itself only where the type is exactly INTEGER.
SerialInteger = BigInteger().with_variant(Integer(), "sqlite")


def micros(moment: dt.datetime) -> int:
    """Microseconds since 1970, exactly.

    >>> micros(dt.datetime(1970, 1, 1, 0, 0, 1, tzinfo=dt.UTC))
    1000000
    """
    return (moment - _EPOCH) // _MICROSECOND


def from_micros(value: int) -> dt.datetime:
    """The UTC time of so many microseconds since 1970."""
    return _EPOCH + dt.timedelta(microseconds=value)


class Moment(TypeDecorator[dt.datetime]):
    """A UTC time, stored as microseconds since 1970 in a 64-bit integer."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, _: Dialect) -> int | None:
        """To the database; a time without a zone is refused by the subtraction."""
        return None if value is None else micros(value)

    def process_result_value(self, value: int | None, _: Dialect) -> dt.datetime | None:
        """From the database: the same time in UTC."""
        return None if value is None else from_micros(value)


def cleaned(words: str) -> str:
    r"""Text that both databases take: no NUL, no half of a surrogate pair.

    >>> cleaned("a\x00b")
    'a\ufffdb'
    """
    if "\x00" in words:
        words = words.replace("\x00", "\ufffd")
    return words.encode("utf-8", "replace").decode()


class Words(TypeDecorator[str]):
    """Text from outside, :func:`cleaned`."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, _: Dialect) -> str | None:
        """To the database, cleaned; from there it comes as it is."""
        return None if value is None else cleaned(value)


class Document(TypeDecorator[Any]):
    """A JSON document, stored as text with sorted keys."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, _: Dialect) -> str | None:
        """To the database: JSON with sorted keys; halves of surrogate pairs become marks."""
        if value is None:
            return None
        try:
            return orjson.dumps(value, option=_SORTED).decode()
        except TypeError:  # halves of surrogate pairs, which JSON from outside may hold
            text = json.dumps(value, sort_keys=True, ensure_ascii=False)
            return text.encode("utf-8", "replace").decode()

    def process_result_value(self, value: str | None, _: Dialect) -> Any:
        """From the database: the document anew, equal to the one that was stored."""
        return None if value is None else orjson.loads(value)
