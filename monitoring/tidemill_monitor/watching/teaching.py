"""Which labelled rows the next retraining may learn from, and how many it must leave out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tidemill.ledger import Ledger, Take, owed_after, takes_of

__all__ = ["Teaching", "teaching_rows"]


@dataclass(frozen=True, slots=True)
class Teaching:
    """Labelled rows that nobody was given yet.

    Parameters
    ----------
    labels : (int, int)
        Numbers of the newest of them, (after, through].
    takes : tuple of Take
        Those that may teach: of these numbers, and of what earlier decisions left out.
    rows, left_out_rows : int
        How many those are, and how many are owed to a later decision.
    """

    labels: tuple[int, int]
    takes: tuple[Take, ...]
    rows: int
    left_out_rows: int

    def noted(self) -> dict[str, Any]:
        """As the evidence of a decision keeps it."""
        return {
            "labels_after": self.labels[0],
            "labels_through": self.labels[1],
            "takes": [take.to_json() for take in self.takes],
            "labelled_rows": self.rows,
            "left_out_rows": self.left_out_rows,
        }


def teaching_rows(ledger: Ledger, model: str, *, waiting: bool) -> Teaching:
    """Ask the ledger what a decision about a model would be given now.

    Parameters
    ----------
    waiting : bool
        Whether rows of windows that were not judged yet wait for their verdict.

    Notes
    -----
    What earlier decisions left out and is not there any more (events are deleted after a while) is
    forgotten here: takes without rows are dropped.
    """
    labels = ledger.decisions.labels_given(model), ledger.labels.mark()
    untaught = ledger.windows.untaught(waiting=waiting)
    new, *owed = takes_of(labels, ledger.decisions.owed(model), untaught)
    takes = [new, *(take for take in owed if _has_rows(ledger, take))]
    return Teaching(
        labels, tuple(takes), ledger.labels.taken(takes), ledger.labels.taken(owed_after(takes))
    )


def _has_rows(ledger: Ledger, take: Take) -> bool:
    return ledger.labels.taken([take, *owed_after([take])]) > 0
