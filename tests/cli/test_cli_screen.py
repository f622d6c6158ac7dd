"""Tables on a narrow terminal: nothing is cut off, and no line is too long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.measure import Measurement

from tidemill.screen import Screen, fitted

REASON = (
    "2 of the last 3 windows were harmed: roc_auc fell from 0.766 to 0.701 (threshold 0.025), "
    "seen in labels of 812 rows; distance_km and surge drift"
)
DECISION = {
    "id": 1,
    "opened_at": "2026-03-01T07:05:09.251000+00:00",
    "state": "awaiting approval",
    "champion_version": 1,
    "challenger_version": None,
    "reason": REASON,
}


def columns_of(lines: list[str], header: list[str]) -> dict[str, str]:
    """What stands below each word of the header's last line, its lines joined."""
    starts = [lines[0].index(word) for word in header]
    ends = [*starts[1:], None]
    return {
        word: " ".join(line[start:end].strip() for line in lines[2:]).strip()
        for word, start, end in zip(header, starts, ends, strict=True)
    }


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")


def test_a_decision_can_be_read_in_80_columns(narrow, capsys):
    """State, time and reason stand there whole, wrapped between words, each below its name."""
    Screen().table("decisions", [DECISION])
    said = capsys.readouterr().out.splitlines()
    assert max(map(len, said)) <= 80
    (at,) = [i for i, line in enumerate(said) if line.startswith(" id")]
    told = columns_of(said[at:], ["opened at", "state", "version", "reason"])
    assert told["reason"] == REASON
    assert told["opened at"] == "2026-03-01 07:05:09Z"
    assert told["state"] == "awaiting approval"


def test_what_fits_is_not_wrapped(narrow, capsys):
    """A small table has one line a row."""
    Screen().table("alerts", [{"id": 1, "rule": "harm", "sentence": "roc_auc fell"}] * 3)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines if line.startswith("  1")] == [
        ["1", "harm", "roc_auc", "fell"]
    ] * 3


def test_nothing_is_found(capsys):
    """No rows: people are told, and machines get the empty document."""
    Screen().result([], "decisions", [])
    assert capsys.readouterr() == ("", "no decisions\n")
    Screen(as_json=True).result([], "decisions", [])
    assert capsys.readouterr() == ("[]\n", "")


@given(
    st.lists(
        st.tuples(st.integers(1, 30), st.integers(0, 300)).map(
            lambda pair: Measurement(pair[0], sum(pair))
        ),
        min_size=1,
        max_size=8,
    ),
    st.integers(100, 200),
)
def test_widths_share_the_room(columns, room):
    """They never take more than there is, and none is wider than it needs, or has none."""
    widths = fitted(columns, room)
    assert sum(widths) <= room
    assert all(1 <= width <= column.maximum for width, column in zip(widths, columns, strict=True))
    if sum(column.maximum for column in columns) <= room:
        assert widths == [column.maximum for column in columns]
