"""What deals the rows of a role to buckets, each of which becomes a shard."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

__all__ = ["BucketFact", "BucketRule"]

BucketFact = Literal["hash", "value", "time"]
"""What a rule looks at, of each row one thing.

``hash``
    The 64-bit hash of ``sharding.by``, else of the key, else of the row's place: uint64, never
    null; ``physical`` is ``hash``.
``value``
    ``sharding.by``, else the key, by its order: int64 (whole numbers, booleans, and times in
    microseconds), float64 or string (texts and categories); null where it is missing.
``time``
    The time column in microseconds since 1970: int64, never null.
"""


@runtime_checkable
class BucketRule(Protocol):
    """One strategy of sharding: how the rows of each role become shards.

    ``tidemill.testing.bucket_rules`` has a test for each of these clauses, and
    ``tidemill.testing.bad_bucket_rules`` a rule that breaks it.

    By value alone
        A row's bucket follows from its value and the boundaries: neither the cut into batches nor
        the rows beside it matter, and equal values share a bucket.
    Every row
        Has a bucket, from 0 to before :meth:`count`: null, the smallest and largest value of the
        type, and values that no sample held.
    Boundaries say all
        They are texts, stand in the manifest, and are read by another process years later, which
        has nothing else of the fit.
    A sample in any order
        :meth:`fit` gets what was merged from samples of all parts; their order decides nothing.
    No more than asked
        There are at least one and at most as many buckets as were asked for.
    Monotone
        Where it says so, a larger value has no smaller bucket, and null the last one: then rows of
        a shard keep their order in the source. Where it does not, and the data have no time, they
        are dealt anew within the shard.
    Without a sample
        One that is not ``sampled`` gets None. Others may get a sample without any value.
    Bounded
        Memory of the rows that it is given; it remembers none, and can be pickled.
    Explained
        What it does is said in words that name the column.

    Made without arguments, in each process anew.

    Attributes
    ----------
    wants : BucketFact
    sampled : bool
        Whether the boundaries rest on the data; they are read once more for that.
    monotone : bool
    """

    wants: ClassVar[BucketFact]
    sampled: ClassVar[bool]
    monotone: ClassVar[bool]

    def fit(self, sample: pa.Array | None, buckets: int, physical: str) -> tuple[str, ...]:
        """The boundaries of a role's buckets.

        Parameters
        ----------
        sample : pyarrow.Array or None
            What it wants of sampled rows of the role (about 65,536 of all rows).
        buckets : int
            How many are asked for.
        physical : str
            The column's type in the schema, or ``hash``.
        """

    def count(self, boundaries: tuple[str, ...]) -> int:
        """How many buckets there are."""

    def bucket(
        self, values: pa.Array, boundaries: tuple[str, ...], physical: str
    ) -> npt.NDArray[np.int64]:
        """The bucket of each value; (rows,) int64."""

    def explain(self, column: str) -> str:
        """What decides a row's bucket: "hash of ride_id"."""
