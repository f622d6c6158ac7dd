"""Rows that must not teach are left out, owed to the next decision, and taught once."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.ledger import Span, Take, owed_after, takes_of
from tidemill.ledger.withholding import spans_joined, spans_shared, taken

ROWS = 40
SPANS = st.builds(
    lambda by, first, length: Span(1, by, first, first + length),
    st.sampled_from(["time", "count"]),
    st.integers(0, ROWS),
    st.integers(0, 12),
)
TABLE = pa.table(
    {
        # Rows do not arrive in the order of their time.
        "at": pa.array(np.arange(ROWS)[::-1].copy(), pa.timestamp("us")),
        "position": pa.array(np.arange(ROWS)),
    }
)
NUMBERS = np.arange(1, ROWS + 1)


def rows_of(take: Take) -> set[int]:
    """Numbers of the labelled rows that a take has; row i has the label i + 1."""
    inside = (take.after < NUMBERS) & (take.through >= NUMBERS)
    return set(NUMBERS[inside & taken(TABLE, 1, take)].tolist())


# A decision: how many labels came before it, what must not teach then, and whether it succeeds.
ROUNDS = st.lists(
    st.tuples(st.integers(0, 15), st.lists(SPANS, max_size=3), st.booleans()), max_size=8
)


@settings(
    max_examples=2 * settings.default.max_examples, deadline=None, derandomize=True, database=None
)
@given(ROUNDS)
def test_every_row_teaches_once_and_never_while_its_window_is_broken(rounds):
    """Whatever breaks, is mended, fails or succeeds: no row twice, none lost for ever."""
    through, held, owed, taught = 0, 0, [], []
    for labels, untaught, succeeds in [*rounds, (ROWS, [], True)]:
        through = min(ROWS, through + labels)
        takes = takes_of((held, through), owed, untaught)
        given_rows = [number for take in takes for number in rows_of(take)]
        must_not = {n for n in NUMBERS.tolist() if n in rows_of(Take(0, ROWS, (tuple(untaught),)))}
        assert not must_not & set(given_rows)
        assert len(given_rows) == len(set(given_rows))
        left = {number for take in owed_after(takes) for number in rows_of(take)}
        assert not left & set(given_rows)
        if succeeds:
            taught += given_rows
            held, owed = through, owed_after(takes)
            assert sorted([*taught, *left]) == list(range(1, through + 1))
    assert sorted(taught) == NUMBERS.tolist()


@settings(deadline=None, derandomize=True, database=None)
@given(st.lists(SPANS, max_size=5), st.lists(SPANS, max_size=5))
def test_spans_are_sets_of_rows(one, two):
    """Joined they have the same rows; shared, those of both; JSON keeps them."""
    a, b = (rows_of(Take(0, ROWS, (tuple(spans),))) for spans in (one, two))
    joined = spans_joined([*one, *two])
    assert rows_of(Take(0, ROWS, (joined,))) == a | b
    assert list(joined) == sorted(joined)
    assert [Span.from_json(span.to_json()) for span in joined] == list(joined)
    by = {span.by for span in [*one, *two]}
    if len(by) == 1:
        assert rows_of(Take(0, ROWS, (spans_shared(one, two),))) == a & b


def test_spans_of_another_version_hold_nothing():
    """The same hour of two models is two windows."""
    assert rows_of(Take(0, ROWS, (), (Span(2, "time", 0, ROWS),))) == set(NUMBERS.tolist())
    assert rows_of(Take(0, ROWS, ((Span(2, "time", 0, ROWS),),))) == set()
