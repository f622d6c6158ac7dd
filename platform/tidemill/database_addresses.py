"""Addresses of databases: which texts are some, and that no password stands in any address."""

from __future__ import annotations

import re
from urllib.parse import unquote

from tidemill.errors import UsageError

__all__ = ["is_database", "password_problem", "refuse_password"]

_DATABASES = ("sqlite", "postgresql", "mysql", "mariadb", "oracle", "mssql")
_SCHEME = re.compile(r"^(?P<name>[A-Za-z][A-Za-z0-9]*)(\+\w+)?://")
_ANY_SCHEME = re.compile(r"\s*[A-Za-z][\w+.-]*://")
_NAME = re.compile(r"\[[^]]*\]|[^:/?#@]*")
_PORT = re.compile(r":\d+(?=[,/?#]|$)")
_WITHOUT_USERS = re.compile(r"\s*(https?|s3|gs)://", re.IGNORECASE)
_USER = re.compile(r"[^/?#]*@")
# Words of signed addresses; of a database's options some name files of keys.
_KEY = re.compile(
    r"(?:^|[&;?])((?:[\w.]*[-_.])?(?:key|sig|auth|sas|jwt)|\w*apikey|\w*accesskey\w*"
    r"|[\w-]*credential\w*)\s*=",
    re.IGNORECASE,
)
_OPTION = re.compile(r"(\w*(?:passw|pwd|secret|token|signature)\w*)\s*=", re.IGNORECASE)


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
    scheme = _ANY_SCHEME.match(address)
    if scheme is None:
        return None
    behind, database = address[scheme.end() :], is_database(address.strip())
    remedy = next((r for scheme, r in _REMEDIES.items() if re.match(scheme, address)), _REMEDY)
    if _holds_password(behind) or (_WITHOUT_USERS.match(address) and _USER.match(behind)):
        return f"an address with a password in it: {remedy}"
    options = unquote(behind.partition("#")[0].partition("?")[2])
    option = _OPTION.search(options) or (None if database else _KEY.search(options))
    return f"an address with a password in it ({option[1]}=): {remedy}" if option else None


def _holds_password(behind: str) -> bool:
    """Whether a password stands behind ``SCHEME://``: it may hold any sign, slashes too.

    What follows a colon is a port, or a password; of digits that may be either, it is one where an
    ``@`` comes before the relation: users stand before all hosts.
    """
    ported = False
    while True:
        rest = _NAME.sub("", behind, count=1)
        if rest[:1] == "@":
            if ported:
                return True
            behind = rest[1:]
        elif rest[:1] != ":":
            return ported and _user_ends(rest)
        elif (port := _PORT.match(rest)) is None:
            return True
        elif rest[port.end() :].startswith(","):  # of several hosts
            behind, ported = rest[port.end() + 1 :], True
        else:
            return _user_ends(rest)


def _user_ends(rest: str) -> bool:
    """Whether an ``@`` comes before the relation."""
    place, _, relation = rest.partition("#")
    return "@" in place or ("/" not in place and "@" in relation)


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


_OF_FILES = (
    "leave it out, and let the client find it in the environment: of s3:// in AWS_PROFILE, or "
    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; of gs:// in GOOGLE_APPLICATION_CREDENTIALS; of "
    "abfs:// in AZURE_STORAGE_ACCOUNT_KEY; of https:// in ~/.netrc; or fetch the file and name that"
)
_OF_MYSQL = (
    "leave it out: it is found in the environment, in the variable MYSQL_PWD, or in ~/.my.cnf "
    "(password=... below [client])"
)
_REMEDIES = {
    r"\s*(https?|s3|gs|abfss?)://": _OF_FILES,
    r"\s*(mysql|mariadb)(\+\w+)?://": _OF_MYSQL,
}
_REMEDY = (
    "leave it out, and let the client find it in the environment: PostgreSQL's in the variable "
    "PGPASSWORD, in ~/.pgpass or in the file that PGPASSFILE names"
)
