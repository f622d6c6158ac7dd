"""A reducer's description, checked: every slot, number and array fits the others."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from tidemill.conventions import parse_convention
from tidemill.features.category_sums import LARGEST_BUCKETS
from tidemill.features.fitted_rows import TOLD
from tidemill.features.kernels import LARGEST
from tidemill.features.reducer import Reducer
from tidemill.features.text_terms import LARGEST_TERMS
from tidemill.numbers import is_style
from tidemill.steps import STEPS

__all__ = ["check_reducer"]


def check_reducer(reducer: Reducer) -> int:
    """The number of columns that a stored reducer makes, if its parts fit together.

    Then one row without values is reduced: whatever else does not fit together shows there.

    Raises
    ------
    ValueError
        If a slot lies out of bounds, a number is not finite or would not be in float32, or
        lists and arrays differ in length.
    """
    width = len(_texts(reducer.encoded))
    _texts(reducer.missing_values or [])
    if not isinstance(reducer.features, list):
        raise ValueError("its reducer has no list of features")
    for feature in reducer.features:
        _check_feature(feature, width)
        _check_reading(feature)
    steps = reducer.steps or []
    if not isinstance(steps, list) or (steps and reducer.components is not None):
        raise ValueError("its reducer has no list of steps, or a projection beside it")
    for step in steps:
        width = _check_step(step, width)
    return _tried_out(reducer)


def _check_step(step: Mapping[str, Any], width: int) -> int:
    """The number of columns that a stored step makes of ``width``; its state it checks itself.

    Only what is installed or named in params.yaml is imported: a file cannot name a module.
    """
    name, kept, names = step["step"], step["kept"], _texts(step["names"])
    if type(name) is not str or name not in STEPS:
        raise ValueError(f"its reducer has a step {str(name)[:80]!r}, which is not known here")
    inside = kept is None or all(type(i) is int and 0 <= i < width for i in kept)
    if not inside or len(set(names)) < len(names) or not isinstance(step["state"], dict):
        raise ValueError(f"the step {name!r} of its reducer does not fit those before it")
    return len(names)


def _tried_out(reducer: Reducer) -> int:
    """Columns of a row without values: what its parts lack shows here, not at a prediction."""
    anew = Reducer(**reducer.get_params(deep=False))
    return int(anew.transform({f["name"]: [None] for f in anew.features}).shape[1])


def _check_feature(feature: Mapping[str, Any], width: int) -> None:
    name, kind, slots = feature["name"], feature["kind"], feature["slots"]
    places = [*slots, *(feature[key] for key in ("missing_slot", "rare_slot") if key in feature)]
    if type(name) is not str or not all(type(p) is int and -1 <= p < width for p in places):
        raise ValueError(f"the reducer's feature {str(name)[:80]!r} has slots out of bounds")
    numbers: list[Any] = []
    if kind == "target":
        sound = _is_table(feature["values"], feature["buckets"], len(slots))
    elif kind == "text":
        sound = _are_terms(feature["terms"], feature["rarity"])
        sound = sound and _is_table(feature["values"], len(feature["terms"]), len(slots))
    elif kind == "one_hot":
        sound = len(_texts(feature["labels"])) == len(slots)
    elif kind == "ordinal":
        numbers = [*feature["values"], feature["rare_value"], feature["missing_value"] or 0.0]
        sound = len(_texts(feature["labels"])) == len(feature["values"]) and slots[0] >= 0
    else:
        fills, means, scales = (feature[key] for key in ("fills", "means", "scales"))
        sound = {len(fills), len(means), len(scales)} == {len(slots)} and len(slots) > 0
        sound = sound and 0.0 not in scales
        numbers = [*means, *scales, *(f for f in fills if f)]
    if not sound or not all(isinstance(n, (int, float)) and math.isfinite(n) for n in numbers):
        raise ValueError(f"the reducer's feature {name[:80]!r} has parts that do not fit")
    if kind == "ordinal":
        written = numbers
    elif kind in ("one_hot", *TOLD):
        written = []
    else:  # what a missing value becomes, as the kernel reckons it
        parts = zip(fills, means, scales, strict=True)
        written = [(fill - mean) / scale for fill, mean, scale in parts if fill is not None]
    if not all(abs(number) <= LARGEST for number in written):
        raise ValueError(f"the reducer's feature {name[:80]!r} writes what float32 cannot hold")


def _is_table(values: Any, buckets: Any, width: int) -> bool:
    """Whether a table of finite numbers has a row for each bucket, and one of what is missing."""
    if type(buckets) is not int or not 1 <= buckets <= LARGEST_BUCKETS:
        return False
    if not isinstance(values, np.ndarray) or values.dtype != np.float32:
        return False
    return values.shape == (buckets + 1, width) and bool(np.isfinite(values).all())


def _are_terms(terms: Any, rarity: Any) -> bool:
    """Whether hashed terms ascend, each with a positive weight."""
    if not all(isinstance(array, np.ndarray) and array.ndim == 1 for array in (terms, rarity)):
        return False
    if (terms.dtype, rarity.dtype) != (np.int32, np.float32) or len(terms) != len(rarity):
        return False
    ascending = len(terms) <= LARGEST_TERMS and terms[:1] >= 0 and (np.diff(terms) > 0).all()
    return bool(np.all(ascending) and np.isfinite(rarity).all() and (rarity > 0).all())


def _check_reading(feature: Mapping[str, Any]) -> None:
    """How its cells are read: words that are known, before anything is read by them."""
    source, narrow = feature.get("source", {}), feature.get("narrow")
    sound = isinstance(source, dict) and narrow in (None, True, False)
    sound = sound and set(source) <= {"type", "style", "convention"}
    given = source.get("convention") if sound else None
    texts = [source.get("type", ""), source.get("style", "")] if sound else []
    sound = sound and all(type(text) is str for text in [*texts, given or ""])
    if not (
        sound
        and is_style(source.get("style", ""))
        and (given is None or parse_convention(given) is not None)
    ):
        raise ValueError(f"the reducer's feature {feature['name'][:80]!r} is read in no known way")


def _texts(values: Any) -> list[str]:
    if not isinstance(values, list) or not all(type(value) is str for value in values):
        raise ValueError("a list of names in its reducer holds something else")
    return values
