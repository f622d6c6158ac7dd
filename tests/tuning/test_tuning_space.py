"""The space: what it accepts, and what it says about the rest."""

from __future__ import annotations

import pytest

from tidemill.contracts import Choices, Range
from tidemill.errors import ConfigError
from tidemill.tuning import grid_points, read_space


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"low": 2, "high": 1}, "low is not below high"),
        ({"low": 1, "high": 1}, "low is not below high"),
        ({"low": 1}, "high is missing"),
        ({"low": 1, "high": 2, "sep": 1}, "did you mean 'step'"),
        ({"choice": [1]}, "did you mean 'choices'"),
        ({"choices": []}, "choices is empty"),
        ({"choices": "sqrt"}, "not a list"),
        ({"choices": [[1, 2]]}, "no text, number or boolean"),
        ({"choices": [1, 1.0]}, "twice"),
        ({"choices": [1], "low": 0}, "both"),
        ({"low": "1e-3", "high": 1}, "low is not a finite number"),
        ({"low": 0.0, "high": float("inf")}, "high is not a finite number"),
        ({"low": float("nan"), "high": 1.0}, "low is not a finite number"),
        ({"low": True, "high": 3}, "low is not a finite number"),
        ({"low": 0.0, "high": 1.0, "log": True}, "log needs low above 0"),
        ({"low": 1, "high": 9, "log": True, "step": 2}, "no step"),
        ({"low": 1, "high": 9, "log": "yes"}, "log is not true or false"),
        ({"low": 0, "high": 1, "step": 0}, "step is not between"),
        ({"low": 0, "high": 1, "step": 5}, "step is not between"),
        ([1, 2], "is not {low, high}"),
    ],
)
def test_wrong_parameter_is_refused_with_its_name(given, words):
    """A parameter that makes no sense is a ConfigError that names it and says why."""
    with pytest.raises(ConfigError) as caught:
        read_space({"alpha": given})
    assert "tuning.space.alpha" in str(caught.value)
    assert words in str(caught.value)
    assert "tuning.space.alpha" in caught.value.remedy


def test_all_problems_are_told_at_once():
    """Two wrong parameters make one error with both."""
    with pytest.raises(ConfigError) as caught:
        read_space({"a": {"choices": []}, "b": {"low": 1}, "c": {"low": 1, "high": 2}})
    assert set(caught.value.fields["problems"]) == {"tuning.space.a", "tuning.space.b"}


def test_empty_space_is_refused():
    """A search over nothing is a mistake."""
    with pytest.raises(ConfigError, match="empty"):
        read_space({})


def test_order_in_the_file_changes_nothing():
    """Parameters are taken in the order of their names."""
    a, b = {"choices": [1]}, {"low": 0, "high": 1}
    assert list(read_space({"b": b, "a": a})) == ["a", "b"]


def test_whole_bounds_make_whole_numbers():
    """1 to 3 is three numbers; 1.0 to 3 is a continuous range."""
    assert Range(1, 3).size == 3
    assert Range(1.0, 3).size is None
    assert Range(0.1, 0.3, step=0.1).size == 3
    assert [Range(0.1, 0.3, step=0.1).value(i) for i in range(3)] == [0.1, 0.2, 0.3]


def test_grid_enumerates_every_combination():
    """Choices, whole ranges and stepped ranges are crossed."""
    space = read_space(
        {
            "a": {"choices": ["x", None]},
            "b": {"low": 1, "high": 5, "step": 2},
            "c": {"low": 0.0, "high": 1.0, "step": 0.5},
        }
    )
    points = grid_points(space)
    assert len(points) == 2 * 3 * 3
    assert len({tuple(point.items()) for point in points}) == 18
    assert points[0] == {"a": "x", "b": 1, "c": 0.0}
    assert points[-1] == {"a": None, "b": 5, "c": 1.0}


def test_grid_over_a_continuous_range_is_refused():
    """The error names the parameter and offers step, choices or another sampler."""
    with pytest.raises(ConfigError) as caught:
        grid_points({"n": Choices((1, 2)), "alpha": Range(0.0, 1.0)})
    assert "tuning.space.alpha" in str(caught.value)
    assert "step" in caught.value.remedy


def test_grid_without_end_is_refused_before_it_is_built():
    """A billion combinations are counted, not made."""
    with pytest.raises(ConfigError, match="combinations"):
        grid_points({"a": Range(1, 10**6), "b": Range(1, 10**6)})


@pytest.mark.parametrize(
    "given",
    [
        {"low": 1 / 3, "high": 4 / 3, "step": 0.1},
        {"low": -4.664678707642672, "high": -4.65, "step": 0.001},
        {"low": 0.1, "high": 0.3, "step": 0.1},
        {"low": 0, "high": 90, "step": 0.001},
        {"low": -7, "high": 12, "step": 3},
    ],
)
def test_a_range_holds_its_own_points_and_no_others(given):
    """The points of a grid are told with 12 digits, whatever its bounds have."""
    space = read_space({"alpha": given})
    points = [point["alpha"] for point in grid_points(space)]
    assert all(space["alpha"].holds(point) for point in points)
    step = given["step"]
    for other in (points[0] - step, points[0] + step / 3, points[-1] + step):
        assert not space["alpha"].holds(other), other
