"""What a bucket's server or the network refuses, in the words of the house."""

from __future__ import annotations

import re

from obstore.exceptions import BaseError

from tidemill.errors import StorageFailed

__all__ = ["refused_by", "server_word"]

_CODE = re.compile(r"<Code>(\w+)</Code>")
_STATUS = re.compile(r" - Server returned non-2xx status code: (\d{3}[^:]*)")
_ASKED = re.compile(r"Error performing [A-Z]+ (https?://)(?:[^/\s]*@)?([^/\s]+)")


def server_word(exc: BaseException) -> str:
    """The server's own word for an error; empty where it only hung up."""
    found = _CODE.search(str(exc))
    return found[1] if found else ""


def refused_by(place: str, exc: BaseException) -> StorageFailed:
    """The error of a request for ``place``, which is named once."""
    return StorageFailed(
        f"{place}: {_why(exc)}",
        remedy="look whether the bucket is there, whether the credentials in the environment "
        "hold and may write to it, and whether its endpoint answers; then run the same again",
        path=place,
    )


def _why(exc: BaseException) -> str:
    said = str(exc)
    if code := server_word(exc):
        return f"its server answers {code}"
    if statuses := _STATUS.findall(said):  # to a question for a head there is no more than that
        return f"its server answers {statuses[-1].strip()}"
    line = (said.splitlines() or [type(exc).__name__])[0]
    if not isinstance(exc, BaseError):
        return line[:300]
    # What stands before repeats the object's name, twice.
    asked = _ASKED.search(line)
    return line.rpartition(" - ")[2][:300] + (f" ({asked[1]}{asked[2]})" if asked else "")
