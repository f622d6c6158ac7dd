"""The thread that folds: durable rows become parts of their windows soon after.

A part and the mark that says up to where rows are folded commit together, so that a crash
between storing and folding neither loses a row nor counts one twice: what is behind the mark is
folded when the store is opened again.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

import sqlalchemy as sa
import structlog

from tidemill.errors import IntegrityError, TidemillError
from tidemill.ledger.batch_packing import pack_small
from tidemill.ledger.database import Commit, Database, busy, tables
from tidemill.ledger.entries import Folding, WindowPart
from tidemill.ledger.fold_splitting import Halved, fold_halves
from tidemill.ledger.label_folding import fold_labels
from tidemill.ledger.lateness import late_masks, mark_late
from tidemill.ledger.row_reading import Repeated, repeated_events
from tidemill.ledger.unfolded import Unfolded, backlog, stretches, to_stretch
from tidemill.ledger.window_parts import merge_full, store_merged, store_window_parts
from tidemill.ledger.writer import Writer

__all__ = ["Folder"]

_log = structlog.get_logger(__name__)
_TRIES = 3
_PAUSE_SECONDS = 0.5
_BACKLOG_BATCHES = 64
_FAULTS_NAMED = 20

Done = Callable[[Sequence[Unfolded]], None]


class Folder:
    """Folds what is stored, at most ``seconds`` after or every ``rows`` rows.

    Parameters
    ----------
    store : Database
    writer : Writer
    folding : Folding
    seconds : float
    rows : int
    """

    def __init__(
        self, database: Database, writer: Writer, folding: Folding, *, seconds: float, rows: int
    ) -> None:
        self._database, self._writer, self._folding = database, writer, folding
        self._seconds, self._rows = seconds, rows
        self._items: deque[Unfolded] = deque()
        self._waiting_rows = 0
        self._since: float | None = None
        self._asked = self._served = 0
        self._closing = False
        self._tries = 0
        self._changed = threading.Condition()
        self._backlog: tuple[int, int] | None = None
        self._thread = threading.Thread(target=self._loop, name="ledger-folder", daemon=True)

    def start(self) -> None:
        """Begin, with what an earlier process left."""
        with self._database.read() as connection:
            last = connection.scalar(sa.select(sa.func.max(tables.arrivals.c.id)))
        self._backlog = (self._writer.marks.get("next_seq", 0), int(last or 0))
        self._asked += 1
        self._thread.start()

    def close(self) -> None:
        """Fold what waits, if the store lets us, then end."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def waiting_rows(self) -> int:
        """Rows that are stored and not folded yet."""
        return self._waiting_rows

    def add(self, item: Unfolded) -> None:
        """Take a stored request; called by the writer after its commit."""
        with self._changed:
            self._items.append(item)
            self._waiting_rows += item.note.rows
            self._note_work()
        self._writer.hold(item.nbytes)

    def labels_came(self) -> None:
        """Labels are stored that their windows lack."""
        with self._changed:
            self._note_work()

    def settle(self, timeout: float) -> None:
        """Wait until all that is stored by now is folded.

        Raises
        ------
        Busy
            If that takes longer than ``timeout`` seconds.
        """
        with self._changed:
            self._asked += 1
            mine = self._asked
            self._changed.notify_all()
            if not self._changed.wait_for(lambda: self._served >= mine, timeout):
                raise busy(f"rows are not folded within {timeout:g} s")

    def _note_work(self) -> None:
        if self._since is None:
            self._since = time.monotonic()
        self._changed.notify_all()

    def _loop(self) -> None:
        while self._wait():
            with self._changed:
                asked, closing, self._since = self._asked, self._closing, None
            try:
                self._pass()
            except Exception as error:
                expected = isinstance(error, TidemillError)
                _log.warning("folding waits", error=str(error), expected=expected)
                if closing:
                    return
                with self._changed:
                    self._since = self._since or time.monotonic()
                time.sleep(_PAUSE_SECONDS)
                continue
            with self._changed:
                self._served = asked
                self._changed.notify_all()
            if closing:
                return

    def _wait(self) -> bool:
        with self._changed:
            while not self._closing and self._asked == self._served:
                left = None
                if self._since is not None:
                    left = self._since + self._seconds - time.monotonic()
                    if left <= 0 or self._waiting_rows >= self._rows:
                        return True
                self._changed.wait(left)
            return True

    def _pass(self) -> None:
        self._fold_backlog()
        labels = self._writer.marks.get("label_number", 0)
        with self._changed:
            items = list(self._items)
        for group in stretches(items):
            self._fold(group, self._drop)
        fold_labels(self._database, self._writer, self._folding, labels)

    def _fold_backlog(self) -> None:
        while self._backlog is not None:
            to_seq, through = self._backlog
            with self._database.read() as connection:
                folded = self._writer.marks.get("folded_seq", 0)
                items = backlog(connection, folded, to_seq, through, _BACKLOG_BATCHES)
            for group in stretches(items):
                self._fold(group, lambda _: None)
            if not items:
                self._backlog = None

    def _drop(self, group: Sequence[Unfolded]) -> None:
        with self._changed:
            for item in group:
                self._items.popleft()
                self._waiting_rows -= item.note.rows
        self._writer.hold(-sum(item.nbytes for item in group))

    def _fold(self, group: Sequence[Unfolded], done: Done) -> None:
        repeated = self._repeated(group)
        try:
            parts = self._folding.events(replace(to_stretch(group), repeated=repeated))
        except Exception as error:
            self._refused(group, error, done)
            return
        self._tries = 0
        with self._database.read() as connection:
            full = merge_full(connection, [part.key for part in parts], self._folding.merge)

        def write(commit: Commit) -> list[Unfolded]:
            left = _not_folded(commit, group)
            if len(left) < len(group):
                return left
            store_merged(commit, full)
            mark_late(commit, late_masks(group, store_window_parts(commit, parts)))
            _finish(commit, group)
            return []

        # No request waits for this one: however long it takes, it is not given up and redone.
        left = self._writer.call(write, timeout=None)
        if left:
            self._fold(left, lambda _: None)
        done(group)

    def _refused(self, group: Sequence[Unfolded], error: Exception, done: Done) -> None:
        _log.warning("rows cannot be folded", requests=len(group), error=repr(error))
        if len(group) > 1:
            for item in group:
                self._fold([item], done)
            return
        self._tries += 1
        if self._tries < _TRIES:
            raise error
        self._tries = 0
        self._fold_by_rows(group[0])
        done(group)

    def _fold_by_rows(self, item: Unfolded) -> None:
        """Fold those rows of a request that can be, and set the others aside."""
        found = fold_halves(
            lambda start, stop: self._folding.events(to_stretch([item], (start, stop))),
            item.note.rows,
        )
        # What the request said besides its rows counts once, whatever became of them.
        besides = replace(to_stretch([item], (0, 0)), repeated=self._repeated([item]))
        try:
            found.parts += self._folding.events(besides)
        except Exception as error:
            _log.warning("a request's note cannot be folded", error=repr(error))

        def write(commit: Commit) -> None:
            if _not_folded(commit, [item]):
                mark_late(commit, late_masks([item], store_window_parts(commit, found.parts)))
                _set_aside(commit, item, found)
                _finish(commit, [item])

        self._writer.call(write, timeout=None)

    def _repeated(self, group: Sequence[Unfolded]) -> tuple[Repeated, ...]:
        """The stored events that each request sent again; those that are gone are left out."""
        if not any(item.note.repeats is not None and len(item.note.repeats) for item in group):
            return ()
        try:
            with self._database.read() as connection:
                return tuple(repeated_events(connection, item.note.repeats) for item in group)
        except IntegrityError as error:
            _log.warning("events that were sent again cannot be read", error=repr(error))
            return ()


def _not_folded(commit: Commit, group: Sequence[Unfolded]) -> list[Unfolded]:
    """Those that no earlier commit folded, one whose end was unknown included."""
    a = tables.arrivals
    folded = commit.mark("folded_seq")
    noted = [item.arrival_id for item in group if item.arrival_id and not item.note.rows]
    there: set[int] = set()
    if noted:
        chosen = sa.select(a.c.id).where(a.c.id.between(min(noted), max(noted)))
        there.update(commit.connection.scalars(chosen))
    return [
        item
        for item in group
        if (item.end_seq > folded if item.note.rows else item.arrival_id in there)
    ]


def _set_aside(commit: Commit, item: Unfolded, found: Halved[WindowPart]) -> None:
    if not found.lost:
        return
    b = tables.batches
    where = ", ".join(f"{start}-{stop - 1}" for start, stop in found.lost[:_FAULTS_NAMED])
    fault = f"{found.lost_rows} rows ({where}): {found.error}"
    commit.connection.execute(
        sa.update(b).where(b.c.first_seq == item.first_seq, b.c.rows > 0).values(fault=fault)
    )
    commit.set_mark("set_aside", commit.mark("set_aside") + found.lost_rows)


def _finish(commit: Commit, group: Sequence[Unfolded]) -> None:
    a = tables.arrivals
    noted = [item.arrival_id for item in group if item.arrival_id is not None]
    if noted:
        commit.connection.execute(sa.delete(a).where(a.c.id.in_(noted)))
    commit.set_mark("folded_seq", max(commit.mark("folded_seq"), group[-1].end_seq))
    pack_small(commit, [item for item in group if item.note.rows])
