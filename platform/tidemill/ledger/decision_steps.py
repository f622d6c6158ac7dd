"""The states of a decision: what each step makes of one, or why it cannot be taken.

::

    fire ----> awaiting approval --approve--> approved --report--> started --report--> finished
                     |                           ^                    |                 or failed
                     `--reject--> rejected       `------ retry <------'--------------------'
    suppress, hold --> suppressed

    awaiting approval, approved (and nothing has begun) --supersede--> superseded
    approved, started --stop--> stopped

Pure: a step gets the decision as it stands and returns the columns that change, or None where
nothing does. A decision is open until it has an end.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any

from tidemill.ledger.database import WrongState
from tidemill.ledger.decision import DecisionRow

__all__ = [
    "Change",
    "Step",
    "answered",
    "launched",
    "opened",
    "reported",
    "stopped",
    "superseded",
    "tried_again",
]

Change = dict[str, Any]
Step = Callable[[DecisionRow], Change | None]

_AWAITING = ("awaiting approval",)
_RUNNING = ("approved", "started")
_WAITING = (*_AWAITING, "approved")
_GIVEN_UP = ("failed", "stopped")


def opened(action: str, labels: tuple[int, int] | None, at: dt.datetime, **said: Any) -> Change:
    """The columns of a new decision; only one that fires is open and takes rows.

    Parameters
    ----------
    labels : (int, int) or None
        The label numbers (after, through] of the rows that it takes.
    **said
        ``needs_approval``, and the columns that are told as they are.
    """
    fires = action == "fire"
    waits = "awaiting approval" if said["needs_approval"] else "approved"
    return {
        **said,
        "action": action,
        "state": waits if fires else "suppressed",
        "attempt": 1,
        "labels_after": labels[0] if labels and fires else None,
        "labels_through": labels[1] if labels and fires else None,
        "note": "",
        "opened_at": at,
        "updated_at": at,
        "closed_at": None if fires else at,
    }


def answered(state: str, note: str, closed_at: dt.datetime | None = None) -> Step:
    """A person agrees (``approved``) or refuses (``rejected``, which is an end)."""

    def step(decision: DecisionRow) -> Change:
        _require(decision, _AWAITING)
        end = {} if closed_at is None else {"closed_at": closed_at}
        return {"state": state, "note": note, **end}

    return step


def stopped(note: str, at: dt.datetime) -> Step:
    """A person ends what was approved or runs."""

    def step(decision: DecisionRow) -> Change:
        _require(decision, _RUNNING)
        return {"state": "stopped", "note": _noted(decision, note), "closed_at": at}

    return step


def superseded(champion_version: int, at: dt.datetime) -> Step:
    """Another version serves than the one it is about; what has begun to run goes on."""

    def step(decision: DecisionRow) -> Change | None:
        about = decision.champion_version
        fresh = decision.state in _WAITING and decision.attempt == 1
        if about == champion_version or not fresh:
            return None
        said = f"version {champion_version} took the place of {about}"
        return {"state": "superseded", "note": _noted(decision, said), "closed_at": at}

    return step


def launched(attempt: int, flow_run_id: str, flow_run_url: str | None) -> Step:
    """The orchestrator took the attempt; an older attempt changes nothing."""

    def step(decision: DecisionRow) -> Change | None:
        if attempt != decision.attempt:
            return None
        return {"flow_run_id": flow_run_id, "flow_run_url": flow_run_url}

    return step


def reported(attempt: int, state: str, news: Mapping[str, Any], at: dt.datetime) -> Step:
    """The flow says that it ``started``, ``finished`` or ``failed``; again: no effect.

    Parameters
    ----------
    news : dict
        Columns that are told with it; those that are None are not.
    """

    def step(decision: DecisionRow) -> Change | None:
        if attempt != decision.attempt:
            raise WrongState.of(
                f"attempt {attempt} of decision",
                decision.id,
                f"superseded by attempt {decision.attempt}",
                "the newest",
            )
        if decision.state == state and state != "started":
            return None
        if (decision.state, state) == ("stopped", "failed"):
            return None
        if not (decision.state in _GIVEN_UP and state == "finished"):
            _require(decision, _RUNNING)
        told = {name: value for name, value in news.items() if value is not None}
        return {**told, "state": state, "closed_at": None if state == "started" else at}

    return step


def tried_again(decision: DecisionRow) -> Change:
    """Another attempt of what runs or has failed; it is open (again)."""
    _require(decision, (*_RUNNING, "failed"))
    return {
        "state": "approved",
        "attempt": decision.attempt + 1,
        "flow_run_id": None,
        "flow_run_url": None,
        "closed_at": None,
    }


def _require(decision: DecisionRow, allowed: tuple[str, ...]) -> None:
    if decision.state not in allowed:
        raise WrongState.of(
            "decision", decision.id, decision.state, " or ".join(allowed), decision.note
        )


def _noted(decision: DecisionRow, more: str) -> str:
    return "; ".join(filter(None, (decision.note, more)))
