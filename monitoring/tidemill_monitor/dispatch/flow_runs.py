"""From a decision to a flow run: started once an attempt, followed until it ended, tried again."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from typing import Any

import structlog

from tidemill.config.monitoring import RetrainingConfig
from tidemill.errors import ServiceUnavailable
from tidemill.ledger import DecisionOpen, DecisionRow, Ledger, Message, NewMessage, WrongState
from tidemill_monitor.dates import is_ahead
from tidemill_monitor.dispatch.prefect import DEPLOYMENT, FlowRun, PrefectApi

__all__ = [
    "CANCEL_KIND",
    "KIND",
    "KINDS",
    "OUTCOME_KIND",
    "Retraining",
    "call_message",
    "run_key",
    "work_name",
]

KIND = "prefect"
CANCEL_KIND = "prefect-cancel"
OUTCOME_KIND = "prefect-outcome"
KINDS = (KIND, CANCEL_KIND, OUTCOME_KIND)

# Prefect may be away for a long time; the call waits in the outbox and is never given up.
_FOREVER = 1_000_000

_log = structlog.get_logger("tidemill_monitor.retraining")


def call_message(decision: DecisionRow, attempt: int, *, after: str | None = None) -> NewMessage:
    """The outbox row that starts one attempt of an approved decision.

    ``after`` is the flow run of the attempt before: if it was cancelled, none is to follow.
    """
    return NewMessage(
        kind=KIND,
        target=DEPLOYMENT,
        payload={
            "decision_id": decision.id,
            "attempt": attempt,
            **({"after": after} if after else {}),
        },
        key=f"{KIND}/{decision.id}-{attempt}",
        max_attempts=_FOREVER,
    )


def _cancel_message(decision: DecisionRow) -> NewMessage | None:
    """The outbox row that calls a decision's flow run off; None where Prefect has none yet."""
    if decision.flow_run_id is None:
        return None
    return NewMessage(
        kind=CANCEL_KIND,
        target=DEPLOYMENT,
        payload={"decision_id": decision.id, "flow_run_id": decision.flow_run_id},
        key=f"{CANCEL_KIND}/{decision.id}-{decision.attempt}",
        max_attempts=_FOREVER,
    )


def _outcome_message(decision: DecisionRow) -> NewMessage:
    """The outbox row that asks once what a stopped decision's flow run did before its end."""
    return NewMessage(
        kind=OUTCOME_KIND,
        target=DEPLOYMENT,
        payload={"decision_id": decision.id},
        key=f"{OUTCOME_KIND}/{decision.id}-{decision.attempt}",
        max_attempts=_FOREVER,
    )


def run_key(decision: DecisionRow, attempt: int) -> str:
    """Prefect's idempotency key of one attempt: decision and attempt.

    A number alone would meet that of another monitor, or of a store made anew, at the same
    Prefect server, which would then answer with a run of theirs.
    """
    return f"{work_name(decision)}-{attempt}"


def work_name(decision: DecisionRow) -> str:
    """What all attempts of a decision share, and no decision of another store has."""
    return f"{decision.model}:{decision.opened_at:%Y%m%dT%H%M%S.%f}:{decision.id}"


class Retraining:
    """The one that starts flow runs and hears how they ended.

    Everything that changes the attempt of a decision goes through one lock: a flow that reports
    its failure while we find the same failure at Prefect leads to one further attempt, not two.

    Parameters
    ----------
    ledger : Ledger
    prefect : PrefectApi
    policy : RetrainingConfig
    workspace, monitor_url : str
        Parameters of the flow.
    promoted : callable
        Called, without arguments, when a flow run has promoted a new champion.
    """

    def __init__(
        self,
        ledger: Ledger,
        prefect: PrefectApi,
        policy: RetrainingConfig,
        *,
        workspace: str,
        monitor_url: str,
        promoted: Callable[[], None] = lambda: None,
    ) -> None:
        self.prefect = prefect
        self._ledger = ledger
        self._policy = policy
        self._parameters = {"workspace": workspace, "monitor_url": monitor_url}
        self._promoted = promoted
        self._lock = threading.Lock()

    def launch(self, message: Message, now: dt.datetime) -> None:
        """Start the flow run that ``message`` asks for.

        The idempotency key is decision and attempt, so a call that is repeated (the monitor was
        killed before it could note the answer) finds the run that it started. A message whose
        attempt is over (rejected, already failed, another attempt) does nothing. Where the
        attempt before turns out to have been cancelled, the decision is stopped instead; one that
        was stopped while Prefect was called has its new flow run called off.

        Raises
        ------
        ServiceUnavailable, DeploymentMissing
            Prefect is away or lacks the deployment: try again later.
        """
        decision = self._ledger.decisions.get(message.payload["decision_id"])
        attempt = message.payload["attempt"]
        if not decision.open or decision.attempt != attempt:
            return
        if self._called_off(message.payload.get("after")):
            self._end_called_off(decision.id, attempt, now)
            return
        run = self._started(decision, attempt, run_key(decision, attempt))
        with self._lock:
            noted = self._ledger.decisions.launched(
                decision.id,
                attempt=attempt,
                flow_run_id=run.id,
                flow_run_url=self.prefect.run_url(run.id),
                at=now,
            )
        if noted.state == "stopped":
            self.prefect.cancel(run.id)
            return
        _log.info("retraining_started", decision=decision.id, attempt=attempt, flow_run=run.id)

    def ask_outcome(self, message: Message, _: dt.datetime) -> None:
        """Let a further flow run tell what a stopped retraining had done before its end.

        It finds the outcome and reports it, and the decision is finished; where there is none
        after all, its first report is refused and it does nothing.

        Raises
        ------
        ServiceUnavailable, DeploymentMissing
            Prefect is away or lacks the deployment: try again later.
        """
        decision = self._ledger.decisions.get(message.payload["decision_id"])
        if decision.state != "stopped":
            return  # its own report came after all
        run = self._started(
            decision, decision.attempt, f"{run_key(decision, decision.attempt)}-outcome"
        )
        _log.info("outcome_asked", decision=decision.id, flow_run=run.id)

    def _started(self, decision: DecisionRow, attempt: int, key: str) -> FlowRun:
        return self.prefect.start(
            {
                **self._parameters,
                "decision_id": str(decision.id),
                "attempt": attempt,
                "reason": decision.reason,
                "work": work_name(decision),
            },
            idempotency_key=key,
            tags=("tidemill", f"decision:{decision.id}"),
        )

    def stop(self, decision_id: int, *, note: str, now: dt.datetime) -> DecisionRow:
        """End a decision whose retraining was asked for or runs; its flow run is called off.

        Prefect is told from the outbox, also where it is away now. What the flow run reports
        afterwards changes nothing, unless it is an outcome that it had already.

        Raises
        ------
        RecordMissing, WrongState
            If there is no such decision, or nothing of it is under way.
        """
        with self._lock:
            stopped = self._ledger.decisions.stop(
                decision_id, note=note, at=now, message=_cancel_message
            )
        _log.info("retraining_stopped", decision=decision_id, flow_run=stopped.flow_run_id)
        return stopped

    def cancel(self, message: Message, _: dt.datetime) -> None:
        """Call the flow run of a stopped decision off.

        Raises
        ------
        ServiceUnavailable
            Prefect is away: try again later.
        """
        self.prefect.cancel(message.payload["flow_run_id"])

    def report(
        self, decision_id: int, *, attempt: int, state: str, now: dt.datetime, **facts: Any
    ) -> DecisionRow:
        """Take what the flow says of itself; a failure starts the next attempt, if one is left.

        A flow run that fails because somebody cancelled it in Prefect stops its decision. Where
        Prefect cannot be asked that now, it is asked before the next attempt starts.

        The same report again changes nothing, unless we were killed between a failure and the
        next attempt: then it starts that.

        Raises
        ------
        DecisionMissing, WrongState
            See the ledger.
        """
        if facts.get("flow_run_id"):
            facts.setdefault("flow_run_url", self.prefect.run_url(facts["flow_run_id"]))
        if state == "failed" and self._known_called_off(facts.get("flow_run_id")):
            return self._end_called_off(decision_id, attempt, now)
        with self._lock:
            before = self._ledger.decisions.get(decision_id)
            if state == "failed" and attempt < before.attempt:
                return before  # told before, and the next attempt is under way
            after = self._ledger.decisions.report(
                decision_id, attempt=attempt, state=state, at=now, **facts
            )
            if after.state == "failed" and (before.state != "failed" or self._dropped(before, now)):
                after = self._again(after, now)
        if after.state == "finished" and after.promoted:
            self._promoted()
        return after

    def follow(self, now: dt.datetime) -> list[int]:
        """Ask Prefect about the flow runs of open decisions; return decisions that it changed.

        A run that crashed, failed or was deleted without telling us leads to the next attempt, or
        to the end of the decision. So does a failure that we noted and were killed before we asked
        for the next attempt. One that was cancelled stops its decision. One that completed though
        its decision was stopped, and did not tell, is asked what it did.

        Raises
        ------
        ServiceUnavailable
            If Prefect is away: nothing is concluded from that.
        """
        changed = [
            decision.id
            for decision in self._ledger.decisions.list(state="failed", limit=20)
            if self._dropped(decision, now) and self._taken_up(decision, now)
        ]
        for decision in self._ledger.decisions.open_ones():
            if not decision.flow_run_id:
                continue
            run = self.prefect.flow_run(decision.flow_run_id)
            if run.state == "CANCELLED":
                ended = self._end_called_off(decision.id, decision.attempt, now).state == "stopped"
            else:
                ended = (run.failed or run.completed) and self._ended(decision, run, now)
            if ended:
                changed.append(decision.id)
        self._follow_stopped(now)
        return changed

    def _follow_stopped(self, now: dt.datetime) -> None:
        """Ask what a run did that completed all the same, and told nobody."""
        for decision in self._ledger.decisions.list(state="stopped", limit=20):
            place = f"retraining/stopped/{decision.id}-{decision.attempt}"
            if not decision.flow_run_id or self._ledger.notes.get(place) is not None:
                continue
            run = self.prefect.flow_run(decision.flow_run_id)
            if run.completed and self._overdue(decision, now):
                self._ledger.outbox.add(_outcome_message(decision), at=now)
            elif not (run.failed or run.state == "CANCELLED"):
                continue  # it may complete yet, or its own report may be on its way
            self._ledger.notes.put(place, run.state, now)

    def _called_off(self, flow_run_id: str | None) -> bool:
        return bool(flow_run_id) and self.prefect.flow_run(str(flow_run_id)).called_off

    def _known_called_off(self, flow_run_id: str | None) -> bool:
        try:
            return self._called_off(flow_run_id)
        except ServiceUnavailable:
            return False  # asked again before another one starts

    def _end_called_off(self, decision_id: int, attempt: int, now: dt.datetime) -> DecisionRow:
        """Stop a decision whose flow run was cancelled in Prefect, unless it went on meanwhile."""
        with self._lock:
            current = self._ledger.decisions.get(decision_id)
            if not current.open or current.attempt != attempt:
                return current
            _log.info("retraining_cancelled", decision=decision_id, attempt=attempt)
            return self._ledger.decisions.stop(decision_id, note="cancelled in Prefect", at=now)

    def _ended(self, decision: DecisionRow, run: FlowRun, now: dt.datetime) -> bool:
        with self._lock:
            current = self._ledger.decisions.get(decision.id)
            if not current.open or current.flow_run_id != run.id:
                return False
            if run.completed and not self._overdue(current, now):
                return False  # its report may still be on its way
            self._ledger.decisions.report(
                decision.id,
                attempt=current.attempt,
                state="failed",
                at=now,
                flow_run_id=run.id,
                outcome={"error": _epitaph(run), "found_by": "monitor"},
            )
            failed = self._ledger.decisions.get(decision.id)
            _log.warning("retraining_run_lost", decision=decision.id, state=run.state)
            # One that completed has its outcome and could not tell it: whatever the limit.
            self._again(failed, now, within_limit=not run.completed)
        return True

    def _dropped(self, decision: DecisionRow, now: dt.datetime) -> bool:
        """Whether a failed decision has attempts left, and nobody has gone on to another one."""
        if decision.attempt >= self._limit(decision) or decision.closed_at is None:
            return False
        if now - decision.closed_at > _RECENT:
            return False
        newest = self._ledger.decisions.latest(decision.model)
        return newest is not None and newest.id == decision.id

    def _taken_up(self, decision: DecisionRow, now: dt.datetime) -> bool:
        with self._lock:
            current = self._ledger.decisions.get(decision.id)
            if (current.state, current.attempt) != ("failed", decision.attempt):
                return False
            _log.warning("retraining_taken_up", decision=decision.id, attempt=decision.attempt)
            return self._again(current, now).open

    def _limit(self, decision: DecisionRow) -> int:
        """The attempts that a decision was given; a limit raised later revives no old one."""
        given = decision.evidence.get("policy", {}).get("max_attempts", self._policy.max_attempts)
        return min(int(given), self._policy.max_attempts)

    def _again(
        self, decision: DecisionRow, now: dt.datetime, *, within_limit: bool = True
    ) -> DecisionRow:
        if within_limit and decision.attempt >= self._limit(decision):
            return decision
        attempt = decision.attempt + 1
        try:
            return self._ledger.decisions.retry(
                decision.id,
                at=now,
                message=lambda again: call_message(again, attempt, after=decision.flow_run_id),
            )
        except (DecisionOpen, WrongState):  # another one took its place meanwhile
            return decision

    def _overdue(self, decision: DecisionRow, now: dt.datetime) -> bool:
        """Whether a flow run that ended well should have reported long ago."""
        first = f"retraining/completed/{decision.id}-{decision.attempt}"
        seen = self._ledger.notes.get(first)
        if seen is None or is_ahead(dt.datetime.fromisoformat(seen), now):
            self._ledger.notes.put(first, now.isoformat(), now)
            return False
        return now - dt.datetime.fromisoformat(seen) > _GRACE


_GRACE = dt.timedelta(minutes=2)
_RECENT = dt.timedelta(days=1)


def _epitaph(run: FlowRun) -> str:
    if run.completed:
        return f"flow run {run.id} completed and never reported what it did"
    if run.state == "MISSING":
        return f"flow run {run.id} is unknown to Prefect: it was deleted"
    return f"flow run {run.id} ended as {run.state} without reporting"
