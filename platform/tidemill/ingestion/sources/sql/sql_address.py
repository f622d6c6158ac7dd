"""What names a table or query of a database, and a range of its key."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Self

from tidemill.database_addresses import refuse_password

__all__ = ["KeyRange", "SqlAddress"]

_RANGE = re.compile(r"^(?P<before>.*)#\[(?P<keys>.*)(?P<end>[])])$", re.DOTALL)
_QUERY = re.compile(r"^\s*(select|with|values)\b", re.IGNORECASE)

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
        keys = json.dumps([self.first, self.last], ensure_ascii=False)
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
        found, keys = _RANGE.match(text), None
        if found is not None:
            text = found["before"]
            first, last = json.loads(f"[{found['keys']}]")
            keys = KeyRange(first, last, closed=found["end"] == "]")
        database, _, relation = text.partition("#")
        return cls(database, relation.strip().rstrip("; \n"), keys)

    def __str__(self) -> str:
        whole = f"{self.database}#{self.relation}" if self.relation else self.database
        return whole if self.keys is None else f"{whole}#{self.keys}"

    @property
    def is_query(self) -> bool:
        """Whether it names a query, and no table."""
        return _QUERY.match(self.relation) is not None
