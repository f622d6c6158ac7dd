"""A finding: one statistical statement about a window, with a sentence for people."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

from tidemill.profiling.floats import from_document, to_document

__all__ = ["Finding", "Kind"]

Kind = Literal[
    "quality",
    "territory",
    "repeats",
    "drift",
    "output drift",
    "label drift",
    "performance",
    "estimate",
    "change",
]


@dataclass(frozen=True, slots=True)
class Finding:
    """One statement about a window.

    Parameters
    ----------
    kind : str
        ``quality`` (flagged, it is a hard fault: the feed is broken), ``repeats`` (events came
        twice), ``territory`` (values that training did not know), ``drift``, ``output drift``,
        ``label drift`` (the world may have changed), ``performance``, ``estimate``, ``change``
        (the model may have become worse).
    feature : str
        The column; empty for the whole window.
    test : str
        For example ``psi``, ``null_rate``, ``roc_auc``.
    value : float
        The effect size; NaN where the rows do not define it.
    threshold : float
        What the value is held to; infinity where nothing can be told apart from chance.
    p_value : float or None
        For information: on many rows everything has a small one. It never flags.
    flagged : bool
        Whether the value lies beyond the threshold (``frozen``: at it, and not by chance).
    detail : str
        One short sentence for people.
    """

    kind: Kind
    feature: str
    test: str
    value: float
    threshold: float
    p_value: float | None
    flagged: bool
    detail: str

    def to_json(self) -> dict[str, Any]:
        """A JSON document; what is not finite becomes a text or null."""
        document = asdict(self)
        for name in ("value", "threshold", "p_value"):
            number = document[name]
            document[name] = None if number is None else to_document(number)
        return document

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        p_value = document["p_value"]
        return cls(
            kind=document["kind"],
            feature=document["feature"],
            test=document["test"],
            value=from_document(document["value"]),
            threshold=from_document(document["threshold"]),
            p_value=None if p_value is None else float(p_value),
            flagged=document["flagged"],
            detail=document["detail"],
        )
