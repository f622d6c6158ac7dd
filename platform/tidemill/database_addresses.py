"""Addresses of databases: which texts are some, and that no password stands in one."""

from __future__ import annotations

import re

from tidemill.errors import UsageError

__all__ = ["is_database", "password_problem", "refuse_password"]

_DATABASES = ("sqlite", "postgresql", "mysql", "mariadb", "oracle", "mssql")
_SCHEME = re.compile(r"^(?P<name>[A-Za-z][A-Za-z0-9]*)(\+\w+)?://")
# A password may hold any sign, in addresses of databases a slash too: it ends at the last @.
_PASSWORD = re.compile(r"^[A-Za-z][\w+.-]*://[^/:@\s]*:[^?\s]*@")
_BEFORE_PATH = re.compile(r"^[A-Za-z][\w+.-]*://[^/:@\s]*:[^/?\s]*@")
_OPTION = re.compile(r"[?&](\w*(?:password|passwd|pwd|secret|token)\w*)=", re.IGNORECASE)


def is_database(address: str) -> bool:
    """Whether SQLAlchemy reads such addresses.

    >>> is_database("postgresql+psycopg://tide@host/base#rides"), is_database("s3://bucket/x.csv")
    (True, False)
    """
    found = _SCHEME.match(address)
    return found is not None and found["name"].lower() in _DATABASES


def password_problem(address: str) -> str | None:
    """What to say of an address that holds a password; None of one that holds none.

    The text does not repeat the address: what is told, logged or recorded is read by others too.

    >>> password_problem("postgresql://tide@host/base#rides") is None
    True
    >>> password_problem("postgresql://tide:sesame@host/base").partition(":")[0]
    'an address with a password in it'
    """
    place, database = address.partition("#")[0], is_database(address)
    if (_PASSWORD if database else _BEFORE_PATH).match(place):
        return f"an address with a password in it: {_REMEDY}"
    option = _OPTION.search(place) if database else None
    return f"an address with a password in it ({option[1]}=): {_REMEDY}" if option else None


def refuse_password(address: str, named: str) -> None:
    """Refuse an address with a password in it, without a word of it; errors call it ``named``.

    Raises
    ------
    UsageError
    """
    problem = password_problem(address)
    if problem is not None:
        said, _, remedy = problem.partition(": ")
        raise UsageError(f"{named} is {said}", remedy=remedy)


_REMEDY = (
    "leave it out, and let the client find it in the environment: PostgreSQL's in the variable "
    "PGPASSWORD, in ~/.pgpass or in the file that PGPASSFILE names"
)
