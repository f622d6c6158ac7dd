"""What names a table or query of a database, and a range of its key."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Self

from tidemill.database_addresses import refuse_password

__all__ = ["KeyRange", "SqlAddress"]

_RANGE = re.compile(r"^(?P<before>.*)#\[(?P<keys>.*)(?P<end>[])])$", re.DOTALL)
_QUERY = re.compile(
    r"(?:\s|\(|--[^\n]*|/\*.*?\*/)*(?:select|with|values|table)\b", re.IGNORECASE | re.DOTALL
)

Key = int | str


@dataclass(frozen=True, slots=True)
class KeyRange:
    """Keys from ``first`` on, up to ``last``, which belongs to it where it is ``closed``.

    >>> str(KeyRange(1, 5)), str(KeyRange("a", "k", closed=True))
    ('[1, 5)', '["a", "k"]')
    """

    first: Key
    last: Key
    closed: bool = False

    def __str__(self) -> str:
        # The last #[ of an address begins the range, whatever signs the keys hold.
        keys = json.dumps([self.first, self.last], ensure_ascii=False).replace("#", r"\u0023")
        return keys if self.closed else f"{keys[:-1]})"


@dataclass(frozen=True, slots=True)
class SqlAddress:
    """``DATABASE#TABLE`` or ``DATABASE#SELECT ...``, of which ``#[FIRST, LAST)`` names a range.

    Parameters
    ----------
    database : str
        SQLAlchemy's address, without a password.
    relation : str
        A table or a query; empty: none is named.
    keys : KeyRange or None
        None: all rows.
    """

    database: str
    relation: str
    keys: KeyRange | None = None

    @classmethod
    def of(cls, text: str, named: str = "dataset.source") -> Self:
        """Read what :meth:`__str__` writes; errors call it ``named``.

        Raises
        ------
        UsageError
            If a password stands in it: it is not repeated.

        >>> SqlAddress.of('sqlite:///base.db#rides#["a", "k")').keys.last
        'k'
        """
        refuse_password(text, named)
        found = _RANGE.match(text)
        keys = None if found is None else _key_range(found["keys"], closed=found["end"] == "]")
        if found is not None and keys is not None:
            text = found["before"]
        database, _, relation = text.partition("#")
        return cls(database, relation.strip().rstrip("; \n"), keys)

    def __str__(self) -> str:
        whole = f"{self.database}#{self.relation}" if self.relation else self.database
        return whole if self.keys is None else f"{whole}#{self.keys}"

    @property
    def reads_as_query(self) -> bool:
        """Whether it names a query, unless a table is called so."""
        return _QUERY.match(self.relation) is not None


def _key_range(keys: str, *, closed: bool) -> KeyRange | None:
    """The range of a text that has two keys; any other is part of a query, or a table's name."""
    try:
        first, last = json.loads(f"[{keys}]")
    except ValueError:
        return None
    of_keys = type(first) in (int, str) and type(last) in (int, str)
    return KeyRange(first, last, closed) if of_keys else None
