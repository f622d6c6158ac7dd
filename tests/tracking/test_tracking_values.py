"""Names and values that MLflow takes."""

import re

from hypothesis import given
from hypothesis import strategies as st

from tidemill.tracking.values import MAX_NAME, MAX_TEXT, flatten, param_text, plain_name


def test_nested_settings_become_dotted_names():
    """Each leaf has its path as its name; empty mappings and lists are leaves."""
    flat = flatten({"a": {"b": 1, "c": {}}, "d": [], "e": "x"}, "s")
    assert flat == {"s.a.b": "1", "s.a.c": "{}", "s.d": "[]", "s.e": "x"}


def test_a_long_text_is_cut_and_still_tells_itself_apart():
    """Two long texts with the same beginning stay different, at most 6,000 characters long."""
    first, second = param_text("x" * 7000), param_text("x" * 7001)
    assert len(first) == MAX_TEXT
    assert first != second
    assert "sha256:" in first
    assert param_text("x" * MAX_TEXT) == "x" * MAX_TEXT


@given(st.text(min_size=1, max_size=400))
def test_any_name_becomes_one_that_mlflow_takes(name):
    """Only MLflow's characters, at most 250 of them, whatever the name was."""
    plain = plain_name(name)
    assert len(plain) <= MAX_NAME
    assert re.fullmatch(r"[\w\-. :/]+", plain, re.ASCII)


def test_different_names_stay_different():
    """Replaced characters do not make two names one."""
    assert len({plain_name(name) for name in ("größe", "gr??e", "gr__e", "gr/e", "gr//e")}) == 5
