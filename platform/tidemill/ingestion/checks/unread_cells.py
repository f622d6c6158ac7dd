"""Why a text was not read as its column's type: what a row's reason says."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.numbers import numbers_of
from tidemill.spelling import moments

__all__ = ["why_unread"]

_PLAIN_READERS = {"a number": numbers_of, "a time": moments}
_OTHERWISE = "is not written in the column's convention"
_NOT_WHOLE = "is not a whole number"
_TOO_LARGE = "is beyond what float32 holds"
_RESPELLED = "is a number that would not come out as it is written"


def why_unread(
    texts: Sequence[str], noun: str, *, physical: str, convention: str | None
) -> npt.NDArray[np.object_]:
    """What each text is or is not; (texts,) of str.

    Parameters
    ----------
    texts : sequence of str
        Cells that were refused.
    noun : str
        What the column holds: 'a number', 'a time', ...
    physical : str
        Its physical type.
    convention : str or None
        How its texts are written, if not plainly.

    >>> why_unread(["x", "1.10"], "a number", physical="float64", convention=None).tolist()
    ['is not a number', 'is a number that would not come out as it is written']
    """
    said = np.full(len(texts), f"is not {noun}", dtype=object)
    if noun not in _PLAIN_READERS:
        return said
    trimmed = pc.utf8_trim_whitespace(pa.array(texts, pa.string()))
    found = _PLAIN_READERS[noun](trimmed)
    plain = np.flatnonzero(pc.is_valid(found).to_numpy(zero_copy_only=False))
    if convention is not None:
        said[plain] = _OTHERWISE
    elif noun == "a number":
        values = found.to_numpy(zero_copy_only=False)[plain]
        said[plain] = _RESPELLED
        if physical == "int64":
            said[plain[values != np.floor(values)]] = _NOT_WHOLE
        elif physical == "float32":
            said[plain[np.abs(values) > np.finfo(np.float32).max]] = _TOO_LARGE
    return said
