"""A strategy of another package: rows of one day of the week, or of a few, share a shard."""

import pyarrow.compute as pc

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


class WeekdayBuckets:
    """Days of the week in as many runs as are asked for, at most seven."""

    wants = "time"
    sampled = False
    monotone = False

    def fit(self, sample, buckets, physical):
        """The first day of each bucket."""
        count = min(buckets, len(DAYS))
        return tuple(DAYS[-(-7 * bucket // count)] for bucket in range(count))

    def count(self, boundaries):
        """As many as there are first days."""
        return len(boundaries)

    def bucket(self, values, boundaries, physical):
        """How many of the first days after Monday have come."""
        firsts = [DAYS.index(day) for day in boundaries[1:]]
        days = pc.day_of_week(values.cast("timestamp[us]")).to_numpy(zero_copy_only=False)
        return sum((days >= first for first in firsts), 0 * days).astype("int64")

    def explain(self, column):
        """Days of a column."""
        return f"weekday of {column}"
