"""One transaction of the writer: what its jobs stage, and how they share it.

Each job has a savepoint of its own, so that one that fails takes no other with it. What a job
changes in memory is staged and applied only after the commit.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol

from sqlalchemy import exc
from sqlalchemy.engine import Connection

from tidemill.errors import UsageError
from tidemill.ledger.database import tables
from tidemill.ledger.database.ledger_errors import translate
from tidemill.ledger.database.upserting import upsert

__all__ = ["Commit", "CommitJob", "Group", "JobResult", "of_database", "run_jobs"]

JobResult = tuple[Any, Exception | None]

_OURS = (exc.IntegrityError, exc.DataError, exc.ProgrammingError, exc.NotSupportedError)


class Commit:
    """One transaction of the writer, and what is to happen once it is durable.

    Parameters
    ----------
    connection : Connection
    at : datetime
        When it began.
    base : dict
        The committed marks.
    """

    def __init__(self, connection: Connection, at: dt.datetime, base: dict[str, int]) -> None:
        self.connection = connection
        self.at = at
        self._base = base
        self._marks: dict[str, int] = {}
        self._hooks: list[Callable[[], None]] = []
        self._topics: set[str] = set()

    def mark(self, name: str) -> int:
        """A counter's value within this transaction; 0 before it was first set."""
        return self._marks.get(name, self._base.get(name, 0))

    def set_mark(self, name: str, value: int) -> None:
        """Change a counter; it is written with the commit."""
        self._marks[name] = value

    def after(self, hook: Callable[[], None]) -> None:
        """Run ``hook`` in the writer's thread once the commit is durable."""
        self._hooks.append(hook)

    def topic(self, *names: str) -> None:
        """Say what changed, for those who listen."""
        self._topics.update(names)

    def savepoint(self) -> tuple[dict[str, int], int, set[str]]:
        """What :meth:`undo` needs to forget a job."""
        return dict(self._marks), len(self._hooks), set(self._topics)

    def undo(self, saved: tuple[dict[str, int], int, set[str]]) -> None:
        """Forget what was staged since :meth:`savepoint`."""
        self._marks, hooks, self._topics = saved
        del self._hooks[hooks:]

    def flush_marks(self) -> None:
        """Write the counters that changed."""
        rows = [{"name": name, "value": value} for name, value in sorted(self._marks.items())]
        upsert(self.connection, tables.marks, rows, key=["name"])

    def done(self) -> frozenset[str]:
        """Apply what was staged; returns the topics."""
        self._base.update(self._marks)
        for hook in self._hooks:
            hook()
        return frozenset(self._topics)


class Group(Protocol):
    """Work that jobs of one kind in a commit have in common.

    Jobs of a group have no savepoints, which would cost as much as they do: they raise a
    :class:`UsageError` before they write or not at all. After any other error all jobs of the
    commit are carried out again, one by one.
    """

    def begin(self, commit: Commit, payloads: Sequence[Any]) -> None:
        """Before the first job of the group."""

    def finish(self, commit: Commit) -> None:
        """After the last one, before the commit."""


@dataclass(slots=True, eq=False)
class CommitJob:
    """One piece of work, and who waits for it."""

    run: Callable[[Commit], Any]
    cost: int
    group: Group | None
    payload: Any
    future: Future[Any] = field(default_factory=Future)


def run_jobs(commit: Commit, jobs: Sequence[CommitJob]) -> list[JobResult]:
    """Carry out the jobs of one commit, in their order; a result or an error of each.

    Raises
    ------
    Exception
        Whatever leaves no job of them standing: the database's own errors, those of the group,
        and those of a job that is alone.
    """
    group = next((job.group for job in jobs if job.group is not None), None)
    if group is not None:
        group.begin(commit, [job.payload for job in jobs if job.group is not None])
    alone = len(jobs) == 1
    results = [(job.run(commit), None) if alone else _apart(commit, job) for job in jobs]
    if group is not None:
        group.finish(commit)
    return results


def of_database(error: BaseException) -> bool:
    """Whether an error is the database's, or its file's."""
    return isinstance(error, exc.SQLAlchemyError | OSError)


def _apart(commit: Commit, job: CommitJob) -> JobResult:
    saved = commit.savepoint()
    if job.group is not None:
        try:
            return job.run(commit), None
        except UsageError as error:
            commit.undo(saved)
            return None, error
    try:
        with commit.connection.begin_nested():
            return job.run(commit), None
    except Exception as error:
        if of_database(error) and not isinstance(error, _OURS):
            raise  # the whole transaction is lost
        commit.undo(saved)
        return None, translate(error, "the ledger") if of_database(error) else error
