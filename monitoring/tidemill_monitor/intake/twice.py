"""A key that an object has twice: JSON's parsers keep the last without a word; here it is refused.

Looking at every pair would cost more than parsing. So the keys that a parser found are counted
against those that the text can have: only a text that may hold one twice is looked through.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Twice", "keys_in_rows", "keys_in_text", "rows_twice"]

_KEY = re.compile(rb'"\s*:')
_NAMED = 10

Pairs = list[tuple[str, Any]]


@dataclass(frozen=True, slots=True)
class Twice:
    """Stands for an object that has a key twice, itself or in what it holds.

    Parameters
    ----------
    names : tuple of str
        The first such keys.
    """

    names: tuple[str, ...]


def keys_in_rows(rows: Sequence[Any]) -> int:
    """Keys of rows and of their ``features``, as a parser found them."""
    found = 0
    for row in rows:
        if type(row) is dict:
            found += len(row)
            features = row.get("features")
            if type(features) is dict:
                found += len(features)
    return found


def keys_in_text(content: bytes | bytearray) -> int:
    """At most so many keys are in a JSON text: a quote and a colon, as in a text like ``":)"``.

    >>> keys_in_text(b'{"a" : 1, "b": ":)"}')
    3
    """
    return len(_KEY.findall(content))


def rows_twice(text: str) -> tuple[Pairs, Twice | None]:
    """The outermost object's pairs, and whether it or what it holds has a key twice.

    Objects are a :class:`Twice` or None in what is returned; lists stay lists.

    Raises
    ------
    ValueError, RecursionError
        If it is no JSON.
    """
    outer: Pairs = []

    def look(pairs: Pairs) -> Twice | None:
        nonlocal outer
        outer = pairs
        seen: set[str] = set()
        names: list[str] = []
        for name, value in pairs:
            names += [name] if name in seen else []
            names += _inside(value)
            seen.add(name)
        return Twice(tuple(dict.fromkeys(names))[:_NAMED]) if names else None

    # Numbers do not matter here, and one of very many digits would be refused.
    found = json.loads(text, object_pairs_hook=look, parse_int=len, parse_float=len)
    return outer, found if isinstance(found, Twice) else None


def _inside(value: Any) -> tuple[str, ...]:
    if type(value) is Twice:
        return value.names
    if type(value) is list:
        return tuple(name for item in value for name in _inside(item))[:_NAMED]
    return ()
