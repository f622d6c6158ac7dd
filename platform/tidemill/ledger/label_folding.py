"""Labelled rows become partial figures of their windows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pyarrow as pa
import sqlalchemy as sa
import structlog
from sqlalchemy.engine import Connection

from tidemill.ledger.database import AnyRow, Commit, Database, tables
from tidemill.ledger.entries import Folding, LabelPart
from tidemill.ledger.fold_splitting import Halved, fold_halves
from tidemill.ledger.late_masks import Mask
from tidemill.ledger.row_reading import rows_at, truth_columns
from tidemill.ledger.window_parts import Merged, merge_full, store_label_parts, store_merged
from tidemill.ledger.writer import Writer

__all__ = ["fold_labels"]

_log = structlog.get_logger(__name__)
_AT_ONCE = 16_384


@dataclass(slots=True)
class _Found:
    """What came of some labels: parts, and how many are in none."""

    parts: list[LabelPart] = field(default_factory=list)
    lost: int = 0
    late: int = 0


def fold_labels(database: Database, writer: Writer, folding: Folding, through: int) -> None:
    """Fold the labels up to number ``through`` that are not folded yet.

    Notes
    -----
    Memory: 16,384 labelled rows without their features. A label folds once: its figures and
    the mark behind it commit together.
    """
    while (done := writer.marks.get("labels_folded", 0)) < through:
        upto = min(through, done + _AT_ONCE)
        with database.read() as connection:
            found = _parts(connection, folding, done, upto)
            full = merge_full(connection, [part.key for part in found.parts], folding.merge)

        write = partial(_write, found=found, full=full, done=done, upto=upto)
        writer.call(write, timeout=None)


def _parts(connection: Connection, folding: Folding, done: int, upto: int) -> _Found:
    found = _Found()
    for version, rows, late in _tables(connection, done, upto):
        # What came after its window was closed changes no verdict, and neither does its label.
        found.late += int(late.sum())
        table = rows if not late.any() else rows.filter(pa.array(~late))
        halved = _folded(folding, version, table)
        if halved.lost:
            _log.warning("labels cannot be folded", rows=halved.lost_rows, error=halved.error)
        found.parts += halved.parts
        whole = [part for part in halved.parts if not part.key.segment]
        # Those that raised, and those within a part that could not be measured.
        found.lost += len(table) - sum(part.rows - part.unmeasured for part in whole)
    return found


def _folded(folding: Folding, version: int, table: pa.Table) -> Halved[LabelPart]:
    return fold_halves(
        lambda start, stop: folding.labels(table.slice(start, stop - start), version), len(table)
    )


def _tables(connection: Connection, done: int, upto: int) -> Iterator[tuple[int, pa.Table, Mask]]:
    t = tables.labels
    chosen = sa.select(t).where(t.c.number > done, t.c.number <= upto).order_by(t.c.seq)
    labels: list[AnyRow] = list(connection.execute(chosen))
    seq = np.fromiter((row.seq for row in labels), np.int64, len(labels))
    pieces = defaultdict(list)
    for version, numbers, rows, late in rows_at(connection, seq, features=False):
        truth = truth_columns([labels[i] for i in np.searchsorted(seq, numbers).tolist()])
        for name in ("truth", "labelled_at"):
            rows = rows.append_column(name, truth[name])
        # Batches of one version may differ in schema, and words and numbers do not mix.
        pieces[version, rows.schema.to_string()].append((rows, late))
    for (version, _), several in pieces.items():
        table = pa.concat_tables([rows for rows, _ in several]).unify_dictionaries()
        yield version, table, np.concatenate([late for _, late in several])


def _write(commit: Commit, *, found: _Found, full: Sequence[Merged], done: int, upto: int) -> None:
    if commit.mark("labels_folded") != done:
        return  # an earlier commit, whose end was unknown, has them
    store_merged(commit, full)
    lost = found.lost + store_label_parts(commit, found.parts)
    commit.set_mark("labels_folded", upto)
    for name, count in (("unplaced_labels", lost), ("late_labels", found.late)):
        if count:
            commit.set_mark(name, commit.mark(name) + count)
