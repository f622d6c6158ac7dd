"""What the reduction did, for people."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["ReductionReport"]


@dataclass(frozen=True)
class ReductionReport:
    """The reduction of one dataset.

    Parameters
    ----------
    features_in : int
        Raw feature columns of the schema.
    features_used : int
        Raw feature columns that the reducer needs.
    features_out : int
        Columns of the reduced matrix.
    names : tuple of str
        Their names.
    dropped : dict of str to str
        Reason by raw feature, or by encoded column where others of its feature stay.
    rare_categories : dict of str to int
        Categories in the rare bucket, by feature with categories (an estimate where a feature
        has more than the profile counts).
    explained_variance : tuple of float
        Share of each component; empty without projection.
    rows : int
        Training rows behind it.
    redundancy : str
        What columns were compared by: ``correlation``, or of more than 4,000 ``copies``.
    steps : tuple of dict
        What each step of other packages says of itself, beside its name ``step``.
    high_cardinality : tuple of dict
        Of columns with more categories than are kept: whether they were encoded by the target, why,
        and by what figures.
    free_text : tuple of dict
        Likewise of columns of free text.
    """

    features_in: int
    features_used: int
    features_out: int
    names: tuple[str, ...]
    dropped: dict[str, str]
    rare_categories: dict[str, int]
    explained_variance: tuple[float, ...]
    rows: int
    redundancy: str = "correlation"
    steps: tuple[dict[str, Any], ...] = ()
    high_cardinality: tuple[dict[str, Any], ...] = ()
    free_text: tuple[dict[str, Any], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The content of reports/reduction.json."""
        document = asdict(self)
        document["names"] = list(self.names)
        document["steps"] = list(self.steps)
        document["high_cardinality"] = list(self.high_cardinality)
        document["free_text"] = list(self.free_text)
        for name in ("steps", "high_cardinality", "free_text"):
            if not document[name]:  # as it was before there could be any
                del document[name]
        document["explained_variance"] = list(self.explained_variance)
        document["explained_variance_total"] = round(sum(self.explained_variance), 9)
        return document
