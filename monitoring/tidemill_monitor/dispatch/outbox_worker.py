"""One worker of the outbox: claims messages, delivers them, notes how that went."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence

import structlog

from tidemill.errors import TidemillError
from tidemill.ledger import Ledger, Message, back_off_seconds
from tidemill.repeating import Every

__all__ = ["Deliver", "OutboxWorker"]

Deliver = Callable[[Message, dt.datetime], None]

_LEASE_SECONDS = 60.0
_LONGEST_REST_SECONDS = 3600.0  # as the ledger's longest pause
_log = structlog.get_logger("tidemill_monitor.outbox")


class OutboxWorker:
    """Delivers messages of some kinds, one after the other.

    A message is claimed under a lease, delivered, and noted as done; killed in between, it is
    claimed again when the lease ends, so receivers may see it twice and tell by its id.

    Parameters
    ----------
    ledger : Ledger
    deliver : dict of str to callable
        By kind of message. What it raises is kept with the message: an error whose kind can be
        retried is tried again later (back-off with jitter), any other makes a dead letter.
    clock : callable
        Now, UTC.
    name : str
        Of the worker.
    cap_seconds : float or None
        The longest pause between attempts; None leaves it to the ledger (an hour).
    pause_seconds : float
        Between looks, unless woken.
    targets : sequence of str, optional
        Only messages to these; None: to all.
    besides : sequence of str
        No messages to these.

    Notes
    -----
    Where a receiver says when to come back (an error with the field ``retry_after``, in seconds),
    no other message is tried before: an hour at most, and not across a restart. ``loop`` works
    in a thread of its own, woken where something is enqueued; it ends after the message at hand.
    """

    def __init__(
        self,
        ledger: Ledger,
        deliver: Mapping[str, Deliver],
        clock: Callable[[], dt.datetime],
        *,
        name: str,
        cap_seconds: float | None = None,
        pause_seconds: float = 1.0,
        targets: Sequence[str] | None = None,
        besides: Sequence[str] = (),
    ) -> None:
        self._ledger = ledger
        self._deliver = dict(deliver)
        self._clock = clock
        self._cap_seconds = cap_seconds
        self._targets, self._besides = targets, tuple(besides)
        self._rests_until: dt.datetime | None = None
        self.loop = Every(pause_seconds, self._look, name=f"outbox-{name}", at_once=True)

    def work(self) -> int:
        """Deliver what is due; return how many messages were tried."""
        tried = 0
        while not (self.loop.stopping or self._rests()):
            claimed = self._ledger.outbox.claim(
                limit=1,
                lease_seconds=self._cap_seconds or _LEASE_SECONDS,
                at=self._clock(),
                kinds=tuple(self._deliver),
                targets=self._targets,
                besides=self._besides,
            )
            if not claimed:
                return tried
            self._one(claimed[0])
            tried += 1
        return tried

    def _one(self, message: Message) -> None:
        try:
            self._deliver[message.kind](message, self._clock())
        except TidemillError as exc:
            wait = exc.fields.get("retry_after")
            said = f"{exc.code}: {exc.message}"
            self._failed(message, said, lasting=not exc.retryable, retry_after=wait)
        except Exception as exc:
            _log.exception("delivery_defect", message=message.id, kind=message.kind)
            self._failed(message, f"{type(exc).__name__} (a defect; see the log)", lasting=False)
        else:
            self._ledger.outbox.finish(message, at=self._clock())

    def _rests(self) -> bool:
        until, now = self._rests_until, self._clock()
        longest = dt.timedelta(seconds=_LONGEST_REST_SECONDS)  # beyond it, the clock was set back
        return until is not None and now < until <= now + longest

    def _failed(
        self, message: Message, error: str, *, lasting: bool, retry_after: float | None = None
    ) -> None:
        if retry_after:
            wait = min(retry_after, _LONGEST_REST_SECONDS)
            self._rests_until = self._clock() + dt.timedelta(seconds=wait)
        if not lasting and self._waits_for_its_lease(message):
            _log.warning(
                "delivery_failed",
                message=message.id,
                kind=message.kind,
                attempt=message.attempts,
                state=message.state,
                error=error,
            )
            return
        after = self._ledger.outbox.fail(
            message,
            error=error,
            at=self._clock(),
            permanent=lasting,
            retry_after=retry_after,
        )
        _log.warning(
            "delivery_failed",
            message=message.id,
            kind=message.kind,
            attempt=message.attempts,
            state=after.state,
            error=error,
        )

    def _waits_for_its_lease(self, message: Message) -> bool:
        """Whether the ledger's pause would be longer than ours: then the lease's end is the time.

        A lease ends by itself, after ``cap_seconds``, and the message can be claimed again.
        """
        if self._cap_seconds is None:
            return False
        return back_off_seconds(message.id, message.attempts) > self._cap_seconds

    def _look(self) -> None:
        try:
            self.work()
        except TidemillError as exc:
            # The store is away: it says so in /readyz; we try again.
            _log.warning("outbox_waits", error=exc.message)
