"""The ledger: everything that the monitor must not forget, behind one door."""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tidemill.errors import TidemillError
from tidemill.ledger.access import KeyRows, SessionRows
from tidemill.ledger.alerts import Alerts
from tidemill.ledger.database import (
    Commit,
    Database,
    check_revision,
    database_errors,
    migrate,
    tables,
    upsert,
)
from tidemill.ledger.decisions import Decisions
from tidemill.ledger.entries import Folding, LeftOut
from tidemill.ledger.event_folding import Folder
from tidemill.ledger.event_ids import FLUSH_IDS, IdIndex
from tidemill.ledger.events import Events
from tidemill.ledger.finding_rows import Findings
from tidemill.ledger.labels import Labels
from tidemill.ledger.notes import Notes
from tidemill.ledger.outbox import Outbox
from tidemill.ledger.pending_labels import PendingIds
from tidemill.ledger.requests import Requests
from tidemill.ledger.retention import PrunedRows, prune
from tidemill.ledger.tidying import Tidier
from tidemill.ledger.unfolded import Unfolded
from tidemill.ledger.windows import Windows
from tidemill.ledger.writer import Writer

__all__ = ["Health", "Ledger"]

_SALT = "ids.salt"
_PROBE = "ledger.probe"


@dataclass(frozen=True, slots=True)
class Health:
    """How the ledger is.

    Parameters
    ----------
    ok : bool
        A tiny write was durable.
    reason : str
        What it said otherwise.
    queued_bytes, queued_jobs, unfolded_rows : int
        What waits.
    set_aside_rows, unplaced_labels : int
        As :meth:`Ledger.left_out`.
    ids, segments, filter_bytes, memory_ids : int
        The index of event ids.
    """

    ok: bool
    reason: str
    queued_bytes: int
    queued_jobs: int
    unfolded_rows: int
    set_aside_rows: int
    unplaced_labels: int
    ids: int
    segments: int
    filter_bytes: int
    memory_ids: int


class Ledger:
    """One store, one writer: made by :meth:`open`.

    Attributes
    ----------
    events, labels, requests, windows, findings, alerts, decisions, outbox, keys, sessions,
    notes
        The parts of the store, each with its own methods.
    """

    def __init__(
        self,
        database: Database,
        *,
        folding: Folding | None,
        queue_bytes: int,
        fold_seconds: float,
        fold_rows: int,
        flush_ids: int,
        clock: Callable[[], dt.datetime],
    ) -> None:
        self._database, self._clock = database, clock
        self._writer = Writer(database, queue_bytes=queue_bytes, clock=clock, reload=self._load)
        self._index = IdIndex(b"", flush_ids=flush_ids)
        self._waiting = PendingIds()
        self._keeper = Tidier(database, self._writer, self._index)
        self._folder: Folder | None = None
        if folding is not None:
            self._folder = Folder(
                database, self._writer, folding, seconds=fold_seconds, rows=fold_rows
            )
        self._compose()

    def _compose(self) -> None:
        database, writer = self._database, self._writer
        self.events = Events(database, writer, self._index, self._waiting, self._stored)
        self.labels = Labels(database, writer, self._index, self._waiting, self._labelled)
        self.requests = Requests(database)
        self.windows = Windows(database, writer)
        self.findings = Findings(database)
        self.alerts = Alerts(database, writer)
        self.decisions = Decisions(database, writer)
        self.outbox = Outbox(database, writer)
        self.keys = KeyRows(database, writer)
        self.sessions = SessionRows(database, writer)
        self.notes = Notes(database, writer)

    @classmethod
    def open(
        cls,
        url: str,
        *,
        folding: Folding | None = None,
        queue_bytes: int = 256 << 20,
        fold_seconds: float = 1.0,
        fold_rows: int = 8192,
        flush_ids: int = FLUSH_IDS,
        writable: bool = True,
        busy_seconds: float = 5.0,
        clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> Self:
        """Open a store, bring its tables up to date and begin to write.

        Parameters
        ----------
        url : str
            ``sqlite:////folder/ledger.db`` (made if it is not there) or
            ``postgresql+psycopg://...``.
        folding : Folding, optional
            How rows become parts of windows; without it they are stored and not folded.
        queue_bytes : int
            Bound of what is accepted and not yet written and folded.
        fold_seconds, fold_rows : float, int
            Rows are folded so long after they were stored, or when so many wait.
        flush_ids : int
            Ids in memory that become a segment.
        writable : bool
            False: read while another process writes.
        busy_seconds : float
            How long another program's lock on the store is waited for.
        clock : callable
            Gives the present.

        Raises
        ------
        LedgerInUse
            If another process writes to this store.
        IntegrityError
            If the file is damaged or is no database.
        ConfigError
            If the address is not understood, or a newer tidemill made the store.
        StorageFailed, ServiceUnavailable
            If the store cannot be reached.
        """
        database = Database(url, writable=writable, busy_seconds=busy_seconds)
        try:
            ledger = cls(
                database,
                folding=folding if writable else None,
                queue_bytes=queue_bytes,
                fold_seconds=fold_seconds,
                fold_rows=fold_rows,
                flush_ids=flush_ids,
                clock=clock,
            )
            ledger._begin(writable)
        except BaseException:
            database.close()
            raise
        return ledger

    def close(self) -> None:
        """Write and fold what waits, then let go of the store."""
        if self._folder is not None:
            self._folder.close()
        self._keeper.close()
        self._writer.close()
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def settle(self, timeout: float = 30.0) -> None:
        """Wait until everything that is stored is folded into its windows.

        Raises
        ------
        Busy
            If that takes longer than ``timeout`` seconds.
        """
        if self._folder is not None:
            self._folder.settle(timeout)

    def probe(self, timeout: float = 2.0) -> None:
        """Make a tiny write durable; raises what any write would.

        After a write was refused for want of room it is as large as that one, up to 1 MiB: a
        disk that is full still takes a few bytes.
        """
        size = self._writer.failed_bytes
        ballast = secrets.token_hex(size // 2)

        def write(commit: Commit) -> None:
            row = {"key": _PROBE, "value": ballast, "updated_at": commit.at}
            upsert(commit.connection, tables.notes, [row], key=["key"])

        self._writer.wait(self._writer.submit(write, cost=size), timeout)

    def health(self) -> Health:
        """How the ledger is; never raises."""
        reason = ""
        try:
            self.probe()
        except TidemillError as error:
            reason = str(error)
        view = self._index.view
        return Health(
            not reason,
            reason,
            self._writer.held_bytes,
            self._writer.queued,
            self._folder.waiting_rows if self._folder else 0,
            self.left_out().rows,
            self.left_out().labels,
            view.rows,
            len(view.segments),
            view.filter_bytes,
            view.in_memory,
        )

    def left_out(self) -> LeftOut:
        """What could not be folded, ever; read from memory."""
        marks = self._writer.marks
        return LeftOut(
            marks.get("set_aside", 0), marks.get("unplaced_labels", 0), marks.get("late_labels", 0)
        )

    def prune(self, before: dt.datetime, *, now: dt.datetime | None = None) -> PrunedRows:
        """Delete events that were received before a time, and what belongs to them.

        Windows with their parts and findings, decisions and alerts stay. ``now`` is the time as
        far as it is believed; None: what the clock says.
        """
        folds, now = self._folder is not None, now or self._clock()
        return prune(self._database, self._writer, self._index, before, now=now, folds=folds)

    def on_commit(self, callback: Callable[[frozenset[str]], None]) -> Callable[[], None]:
        """Call ``callback`` with what changed after each commit; returns what ends that.

        The topics are events, labels, windows, alerts, decisions, outbox, keys and notes. The
        callback runs in the writer's thread: it must be quick and must not write.
        """
        return self._writer.listen(callback)

    def _begin(self, writable: bool) -> None:
        if not writable:
            with self._database.read() as connection:
                check_revision(connection, self._database.name)
                self._writer.load_marks(connection)
            return
        connection = self._database.writer()
        with database_errors(self._database.name):
            migrate(connection, self._database.name)
            self._database.remember_file()
            with connection.begin():
                self._index.salt = _salt(connection, self._clock())
                self._load(connection)
        self._writer.start()
        self._keeper.start()
        if self._folder is not None:
            self._folder.start()

    def _load(self, connection: Connection) -> None:
        self._writer.load_marks(connection)
        self._index.load(connection, self._writer.marks.get("flushed_seq", 0))
        self._writer.marks["pending"] = self._waiting.load(connection)

    def _stored(self, item: Unfolded) -> None:
        if self._folder is not None:
            self._folder.add(item)

    def _labelled(self) -> None:
        if self._folder is not None:
            self._folder.labels_came()


def _salt(connection: Connection, at: dt.datetime) -> bytes:
    t = tables.notes
    known = connection.execute(sa.select(t.c.value).where(t.c.key == _SALT)).scalar()
    if known is None:
        known = secrets.token_hex(16)
        connection.execute(sa.insert(t).values(key=_SALT, value=known, updated_at=at))
    return bytes.fromhex(known)
