"""A stored reducer's description: what would not be a number in the matrix is refused."""

import copy
import sys

import numpy as np
import pytest

from tidemill.config import ReductionConfig
from tidemill.engines import LocalEngine
from tidemill.features import fit_reducer
from tidemill.features.described import check_reducer
from tidemill.steps import STEPS


def made(make_shards, ride_table, **settings):
    """A reducer of the rides."""
    shards = make_shards([ride_table])
    return fit_reducer(*shards, ReductionConfig(**settings), engine=LocalEngine())[0]


def first(reducer, kind):
    """The description of the first feature of a kind."""
    return next(feature for feature in reducer.features if feature["kind"] == kind)


def test_numbers_beyond_float32_are_refused(make_shards, ride_table):
    """A fill that scaling blows up, a code, a component: each is finite, and no float32."""
    reducer = made(make_shards, ride_table, impute="mean", encode="ordinal")
    assert check_reducer(reducer) == len(reducer.encoded)
    for kind, key, wrong in (
        ("numeric", "fills", [1e300]),
        ("numeric", "means", [1e300]),
        ("ordinal", "rare_value", 1e39),
        ("ordinal", "missing_value", -1e39),
    ):
        changed = copy.deepcopy(reducer)
        first(changed, kind)[key] = wrong
        with pytest.raises(ValueError, match="what float32 cannot hold"):
            check_reducer(changed)


def test_components_are_of_length_one(make_shards, ride_table):
    """A longer one is nothing that a fit leaves."""
    reducer = made(make_shards, ride_table, impute="mean", project="pca", components=2)
    assert check_reducer(reducer) == 2
    reducer.components[0, 0] = 1e30
    with pytest.raises(ValueError, match="components of its reducer"):
        check_reducer(reducer)


def test_a_projected_row_is_always_float32(make_shards, ride_table):
    """Enormous values of several columns at once add up to the largest float32, to no infinity."""
    reducer = made(make_shards, ride_table, impute="mean", project="pca", components=3)
    numbers = [f for f in reducer.features if f["kind"] == "numeric"]
    for feature in numbers:  # of a table whose numbers are float64
        feature["narrow"] = False
    signs = np.sign(reducer.components[0])
    row = {f["name"]: 3e38 * f["scales"][0] * signs[f["slots"][0]] for f in numbers}
    row = {**ride_table[:1].to_pylist()[0], **row}
    reduced = reducer.transform(row)
    assert reduced.max() == np.finfo(np.float32).max
    assert np.isfinite(reduced).all()


@pytest.mark.parametrize("key", ["missing_slot", "rare_slot", "parts", "labels"])
def test_what_a_feature_lacks_shows_when_it_is_checked(make_shards, ride_table, key):
    """Not at a prediction."""
    reducer = made(make_shards, ride_table, impute="mean")
    del next(f for f in reducer.features if key in f)[key]
    with pytest.raises(KeyError, match=key):
        check_reducer(reducer)


CENTRING = "tidemill.testing.bad_steps:CentringStep"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"step": "colorsys:ONE_THIRD"}, "not known here"),
        ({"step": ["select"]}, "not known here"),
        ({"kept": [0, 99]}, "does not fit"),
        ({"kept": [-1]}, "does not fit"),
        ({"kept": [0]}, "broadcast"),
        ({"names": ["a"]}, "for 1 names"),
        ({"names": ["a"] * 9}, "does not fit"),
        ({"state": []}, "does not fit"),
        ({"state": {"off": np.array([np.nan])}}, "not finite"),
    ],
)
def test_a_forged_step_is_refused(make_shards, ride_table, monkeypatch, change, words):
    """Before anything that it names is imported, and before it answers."""
    monkeypatch.setattr(STEPS, "_opened", {})
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    reducer = made(make_shards, ride_table, steps=(CENTRING, "select"))
    assert check_reducer(reducer) == len(reducer.encoded)
    reducer.steps[0] |= change
    with pytest.raises(ValueError, match=words):
        check_reducer(reducer)
    assert "colorsys" not in sys.modules


def test_a_projection_beside_steps_is_refused(make_shards, ride_table):
    """Nobody would know which comes first."""
    reducer = made(make_shards, ride_table, project="pca", components=2)
    reducer.steps = [{"step": "select", "kept": [0], "names": ["pca0"], "state": {}}]
    with pytest.raises(ValueError, match="beside"):
        check_reducer(reducer)
