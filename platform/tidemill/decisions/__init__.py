"""When to retrain: pure policy, from the history of verdicts and decisions to the next one."""

from tidemill.decisions.history import Decision, History, PastDecision, WindowFact
from tidemill.decisions.policy import BUDGET_DAYS, decide, left_out_clause

__all__ = [
    "BUDGET_DAYS",
    "Decision",
    "History",
    "PastDecision",
    "WindowFact",
    "decide",
    "left_out_clause",
]
