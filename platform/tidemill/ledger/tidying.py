"""The thread that keeps the store small: merges segments of ids, empties SQLite's log."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any

import structlog

from tidemill.errors import TidemillError
from tidemill.ledger.database import Commit, Database
from tidemill.ledger.event_ids import IdIndex, clear_dead_segments, due_merge, merge_segments
from tidemill.ledger.writer import Writer
from tidemill.repeating import Every

__all__ = ["Tidier"]

_log = structlog.get_logger(__name__)
_POLL_SECONDS = 0.25
_TIDY_EVERY = 8
_LOG_BYTES = 8 << 20


class Tidier:
    """Tidies beside the writer, in short commits.

    Parameters
    ----------
    store : Database
    writer : Writer
    index : IdIndex
    """

    def __init__(self, database: Database, writer: Writer, index: IdIndex) -> None:
        self._database, self._writer, self._index = database, writer, index
        self._one_at_a_time = threading.Lock()
        self._rounds = itertools.count()
        self._thread = Every(_POLL_SECONDS, self._round, name="ledger-keeper", at_once=True)

    def start(self) -> None:
        """Begin, by deleting what an earlier process did not finish."""
        self._thread.start()

    def close(self) -> None:
        """End after the step at hand; a merge that is not finished begins anew."""
        self._thread.stop(None)

    def tidy(self) -> None:
        """One round: delete dead segments, merge while that is due."""
        with self._one_at_a_time:
            self._tidy()

    def _tidy(self) -> None:
        clear_dead_segments(self._database, self._write)
        while group := due_merge(self._index.view.segments):
            merge_segments(self._database, self._write, self._index, group)
            clear_dead_segments(self._database, self._write)

    def _write(self, run: Callable[[Commit], Any]) -> Any:
        if self._thread.stopping:
            raise _Ending
        return self._writer.call(run, timeout=None)  # nobody waits for the keeper

    def _round(self) -> None:
        try:
            if self._database.wal_bytes() > _LOG_BYTES:
                self._database.checkpoint()
            if next(self._rounds) % _TIDY_EVERY == 0:
                self.tidy()
        except _Ending:
            return
        except Exception as error:
            expected = isinstance(error, TidemillError)
            _log.warning("the store is not tidied", error=str(error), expected=expected)


class _Ending(Exception):
    """The ledger is being closed."""
