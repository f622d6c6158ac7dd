"""What decides a row's role where no key does: its place, and nothing that it says."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tidemill.sharding.facts import Place, Wanted, facts_of

BY_PLACE = Wanted(
    hashed=True, hash_column=None, time=None, target=None, value=None, value_hashed=True
)


def hashes(values, place: Place) -> list[int]:
    """Of rows with these values from a place on."""
    return facts_of(pa.table({"x": values}), BY_PLACE, place)["hash"].to_pylist()


def test_a_place_is_a_split_and_a_row_in_it():
    """Two splits share no hash; values, part, earlier rows and the cut into tables decide none."""
    values = np.arange(8.0)
    whole = hashes(values, Place(0, 0, "one"))
    assert len({*whole, *hashes(values, Place(0, 0, "two"))}) == 16
    assert hashes(values[::-1], Place(3, 500, "one")) == whole
    after = Place(0, 0, "one").after(5)
    assert hashes(values[:5], Place(0, 0, "one")) + hashes(values[5:], after) == whole
