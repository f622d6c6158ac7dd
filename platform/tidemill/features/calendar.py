"""Calendar parts of times: hour, day of the week, day of the month, month."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["PARTS", "TIME_PARTS", "calendar_codes", "calendar_counts"]

PARTS: dict[str, tuple[int, int]] = {
    "hour": (0, 24),
    "day_of_week": (0, 7),
    "day": (1, 31),
    "month": (1, 12),
}
"""Each part's first value and the number of its values; Monday is 0."""

TIME_PARTS = ("hour", "day_of_week")
"""What the dataset's own time column gives: its day and month would only tell how late a row is."""

_HOUR_US = 3_600_000_000
_DAY_US = 24 * _HOUR_US


def calendar_codes(
    times: npt.NDArray[np.datetime64], parts: tuple[str, ...]
) -> npt.NDArray[np.int64]:
    """Calendar parts of ``times`` as integers.

    Parameters
    ----------
    times : (rows,) datetime64[us]
        UTC-naive. ``NaT`` gives meaningless integers; the caller masks them.
    parts : tuple of str
        Of :data:`PARTS`.

    Returns
    -------
    (len(parts), rows) int64

    >>> import numpy as np
    >>> calendar_codes(np.array(["2024-02-29T23:10"], "M8[us]"), ("hour", "day_of_week", "day"))
    array([[23],
           [ 3],
           [29]])
    """
    microseconds = times.view(np.int64)
    day = microseconds // _DAY_US
    result = np.empty((len(parts), len(times)), np.int64)
    for row, part in enumerate(parts):
        if part == "hour":
            result[row] = (microseconds - day * _DAY_US) // _HOUR_US
        elif part == "day_of_week":
            result[row] = (day + 3) % 7  # 1970-01-01 was a Thursday
        else:
            month = day.view("M8[D]").astype("M8[M]")
            result[row] = (
                month.view(np.int64) % 12 + 1
                if part == "month"
                else day - month.astype("M8[D]").view(np.int64) + 1
            )
    return result


def calendar_counts(
    times: npt.NDArray[np.datetime64], parts: tuple[str, ...]
) -> dict[str, npt.NDArray[np.int64]]:
    """How often each value of each part occurs; counts of disjoint rows add up exactly.

    Returns
    -------
    dict of part to (number of its values,) int64
        ``NaT`` is not counted.
    """
    present = times[~np.isnat(times)]
    codes = calendar_codes(present, parts)
    return {
        part: np.bincount(codes[row] - PARTS[part][0], minlength=PARTS[part][1])
        for row, part in enumerate(parts)
    }
