"""Many small requests at once: what waits is parsed, predicted and stored together.

One row costs nearly as much to predict and to store as fifty do. A thread takes every small
request that has come in since it last looked, under load at most a hundred times a second, so that
the cost of a batch is shared; a client that is alone does not wait. Large requests go to the pool
one by one.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from queue import SimpleQueue
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from tidemill.errors import TidemillError
from tidemill.ledger import EventBatch, EventReceipt, Ledger, Request
from tidemill_monitor.intake.arrow import read_arrow
from tidemill_monitor.intake.bodies import ARROW, Body, parse_json
from tidemill_monitor.intake.record_reading import read_rows
from tidemill_monitor.intake.row_faults import Sorted, merged_intake, require_rows
from tidemill_monitor.serving.champion import Champion
from tidemill_monitor.serving.scored_events import Scored, score_rows

__all__ = ["Predicted", "ScoreJob", "Scorer"]

MAX_JOBS = 64
PACE_SECONDS = 0.01

Scoring: TypeAlias = "Callable[[pa.Table, Champion, dt.datetime], Scored]"
Rows: TypeAlias = "list[Any] | Sorted"
Answering: TypeAlias = "Callable[[Scored, Sorted], Request | None]"


@dataclass(slots=True)
class Predicted:
    """What became of one request for predictions.

    Parameters
    ----------
    champion : Champion
    scored : Scored
        Good rows.
    sorted : Sorted
        The request's rows.
    offset : int
        Where this request's rows begin in the batch that was handed to the ledger, which may
        hold other requests' rows as well.
    receipt : Future of EventReceipt
        Done when the batch is durable.
    """

    champion: Champion
    scored: Scored
    sorted: Sorted
    offset: int
    receipt: Future[EventReceipt]

    def duplicates(self, receipt: EventReceipt) -> list[int]:
        """Good rows, counted among themselves, whose ids were stored before."""
        rows = np.array(receipt.duplicates, np.int64) - self.offset
        return sorted(rows[(rows >= 0) & (rows < self.sorted.table.num_rows)].tolist())


@dataclass(slots=True)
class ScoreJob:
    """One request that waits.

    Parameters
    ----------
    body : Body
    done : Future of Predicted
    """

    body: Body
    done: Future[Predicted] = field(default_factory=Future)


class Scorer:
    """Predicts and stores.

    Parameters
    ----------
    ledger : Ledger
    clock : callable
    max_rows, max_bytes : int
        Of one request.
    segments : sequence of str
        Columns that labels are sorted by later.
    score : callable
        Predicts rows by a champion at a time.
    """

    def __init__(
        self,
        ledger: Ledger,
        clock: Callable[[], dt.datetime],
        *,
        max_rows: int,
        max_bytes: int,
        segments: Sequence[str],
        score: Scoring = score_rows,
    ) -> None:
        self._ledger, self._clock = ledger, clock
        self._max_rows, self._max_bytes = max_rows, max_bytes
        self._segments, self._score = tuple(segments), score
        self._waiting: SimpleQueue[tuple[ScoreJob, Champion] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to serve small requests."""
        self._thread = threading.Thread(target=self._serve, name="scorer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Serve what waits, then end."""
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join(10)
            self._thread = None

    def put(self, body: Body, champion: Champion) -> Future[Predicted]:
        """Predict a small request together with others."""
        job = ScoreJob(body)
        self._waiting.put((job, champion))
        return job.done

    def predict(self, body: Body, champion: Champion, request: Answering | None) -> Predicted:
        """Predict one request by itself, in this thread.

        Parameters
        ----------
        request : callable or None
            Gives the idempotency key, with the answer, of what was predicted.
        """
        rows = self._sorted(self._rows(body, champion), champion)
        scored = self._score(rows.table, champion, self._clock())
        answered = request(scored, rows) if request is not None else None
        return self._stored([rows], scored, champion, answered)[0]

    def outcomes(self, champion: Champion) -> tuple[str, ...]:
        """Columns that the ledger keeps at hand for labels."""
        known = {column.name for column in champion.schema.features}
        return ("prediction", "score", *(name for name in self._segments if name in known))

    def _serve(self) -> None:
        ended, due = False, 0.0
        found: list[tuple[ScoreJob, Champion] | None] = []
        while not ended:
            crowded = len(found) > 1 or not self._waiting.empty()
            found = [self._waiting.get()]
            if crowded:
                time.sleep(max(0.0, due - time.monotonic()))
            due = time.monotonic() + PACE_SECONDS
            while len(found) < MAX_JOBS and not self._waiting.empty():
                found.append(self._waiting.get())
            ended = None in found
            jobs = [item for item in found if item is not None]
            champions = {id(champion): champion for _, champion in jobs}
            for champion in champions.values():
                self._answer([job for job, own in jobs if own is champion], champion)

    def _answer(self, jobs: list[ScoreJob], champion: Champion) -> None:
        """Give each job its answer or its error; whatever happens, every job is done."""
        parsed: list[tuple[ScoreJob, Rows]] = []
        for job in jobs:
            try:
                parsed.append((job, self._rows(job.body, champion)))
            except Exception as error:  # the job's own: the others go on
                job.done.set_exception(error)
        try:
            found = self._together([rows for _, rows in parsed], champion) if parsed else []
        except Exception as error:
            store = isinstance(error, TidemillError) and error.retryable
            if store or len(parsed) == 1:  # the store's trouble is everybody's
                _fail(parsed, error)
                return
            for job, _ in parsed:  # one of them is at fault: let it not harm the others
                self._answer([job], champion)
        else:
            for (job, _), predicted in zip(parsed, found, strict=True):
                job.done.set_result(predicted)

    def _together(self, rows: list[Rows], champion: Champion) -> list[Predicted]:
        found = _sorted_together(rows, champion)
        tables = [own.table for own in found]
        table = tables[0] if len(tables) == 1 else pa.concat_tables(tables).combine_chunks()
        scored = self._score(table, champion, self._clock())
        return self._stored(found, scored, champion, None)

    def _rows(self, body: Body, champion: Champion) -> Rows:
        """The rows of one body: parsed JSON, or what an Arrow stream holds, sorted already."""
        body, plan = body.opened(self._max_bytes), champion.shape.records
        if body.kind == ARROW:
            found = read_arrow(
                body.content, plan, max_rows=self._max_rows, max_bytes=2 * self._max_bytes
            )
            return require_rows(found, found.rows)
        rows, _ = parse_json(body, plan.kind, max_rows=self._max_rows)
        return require_rows(rows, len(rows))

    def _sorted(self, rows: Rows, champion: Champion) -> Sorted:
        return rows if isinstance(rows, Sorted) else read_rows(rows, champion.shape.records)

    def _stored(
        self, rows: list[Sorted], scored: Scored, champion: Champion, request: Request | None
    ) -> list[Predicted]:
        batch = EventBatch(
            scored.events,
            champion.version,
            outcomes=self.outcomes(champion),
            intake=merged_intake(rows, self._clock(), champion.version),
            request=request,
        )
        receipt = self._ledger.events.submit(batch)
        found, offset = [], 0
        for own in rows:
            stop = offset + own.table.num_rows
            found.append(Predicted(champion, scored.slice(offset, stop), own, offset, receipt))
            offset = stop
        return found


def _fail(parsed: list[tuple[ScoreJob, Rows]], error: Exception) -> None:
    for job, _ in parsed:
        job.done.set_exception(error)


def _sorted_together(rows: list[Rows], champion: Champion) -> list[Sorted]:
    """Sort the rows of all requests in one go, and give each request its own."""
    plan = champion.shape.records
    lists = [own for own in rows if not isinstance(own, Sorted)]
    whole = read_rows([row for own in lists for row in own], plan)
    found: list[Sorted] = []
    start = 0
    for own in rows:
        if isinstance(own, Sorted):
            found.append(own)
            continue
        found.append(whole if len(lists) == 1 else _between(whole, start, start + len(own)))
        start += len(own)
    return found


def _between(whole: Sorted, start: int, stop: int) -> Sorted:
    low, high = np.searchsorted(whole.positions, (start, stop)).tolist()
    faults, altered = (
        [
            replace(fault, rows=mine - start)
            for fault in found
            if len(mine := fault.rows[(fault.rows >= start) & (fault.rows < stop)])
        ]
        for found in (whole.faults, whole.altered)
    )
    table = whole.table.slice(low, high - low)
    return Sorted(stop - start, table, whole.positions[low:high] - start, faults, altered)
