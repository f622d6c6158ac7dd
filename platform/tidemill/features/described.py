"""A reducer's description, checked: every slot, number and array fits the others."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from tidemill.features.reducer import Reducer

__all__ = ["check_reducer"]


def check_reducer(reducer: Reducer) -> int:
    """The number of columns that a stored reducer makes, if its parts fit together.

    Raises
    ------
    ValueError
        If a slot lies out of bounds, a number is not finite, or lists and arrays differ in
        length.
    """
    width = len(_texts(reducer.encoded))
    if not isinstance(reducer.features, list):
        raise ValueError("its reducer has no list of features")
    for feature in reducer.features:
        _check_feature(feature, width)
    if reducer.components is None or reducer.center is None:
        return width
    for name, array, shape in (
        ("components", reducer.components, (len(reducer.components), width)),
        ("center", reducer.center, (width,)),
    ):
        if not isinstance(array, np.ndarray) or array.dtype.kind != "f" or array.shape != shape:
            raise ValueError(f"the {name} of its reducer are not of {width} columns")
        if not np.all(np.isfinite(array)):
            raise ValueError(f"the {name} of its reducer are not finite")
    return len(reducer.components)


def _check_feature(feature: Mapping[str, Any], width: int) -> None:
    name, kind, slots = feature["name"], feature["kind"], feature["slots"]
    places = [*slots, *(feature[key] for key in ("missing_slot", "rare_slot") if key in feature)]
    if type(name) is not str or not all(type(p) is int and -1 <= p < width for p in places):
        raise ValueError(f"the reducer's feature {str(name)[:80]!r} has slots out of bounds")
    numbers: list[Any] = []
    if kind == "one_hot":
        sound = len(_texts(feature["labels"])) == len(slots)
    elif kind == "ordinal":
        numbers = [*feature["values"], feature["rare_value"]]
        sound = len(_texts(feature["labels"])) == len(feature["values"]) and slots[0] >= 0
    else:
        numbers = [*feature["means"], *feature["scales"], *(f for f in feature["fills"] if f)]
        lengths = {len(feature[key]) for key in ("fills", "means", "scales")}
        sound = lengths == {len(slots)} and 0.0 not in feature["scales"] and len(slots) > 0
    if not sound or not all(isinstance(n, (int, float)) and math.isfinite(n) for n in numbers):
        raise ValueError(f"the reducer's feature {name[:80]!r} has parts that do not fit")


def _texts(values: Any) -> list[str]:
    if not isinstance(values, list) or not all(type(value) is str for value in values):
        raise ValueError("a list of names in its reducer holds something else")
    return values
