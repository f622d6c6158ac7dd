"""reports/validation.json: what Great Expectations found, what became of the rows, and a hash."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tidemill.config import IngestionConfig
from tidemill.errors import IntegrityError
from tidemill.ingestion.acceptance import FailedExpectation, Reason, ScanTotals
from tidemill.storage import hash_json, is_left, read_json, write_json

__all__ = ["read_report", "write_report"]

_HASH = "sha256"
_ANEW = "run: tidemill run (it makes it anew)"


def write_report(
    path: Path,
    document: dict[str, Any],
    totals: ScanTotals,
    failed: Sequence[FailedExpectation],
    config: IngestionConfig,
    refusal: Exception | None,
) -> None:
    """Write what Great Expectations found and what became of the rows, atomically."""
    told = _with(document, _decided(totals, failed, config, refusal))
    write_json(path, _with(told, {**told["meta"]["tidemill"], _HASH: hash_json(told)}))


def read_report(path: Path, *, remedy: str = _ANEW) -> dict[str, Any]:
    """Read a report. One of before reports had a hash is read as it is.

    Raises
    ------
    IntegrityError
        If it is missing, or not what was written.
    """
    try:
        found = read_json(path)
        decided = dict(found["meta"].get("tidemill", {}))
        noted = decided.pop(_HASH, None)
        whole = noted in (None, hash_json(_with(found, decided)))
    except IntegrityError:
        if not is_left(path):
            raise
        whole = False
    except (AttributeError, KeyError, TypeError, ValueError):
        whole = False
    if not whole:
        raise IntegrityError(
            f"{path} is not what was written",
            remedy=remedy,
            path=str(path),
        )
    return dict(found)


def _with(document: dict[str, Any], decided: dict[str, Any]) -> dict[str, Any]:
    # Where Great Expectations' schema lets others write: it refuses what it does not know.
    return {**document, "meta": {**document["meta"], "tidemill": decided}}


def _decided(
    totals: ScanTotals,
    failed: Sequence[FailedExpectation],
    config: IngestionConfig,
    refusal: Exception | None,
) -> dict[str, Any]:
    return {
        "accepted": refusal is None,
        "refused_because": None if refusal is None else str(refusal),
        **_of_sample(totals),
        "rows_read": totals.rows_read,
        "rows_valid": totals.rows_valid,
        "rows_invalid": totals.rows_invalid,
        "rows_target_missing": totals.rows_target_missing,
        "rows_quarantined": totals.rows_quarantined,
        "max_invalid_fraction": config.max_invalid_fraction,
        "reasons": [_reason(reason) for reason in totals.reasons],
        "failed_expectations": [asdict(each) for each in failed],
    }


def _of_sample(totals: ScanTotals) -> dict[str, Any]:
    """Of a sample: of what it was drawn; all other counts are of its rows."""
    counts = totals.counts
    if counts is None:
        return {}
    return {"rows_passed_over": counts.passed_over, "sample": counts.to_json()}


def _reason(reason: Reason) -> dict[str, Any]:
    return {"reason": reason.reason, "rows": reason.rows, "examples": list(reason.examples)}
