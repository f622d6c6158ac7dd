"""What a decision is made from, and what it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

__all__ = ["Action", "Decision", "History", "PastDecision", "WindowFact"]

Action = Literal["fire", "hold", "suppress"]


@dataclass(frozen=True, slots=True)
class WindowFact:
    """What is known of a closed window.

    Parameters
    ----------
    window_id : str
    closed_at : datetime
        UTC.
    verdict : str or None
        The verdict's name; None where nothing was concluded (too few rows).
    labelled_rows : int
        Rows whose truth the verdict rests on; 0 while there are too few labels to measure.
    champion_version : int
        The version that answered these rows.
    segment : str
        Empty for the window of all rows; only those count towards a retraining.
    """

    window_id: str
    closed_at: datetime
    verdict: str | None
    labelled_rows: int
    champion_version: int
    segment: str = ""


@dataclass(frozen=True, slots=True)
class PastDecision:
    """A decision in the ledger.

    Parameters
    ----------
    id : str
    champion_version : int
        The version it was to replace.
    action : str
        ``fire``, ``hold`` or ``suppress``.
    state : str
        As in the ledger; ``rejected`` is a fire that a person refused, ``superseded`` one whose
        champion was replaced before its retraining began, ``stopped`` one whose retraining a
        person ended: it counts like one that has failed.
    opened_at, closed_at : datetime
        UTC; a fire without ``closed_at`` is open.
    """

    id: str
    champion_version: int
    action: Action
    state: str
    opened_at: datetime
    closed_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether a retraining was started, or waits for its approval, and has not ended."""
        return self.action == "fire" and self.closed_at is None


@dataclass(frozen=True, slots=True)
class History:
    """All that the policy looks at.

    Parameters
    ----------
    champion_version : int
        The version that serves.
    windows : tuple of WindowFact
        Closed windows, newest last; the last ``of`` windows that can tell suffice.
    decisions : tuple of PastDecision
        Of all versions, in any order: those of the cool-down and of 30 days suffice, the one
        that is open, and the last of this champion.
    labelled_rows : int
        Labelled live rows that a retraining may use.
    left_out_rows : int
        Labelled live rows beside them that must not teach: a hard fault touched their windows,
        or nobody knows yet, because these were not judged.
    """

    champion_version: int
    windows: tuple[WindowFact, ...] = ()
    decisions: tuple[PastDecision, ...] = ()
    labelled_rows: int = 0
    left_out_rows: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now, and why.

    Parameters
    ----------
    action : str
        ``fire``: start a retraining. ``hold``: there is no evidence for one. ``suppress``: there
        is, and something else says no.
    reason : str
        One sentence.
    evidence : dict
        JSON-friendly: the windows looked at and those harmed, labelled rows and those left out,
        retrainings in 30 days, and ``blocked_by``: everything that says no.
    needs_approval : bool
        Of a fire: a person must approve it first.
    """

    action: Action
    reason: str
    evidence: dict[str, Any] = field(default_factory=dict)
    needs_approval: bool = False
