"""Addresses of ranges come back, whatever signs keys and relations hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.ingestion.sources.sql.sql_address import KeyRange, SqlAddress

KEYS = st.integers(-(2**63), 2**63 - 1) | st.text()


@given(first=KEYS, last=KEYS, closed=st.booleans())
def test_a_range_comes_back(first, last, closed):
    """Keys such as a#[1 too."""
    address = SqlAddress("sqlite:///b.db", "rides", KeyRange(first, last, closed=closed))
    assert SqlAddress.of(str(address)) == address


@pytest.mark.parametrize("relation", ["[a]", "SELECT '#[x]' AS a", "SELECT a#>'{b}' FROM t", "a)"])
def test_what_is_no_range_belongs_to_the_relation(relation):
    """A table may be called [a], and a query end as it likes."""
    assert SqlAddress.of(f"sqlite:///b.db#{relation}") == SqlAddress("sqlite:///b.db", relation)
    ranged = SqlAddress("sqlite:///b.db", relation, KeyRange(1, 5))
    assert SqlAddress.of(str(ranged)) == ranged
