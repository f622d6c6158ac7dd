"""What a feature becomes, before any selection: its description, and statistics of its columns.

All statistics come from merged profiles (and calendar counts), not from rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tidemill.contracts import EncodedColumn

__all__ = ["Draft", "distinct", "pooled", "settled"]

_DIGITS = 9


@dataclass(frozen=True)
class Draft:
    """A feature's description, whose slots count within ``columns``.

    Parameters
    ----------
    feature : dict
        As the reducer stores it, but for the slots.
    columns : tuple of EncodedColumn
    rare : int or None
        Categories in the rare bucket; None for features without categories.
    """

    feature: dict[str, Any]
    columns: tuple[EncodedColumn, ...] = field(default=())
    rare: int | None = None

    def placed(self, slots: dict[str, int]) -> dict[str, Any]:
        """The description with the positions that selection left; -1 for what was dropped."""
        final = [slots.get(column.name, -1) for column in self.columns]

        def place(local: int) -> int:
            return final[local] if local >= 0 else -1

        feature = {**self.feature, "slots": [place(slot) for slot in self.feature["slots"]]}
        for key in ("missing_slot", "rare_slot"):
            if key in feature:
                feature[key] = place(feature[key])
        return feature


def distinct(drafts: Sequence[Draft]) -> list[Draft]:
    """The drafts with no two encoded columns of one name.

    A column named like its feature keeps that name; a part, indicator or category whose name is
    taken (``when.hour`` of ``when`` beside a feature ``when.hour``) is numbered, in table order.

    >>> hour, own = EncodedColumn("when.hour", 0.0, 1.0), EncodedColumn("when.hour", 0.0, 1.0)
    >>> drafts = [Draft({"name": "when"}, (hour,)), Draft({"name": "when.hour"}, (own,))]
    >>> [draft.columns[0].name for draft in distinct(drafts)]
    ['when.hour (2)', 'when.hour']
    """
    taken = {draft.feature["name"] for draft in drafts}

    def named(column: EncodedColumn, feature: str) -> EncodedColumn:
        name, number = column.name, 1
        if name == feature:
            return column
        while name in taken:
            number += 1
            name = f"{column.name} ({number})"
        taken.add(name)
        return replace(column, name=name)

    return [
        replace(draft, columns=tuple(named(c, draft.feature["name"]) for c in draft.columns))
        for draft in drafts
    ]


def pooled(values: npt.NDArray[np.float64], counts: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Mean and variance (``ddof=0``) of ``values`` that occur ``counts`` times each.

    >>> import numpy as np
    >>> pooled(np.array([0.0, 1.0]), np.array([1, 3]))
    (0.75, 0.1875)
    """
    total = counts.sum()
    if not total:
        return 0.0, 0.0
    mean = float(counts @ values / total)
    return mean, float(counts @ (values - mean) ** 2 / total)


def settled(value: float, unit: float) -> float:
    """Round to about nine digits of ``unit``, so that the order of merging leaves no trace.

    Merges agree to some 1e-15; what the reducer stores must not show even that.

    >>> settled(0.1 + 0.2, 1.0)
    0.3
    """
    if not (unit > 0 and math.isfinite(unit) and math.isfinite(value)):
        return value
    digits = _DIGITS - math.floor(math.log10(unit))
    return round(value, digits) + 0.0
