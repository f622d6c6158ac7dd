"""One training by several processes at once, each with its shards: the caller's side."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from tidemill.contracts import Blocks, Fit, FitJob, TargetSummary
from tidemill.errors import ServiceUnavailable, UsageError, WorkerLost
from tidemill.learning.meeting import MEETING_SECONDS, PORTS, Meeting, MeetingPlace
from tidemill.learning.rank import ENDED, RankJob
from tidemill.learning.targets import known_target

__all__ = ["fit_together"]

Learn = Callable[[FitJob, Mapping[str, Any]], Fit]
_LABEL = "train together"
_START = "from tidemill.learning.rank import run; run()"


def fit_together(
    learn: Learn,
    job: FitJob,
    shares: Sequence[Blocks],
    *,
    target: TargetSummary,
    needed_bytes: int,
    seconds: float = MEETING_SECONDS,
) -> Fit:
    """Fit with a process for each share of the rows, all at once, each in a worker of the engine.

    The validation blocks go to rank 0, whose fit is the result.

    Parameters
    ----------
    learn : callable
        What each rank does with its job and LightGBM's settings for the network; module-level.
    job : FitJob
        Its engine has a worker for each rank.
    shares : sequence of Blocks
        Of each rank; where they are fewer than ``job.ranks``, a warning of the result says so.
    target : TargetSummary
        Of all training rows, where the learner needs it.
    needed_bytes : int
        What a rank holds.
    seconds : float
        How long the first rank waits for the last.

    Raises
    ------
    UsageError
        If the engine has fewer workers.
    BudgetExceeded
        If a worker is known to have no room for ``needed_bytes``.
    ServiceUnavailable
        If the ranks do not all come in time, or do not reach each other.
    WorkerLost
        If one of them ended before the training did: then all end, and a retry begins anew.

    Notes
    -----
    Memory of a worker: the learner's, for its share of the rows. A rank ends with its worker or
    another rank at once, and a minute after one that stands still or whose machine is gone.
    """
    assert job.engine is not None  # noqa: S101 - who asks for such a strategy gives one
    engine, ranks = job.engine, len(shares)
    if engine.workers < ranks:
        raise UsageError(
            f"training.ranks: {ranks} need as many workers at once, and the engine has "
            f"{engine.workers}",
            remedy=f"set TIDEMILL_WORKERS={ranks}, or training.ranks to {engine.workers}",
            ranks=ranks,
            workers=engine.workers,
        )
    bare = replace(job, summarised=partial(known_target, target), report=None, engine=None)
    bare = replace(bare, train=job.train.take(()))
    with Meeting(ranks, engine.host, seconds) as meeting:
        work = partial(_run_rank, learn=learn, job=bare, place=meeting.place)
        items = list(enumerate(shares))
        outcomes = dict(engine.stream(work, items, label=_LABEL, item_bytes=needed_bytes))
    if isinstance(outcomes[0], Fit):
        fit = outcomes[0]
        return replace(fit, warnings=(*fit.warnings, *_fewer(ranks, job.ranks)))
    errors = [outcome for outcome in outcomes.values() if isinstance(outcome, Exception)]
    if errors:  # of the others some may say no more than that this one has gone
        raise next((error for error in errors if isinstance(error, WorkerLost)), errors[0])
    if meeting.arrived < ranks:
        raise _not_met(meeting, ranks)
    raise WorkerLost(
        f"one of {ranks} ranks was lost during the training, and all of them have ended",
        remedy="run the same command again: the training begins anew; if it happens again, "
        "its worker may have too little memory: raise training.ranks",
        label=_LABEL,
    )


def _not_met(meeting: Meeting, ranks: int) -> ServiceUnavailable:
    address = f"{meeting.place.host}:{meeting.place.port}"
    others, remedy = "", ""
    if strangers := meeting.refused + meeting.silent:
        others = (
            f"; {strangers} other connections said something else ({meeting.refused}) or nothing "
            f"({meeting.silent}), the last from {meeting.stranger}"
        )
        remedy = f"end what connects there from {meeting.stranger}, or let none but the workers "
        remedy += f"reach the ports {PORTS[0]} to {PORTS[-1]}; "
    return ServiceUnavailable(
        f"{meeting.arrived} of {ranks} ranks met at {address}{others}",
        remedy=f"{remedy}give the engine {ranks} workers that are free at once and reach that "
        "address, or set training.ranks to fewer; then run the same again",
        ranks=ranks,
        arrived=meeting.arrived,
        refused=meeting.refused,
        silent=meeting.silent,
    )


def _fewer(ranks: int, wanted: int) -> tuple[str, ...]:
    if ranks == wanted:
        return ()
    return (f"training.ranks: {wanted}, but {ranks} shards with rows: as many ranks as shards",)


def _run_rank(item: tuple[int, Blocks], *, learn: Learn, job: FitJob, place: MeetingPlace) -> Any:
    """What came of a rank: a fit, an error, or None where it ended because another one did."""
    rank, share = item
    mine = replace(
        job, train=share, validation=job.validation if rank == 0 else job.validation.take(())
    )
    asked = pickle.dumps(RankJob(rank, place, partial(learn, mine)))
    process = subprocess.Popen(  # noqa: S603 - this interpreter, on a fixed line
        [sys.executable, "-c", _START],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018
    try:
        with suppress(BrokenPipeError):  # it has ended: the reason is its code
            process.stdin.write(asked)
            process.stdin.flush()
        found = process.stdout.read()
        code = process.wait()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        with suppress(BrokenPipeError):
            process.stdin.close()
    if found:
        return pickle.loads(found)  # noqa: S301 - of the process that was started here
    return None if code == ENDED else _died(rank, code)


def _died(rank: int, code: int) -> WorkerLost:
    how = signal.Signals(-code).name if code < 0 else f"code {code}"
    return WorkerLost(
        f"rank {rank} of the training died ({how}), and all others have ended",
        remedy="run the same command again: the training begins anew; if it happens again, its "
        "machine may have too little memory: raise training.ranks",
        label=_LABEL,
        rank=rank,
    )
