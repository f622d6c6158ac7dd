"""Which labelled rows may teach: those of whole windows; the others are owed to a later decision.

A *span* is the rows of one model version in a stretch of event time (windows by time) or of places
in the order of arrival (windows by count). A *take* is what a decision is given: labelled rows by
their numbers, without those in the spans that must not teach, or only those in some spans.

Rows are left out, never lost without a word and never taught twice:

- a decision's takes and what it left out stand in its evidence, settled when it fires;
- what the newest decision that holds rows left out (its own, and what it was owed) is owed to the
  next one, which takes of it what may teach by then, and leaves out the rest;
- a decision that ends without success holds nothing, so it is as if it had never been given any.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tidemill.ledger.database import AnyRow, from_micros, micros, tables, unpack_table

__all__ = ["Span", "Take", "count_taken", "owed_after", "spans_joined", "taken", "takes_of"]

By = Literal["time", "count"]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Rows of one model version, half-open.

    Parameters
    ----------
    model_version : int
    by : str
        ``time``: microseconds since 1970 of the event's own time; ``count``: places among all
        rows of the version.
    first, last : int
    """

    model_version: int
    by: By
    first: int
    last: int

    def to_json(self) -> list[Any]:
        """As evidence keeps it."""
        return [self.model_version, self.by, self.first, self.last]

    @classmethod
    def from_json(cls, document: Sequence[Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        version, by, first, last = document
        return cls(int(version), by, int(first), int(last))


Spans = tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Take:
    """Labelled rows with a number in (after, through].

    Parameters
    ----------
    after, through : int
    within : tuple of (tuple of Span)
        Only rows that lie in a span of each; none of these: all rows.
    without : tuple of Span
        Rows that lie in one of these are left out.
    """

    after: int
    through: int
    within: tuple[Spans, ...] = ()
    without: Spans = ()

    @property
    def left(self) -> Take:
        """The rows of the same numbers that this one leaves out."""
        *others, last = self.within or (None,)
        if last is None:
            return Take(self.after, self.through, within=(self.without,))
        if len({span.by for span in (*last, *self.without)}) > 1:
            # What lies in a stretch of time and in one of places is no span.
            return Take(self.after, self.through, within=(*self.within, self.without))
        return Take(self.after, self.through, within=(*others, spans_shared(last, self.without)))

    def to_json(self) -> dict[str, Any]:
        """As evidence keeps it."""
        return {
            "after": self.after,
            "through": self.through,
            "within": [[span.to_json() for span in spans] for spans in self.within],
            "without": [span.to_json() for span in self.without],
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        return cls(
            document["after"],
            document["through"],
            tuple(_spans(spans) for spans in document["within"]),
            _spans(document["without"]),
        )


def _spans(documents: Iterable[Sequence[Any]]) -> Spans:
    return tuple(Span.from_json(document) for document in documents)


def takes_of(labels: tuple[int, int], owed: Iterable[Take], untaught: Sequence[Span]) -> list[Take]:
    """What a decision is given: new labels, and what is owed, without what must not teach.

    Parameters
    ----------
    labels : (int, int)
        Numbers of the labels that nobody was given yet, (after, through].
    owed : iterable of Take
        From :func:`owed_after` of the newest decision that holds rows.
    untaught : sequence of Span

    >>> broken = Span(1, "time", 0, 10)
    >>> first = takes_of((0, 50), (), [broken])
    >>> [(t.after, t.through) for t in takes_of((50, 60), owed_after(first), [])]
    [(50, 60), (0, 50)]
    """
    without = spans_joined(untaught)
    given = [Take(*labels, without=without)]
    return given + [replace(one, without=without) for one in owed]


def owed_after(takes: Iterable[Take]) -> list[Take]:
    """What decisions with these takes leave out, and owe to the next."""
    return [left for take in takes if all((left := take.left).within)]


def spans_joined(spans: Iterable[Span]) -> tuple[Span, ...]:
    """The same rows in as few spans as can be, sorted.

    >>> spans_joined([Span(1, "time", 5, 9), Span(1, "time", 0, 5), Span(2, "time", 0, 1)])
    (Span(model_version=1, by='time', first=0, last=9),
     Span(model_version=2, by='time', first=0, last=1))
    """
    joined: list[Span] = []
    for span in sorted(spans):
        last = joined[-1] if joined else None
        same = last is not None and (last.model_version, last.by) == (span.model_version, span.by)
        if last is not None and same and span.first <= last.last:
            end = max(last.last, span.last)
            joined[-1] = Span(span.model_version, span.by, last.first, end)
        elif span.first < span.last:
            joined.append(span)
    return tuple(joined)


def spans_shared(a: Iterable[Span], b: Sequence[Span]) -> tuple[Span, ...]:
    """The rows that lie in a span of both."""
    shared = (
        Span(one.model_version, one.by, max(one.first, two.first), min(one.last, two.last))
        for one in a
        for two in b
        if (one.model_version, one.by) == (two.model_version, two.by)
    )
    return spans_joined(span for span in shared if span.first < span.last)


def inside_spans(rows: pa.Table, model_version: int, spans: Iterable[Span]) -> Mask:
    """Which rows lie in a span; from their columns ``at`` and ``position``."""
    found = np.zeros(rows.num_rows, bool)
    for span in spans:
        if span.model_version == model_version:
            name = "at" if span.by == "time" else "position"
            place = rows[name].cast(pa.int64()).to_numpy()
            found |= (place >= span.first) & (place < span.last)
    return found


def taken(rows: pa.Table, model_version: int, take: Take) -> Mask:
    """Which rows, of the take's numbers, it takes."""
    wanted = ~inside_spans(rows, model_version, take.without)
    for spans in take.within:
        wanted &= inside_spans(rows, model_version, spans)
    return wanted


def count_taken(connection: Connection, take: Take) -> int:
    """How many labelled rows a take has.

    Notes
    -----
    Only batches that a span cuts are read, one at a time; the others are counted by number.
    """
    left = _counted_inside(connection, take, (*take.within, take.without))
    if take.within:
        return _counted_inside(connection, take, take.within) - left
    return _numbered(connection, take.after, take.through) - left


def _counted_inside(connection: Connection, take: Take, within: Sequence[Spans]) -> int:
    """Labelled rows of the take's numbers that lie in a span of each."""
    known = {
        first: rows for span in min(within, key=len) for first, rows in _batches(connection, span)
    }
    return sum(
        _counted_in_batch(connection, take, first, rows, within) for first, rows in known.items()
    )


def _batches(connection: Connection, span: Span) -> Iterator[tuple[int, int]]:
    """Batches that may have rows in a span: number of the first row, and rows."""
    t = tables.batches
    chosen = sa.select(t.c.first_seq, t.c.rows).where(t.c.model_version == span.model_version)
    if span.by == "time":
        first, last = from_micros(span.first), from_micros(span.last)
        chosen = chosen.where(t.c.min_at < last, t.c.max_at >= first)
    else:
        chosen = chosen.where(t.c.position < span.last, t.c.position + t.c.rows > span.first)
    for row in connection.execute(chosen):
        yield row.first_seq, row.rows


def _counted_in_batch(
    connection: Connection, take: Take, first: int, rows: int, within: Sequence[Spans]
) -> int:
    t, b = tables.labels, tables.batches
    wanted = (
        t.c.seq >= first,
        t.c.seq < first + rows,
        t.c.number > take.after,
        t.c.number <= take.through,
    )
    labelled = [row.seq for row in connection.execute(sa.select(t.c.seq).where(*wanted))]
    if not labelled:
        return 0
    columns = (b.c.model_version, b.c.position, b.c.rows, b.c.min_at, b.c.max_at, b.c.outcomes)
    batch = connection.execute(sa.select(*columns).where(b.c.first_seq == first)).one()
    if all(any(_holds(span, batch) for span in spans) for spans in within):
        return len(labelled)
    table = unpack_table(batch.outcomes)
    position = np.arange(batch.position, batch.position + batch.rows)
    table = table.append_column("position", pa.array(position))
    inside = Take(take.after, take.through, within=tuple(within))
    mask = taken(table, batch.model_version, inside)
    return int(mask[np.asarray(labelled) - first].sum())


def _holds(span: Span, batch: AnyRow) -> bool:
    """Whether all rows of a batch lie in a span."""
    if span.model_version != batch.model_version:
        return False
    if span.by == "time":
        first, last = micros(batch.min_at), micros(batch.max_at)
    else:
        first, last = batch.position, batch.position + batch.rows - 1
    return bool(span.first <= first and last < span.last)


def _numbered(connection: Connection, after: int, through: int) -> int:
    t = tables.labels
    counted = sa.select(sa.func.count()).where(t.c.number > after, t.c.number <= through)
    return int(connection.scalar(counted) or 0)
