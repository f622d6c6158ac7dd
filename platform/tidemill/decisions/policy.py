"""The first policy: harm in k of n windows, enough labels, a pause, a budget, approval or not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from tidemill.config import RetrainingConfig
from tidemill.decisions.history import Decision, History, PastDecision, WindowFact
from tidemill.schema import Verdict

__all__ = ["BUDGET_DAYS", "decide", "left_out_clause"]

BUDGET_DAYS = 30
"""The month of ``monthly_budget``: the days before now."""


def decide(history: History, policy: RetrainingConfig, now: datetime) -> Decision:
    """Decide whether to retrain the champion now.

    Pure: the same arguments give the same decision. Whatever the history,

    - it never fires from rows that a hard fault touched: windows with a broken feed are no
      evidence, neither for harm nor against it, and ``history.labelled_rows`` leaves out their
      rows, which must not teach; so taking them out of the history changes nothing;
    - it never fires while a decision is open, about whatever version, so asking again after a
      fire changes nothing;
    - it never fires within ``cooldown_seconds`` of the last fire (of its end, if it has ended;
      a rejected one counts too), nor beyond ``monthly_budget`` fires in 30 days (rejected ones
      do not count);
    - windows that an earlier fire about this champion has seen are not evidence again;
    - a fire that was superseded before it began counts for nothing of this.

    A window counts once it can tell: with ``on: confirmed harm`` that takes labels, so windows
    whose labels are still to come neither accuse nor acquit.

    Parameters
    ----------
    history : History
    policy : RetrainingConfig
    now : datetime
        UTC, as all times in ``history``.

    Returns
    -------
    Decision
        Its reason is one sentence that names figures and, where it suppresses, the first thing
        that says no; ``evidence["blocked_by"]`` names all of them.
    """
    judged = _judged(history)
    telling = [w for w in judged if _tells(w, policy)][-policy.of :]
    harmed = [w for w in telling if w.verdict in _harms(policy)]
    evidence: dict[str, Any] = {
        "champion_version": history.champion_version,
        "windows": [w.window_id for w in telling],
        "harmed": [w.window_id for w in harmed],
        "needed": policy.windows,
        "of": policy.of,
        "labelled_rows": history.labelled_rows,
        "left_out_rows": history.left_out_rows,
        "fires_in_30_days": len(_recent_fires(history.decisions, now)),
        "blocked_by": [],
    }
    if reason := _too_little(history, judged, harmed, policy):
        return Decision("hold", reason, evidence)
    blocks = _blocks(history, policy, now)
    found = f"{_names(policy)} in {len(harmed)} of the last {len(telling)} windows that can tell"
    if blocks:
        evidence["blocked_by"] = [name for name, _ in blocks]
        return Decision("suppress", f"{found}, but {blocks[0][1]}", evidence)
    left_out = left_out_clause(history.left_out_rows)
    rows = f"{history.labelled_rows:,} labelled rows to learn from{left_out}"
    reason = f"{found} of champion {history.champion_version}, and {rows}"
    return Decision("fire", reason, evidence, needs_approval=policy.approval)


def _judged(history: History) -> list[WindowFact]:
    """Windows of all rows that this champion answered, with a verdict, not yet acted upon."""
    fires = [d.opened_at for d in _fires(history.decisions) if _about(d, history)]
    seen = max(fires, default=None)
    return [
        w
        for w in history.windows
        if w.verdict is not None
        and not w.segment
        and w.champion_version == history.champion_version
        and (seen is None or w.closed_at > seen)
    ]


def _tells(window: WindowFact, policy: RetrainingConfig) -> bool:
    if window.verdict == Verdict.BROKEN_FEED:
        return False
    return policy.on == Verdict.SUSPECTED_HARM or window.labelled_rows > 0


def _harms(policy: RetrainingConfig) -> tuple[str, ...]:
    if policy.on == Verdict.SUSPECTED_HARM:
        return (Verdict.SUSPECTED_HARM, Verdict.CONFIRMED_HARM)
    return (Verdict.CONFIRMED_HARM,)


def _names(policy: RetrainingConfig) -> str:
    return " or ".join(_harms(policy))


def _too_little(
    history: History,
    judged: Sequence[WindowFact],
    harmed: Sequence[WindowFact],
    policy: RetrainingConfig,
) -> str | None:
    """Why there is no evidence for a retraining; None if there is."""
    if len(harmed) >= policy.windows:
        return None
    if opened := [d for d in history.decisions if d.is_open]:
        return f"a retraining of champion {opened[0].champion_version} is under way"
    if judged and judged[-1].verdict == Verdict.BROKEN_FEED:
        return (
            f"{_names(policy)} in {len(harmed)} windows whose feed was whole; the newest "
            f"({judged[-1].window_id}) is a broken feed: that is for the data's owner to mend"
        )
    if not judged:
        return f"no window of champion {history.champion_version} has been judged yet"
    return (
        f"{_names(policy)} in {len(harmed)} of the last {policy.of} windows that can tell; "
        f"{policy.windows} are needed"
    )


def _blocks(history: History, policy: RetrainingConfig, now: datetime) -> list[tuple[str, str]]:
    """Everything that forbids a retraining: its name, and its clause of the reason."""
    found = []
    if opened := [d for d in history.decisions if d.is_open]:
        about = f"decision {opened[0].id} about champion {opened[0].champion_version}"
        found.append(("open decision", f"{about} is open"))
    if not policy.enabled:
        found.append(("disabled", "monitoring.retraining.enabled is false"))
    if history.labelled_rows < policy.min_labels:
        rows = f"{history.labelled_rows:,} of {policy.min_labels:,} labelled rows"
        said = f"there are only {rows} to learn from{left_out_clause(history.left_out_rows)}"
        found.append(("labels", said))
    if (until := _cool_at(history.decisions, policy)) is not None and until > now:
        found.append(
            (
                "cool-down",
                f"the pause after the last retraining lasts until {until:%Y-%m-%d %H:%M} UTC",
            )
        )
    if (spent := len(_recent_fires(history.decisions, now))) >= policy.monthly_budget:
        budget = f"{spent} of {policy.monthly_budget} retrainings in {BUDGET_DAYS} days"
        found.append(("budget", f"the budget is spent: {budget}"))
    return found


def left_out_clause(rows: int) -> str:
    """How many more labelled rows there are, and why they do not teach; nothing of none.

    >>> left_out_clause(0)
    ''
    """
    why = "a hard fault touched their windows, or these have no verdict yet"
    return f" ({rows:,} more are left out: {why})" if rows else ""


def _fires(decisions: Sequence[PastDecision]) -> list[PastDecision]:
    return [d for d in decisions if d.action == "fire" and d.state != "superseded"]


def _about(decision: PastDecision, history: History) -> bool:
    return decision.champion_version == history.champion_version


def _cool_at(decisions: Sequence[PastDecision], policy: RetrainingConfig) -> datetime | None:
    """When the pause after the last fire ends."""
    last = max(
        (max(d.opened_at, d.closed_at or d.opened_at) for d in _fires(decisions)), default=None
    )
    return last + timedelta(seconds=policy.cooldown_seconds) if last is not None else None


def _recent_fires(decisions: Sequence[PastDecision], now: datetime) -> list[PastDecision]:
    """Fires of the last 30 days that nobody rejected."""
    since = now - timedelta(days=BUDGET_DAYS)
    return [d for d in _fires(decisions) if d.opened_at > since and d.state != "rejected"]
