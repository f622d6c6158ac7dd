"""The hash sample keeps the smallest hashes, and nothing of order or batches."""

import numpy as np
import pyarrow as pa
import pytest

from tidemill.errors import SchemaMismatch
from tidemill.profiling import HashSample, fold


def test_the_rows_with_the_smallest_hashes_are_kept():
    """Rows come out in the order of their hashes."""
    hashes = np.random.default_rng(5).permutation(1_000).astype(np.uint64)
    sample = HashSample.of(pa.table({"hash": hashes}), hashes, limit=10)
    assert sample.hashes.tolist() == list(range(10))
    assert sample.table["hash"].to_pylist() == list(range(10))


def test_the_bytes_do_not_depend_on_batches_or_their_order():
    """Dictionaries included: the document is the same for any batches in any order."""
    rng = np.random.default_rng(6)
    texts = rng.choice(["north", "south", "east", None], 900)
    table = pa.table({"zone": pa.array(texts).dictionary_encode(), "n": rng.normal(size=900)})
    hashes = rng.integers(0, 200, 900).astype(np.uint64)

    def sample(indices):
        part = table.take(pa.array(indices)).unify_dictionaries()
        text = pa.chunked_array(
            [c.cast(pa.string()).dictionary_encode() for c in part["zone"].chunks]
        )
        return HashSample.of(part.set_column(0, "zone", text), hashes[indices], 100)

    whole = sample(np.arange(900)).to_json()
    for batches in (2, 7, 90):
        parts = np.array_split(rng.permutation(900), batches)
        assert fold(sample(part) for part in parts).to_json() == whole


@pytest.mark.parametrize(("rows", "limit", "kept"), [(0, 5, 0), (3, 5, 3), (5, 5, 5), (3, 0, 0)])
def test_small_inputs(rows, limit, kept):
    """No rows, fewer than the limit, exactly the limit, and a limit of none."""
    hashes = np.arange(rows, dtype=np.uint64)
    sample = HashSample.of(pa.table({"n": pa.array(range(rows), pa.int64())}), hashes, limit)
    assert sample.table.num_rows == len(sample.hashes) == kept


def test_ties_are_broken_by_content_and_never_exceed_the_limit():
    """Of ten rows with one hash, the four that come first by content are kept."""
    table = pa.table({"zone": list("jcaibhdgfe")})
    sample = HashSample.of(table, np.zeros(10, np.uint64), limit=4)
    assert sample.table["zone"].to_pylist() == ["a", "b", "c", "d"]
    assert len(sample.hashes) == 4


def test_one_hash_a_row():
    """Hashes that do not fit the rows are refused."""
    with pytest.raises(SchemaMismatch, match="2 hashes do not fit 3 rows"):
        HashSample.of(pa.table({"n": [1, 2, 3]}), np.zeros(2, np.uint64), 1)
