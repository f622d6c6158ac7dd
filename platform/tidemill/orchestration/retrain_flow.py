"""What the flow of a retraining does, inside a flow run: fetch, learn, judge, report back."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import structlog

from tidemill.engines import open_engine
from tidemill.errors import ServiceUnavailable, TidemillError, UsageError
from tidemill.monitor_client import KEY_VARIABLE, MonitorClient, MonitorRefused
from tidemill.orchestration.crashes import recorded
from tidemill.orchestration.engine import PrefectEngine
from tidemill.orchestration.flows import LOCK_SECONDS, flow_run_id, flow_settings, mark_the_dead
from tidemill.storage import Workspace, workspace_lock

if TYPE_CHECKING:
    from tidemill.retraining import Outcome, Rows

__all__ = ["retrain_in_flow"]

Tell = Callable[..., Mapping[str, Any]]

_log = structlog.get_logger(__name__)


def retrain_in_flow(
    workspace: str,
    decision_id: str,
    attempt: int = 1,
    monitor_url: str = "",
    reason: str = "",
    work: str = "",
    engine: str | None = None,
) -> dict[str, Any]:
    """The body of the deployed flow: retrain for a decision of the monitor; returns the outcome.

    The steps are tasks, as stages are. The same decision again goes on where the last attempt
    ended, or finds the outcome; the monitor is told of either. Where there is an outcome the flow
    run has done its work: a monitor that cannot be told asks again when it is back.

    Parameters
    ----------
    decision_id : str
        The monitor's number of the decision.
    attempt : int
        Which flow run of the decision this is.
    monitor_url : str
        The key comes from the environment: TIDEMILL_MONITOR_KEY, of scope operate.
    work : str
        Names the retraining, with ``decision_id``; a monitor whose ledger was made anew counts
        from 1 again. Without it the decision alone does.
    engine : str or None
        Wins over the environment's.

    Raises
    ------
    TidemillError
        Whatever a step raised, as it is; the monitor has been told.
    """
    from tidemill.orchestration.artifacts import failures_published
    from tidemill.retraining import Order, outcome_of, sweep

    decision = str(decision_id)
    order = Order(_name(decision, work), reason)
    place = Workspace.at(workspace or ".")
    with failures_published(), _monitor(monitor_url) as monitor:
        mark_the_dead(place)

        def tell(state: str, **facts: Any) -> dict[str, Any]:
            document = {"attempt": attempt, "state": state, "flow_run_id": str(flow_run_id())}
            return monitor.report(decision, {**document, **facts})

        known = outcome_of(place, order.decision)
        if known is not None:
            # The monitor may not have heard of it, or has closed the decision long ago.
            _tell_outcome(tell, known.facts)
            with workspace_lock(place, wait_seconds=LOCK_SECONDS):
                sweep(place, order.decision)
            return known.facts
        with _failures_told(tell, lambda: outcome_of(place, order.decision)):
            accused = _accused(tell("started"))
            done = _retrained(
                place, lambda: monitor.labelled(decision), replace(order, accused=accused), engine
            )
        _tell_outcome(tell, done.facts)
    return done.facts


def _name(decision: str, work: str) -> str:
    if not work:
        return decision
    return f"{decision}-{hashlib.sha256(work.encode()).hexdigest()[:16]}"


def _accused(decision: Mapping[str, Any]) -> tuple[str, ...]:
    """The figures that confirmed the harm; an older monitor, and a request, name none."""
    return tuple(decision.get("evidence", {}).get("accused", ()))


def _tell_outcome(tell: Tell, facts: dict[str, Any]) -> None:
    try:
        tell(
            "finished",
            challenger_version=facts["version"],
            promoted=facts["promoted"],
            outcome=facts["reason"],
        )
    except (MonitorRefused, ServiceUnavailable) as error:
        # The retraining has its outcome whoever knows of it: the monitor asks again.
        _log.warning("outcome_not_told", error=error.message)


def _retrained(place: Workspace, rows: Rows, order: Any, engine: str | None) -> Outcome:
    from tidemill.orchestration.artifacts import RunLog
    from tidemill.orchestration.tasks import execute_as_task
    from tidemill.retraining import retrain

    settings = flow_settings(engine)
    with (
        workspace_lock(place, wait_seconds=LOCK_SECONDS),
        open_engine(settings, preload=("tidemill.stages",), store=place.store()) as opened,
        recorded(place, flow_run_id()),
    ):
        return retrain(
            place,
            rows,
            order,
            settings=settings,
            engine=PrefectEngine(opened),
            execute=execute_as_task,
            observer=RunLog(),
        )


@contextmanager
def _monitor(url: str) -> Iterator[MonitorClient]:
    key = os.environ.get(KEY_VARIABLE)
    if not (url and key):
        missing = KEY_VARIABLE if url else "monitor_url"
        raise UsageError(
            f"a retraining for a decision needs the monitor, and there is no {missing}",
            remedy=f"set {KEY_VARIABLE} in the worker's environment (`tidemill up` does), and give "
            "the flow the monitor's address; without a monitor: tidemill retrain --labelled FILE",
        )
    with MonitorClient(url, key) as monitor:
        yield monitor


@contextmanager
def _failures_told(tell: Tell, outcome: Callable[[], Outcome | None]) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        said = error.message if isinstance(error, TidemillError) else type(error).__name__
        # What failed is what matters, also where the monitor cannot be told: it asks Prefect.
        with suppress(TidemillError):
            if (done := outcome()) is not None:  # only what comes after it failed
                _tell_outcome(tell, done.facts)
            else:
                tell("failed", outcome=said)
        raise
