"""What the scans of all splits add up to, and whether the data are accepted."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from tidemill.config import IngestionConfig
from tidemill.contracts import Split
from tidemill.errors import (
    DataRefused,
    KeyInvalid,
    SourceEmpty,
    TargetUnusable,
    ValidationFailed,
)
from tidemill.ingestion.checks.row_tally import Example, RowTally
from tidemill.ingestion.checks.suite import Suite
from tidemill.ingestion.checks.unique_keys import BucketCheck
from tidemill.ingestion.drawn_rows import DrawCounts
from tidemill.ingestion.scan_receipt import ScanReceipt
from tidemill.profiling import Profile, fold
from tidemill.schema import TableSchema

__all__ = [
    "FailedExpectation",
    "Reason",
    "ScanTotals",
    "failed_expectations",
    "key_problem",
]


_SETTING = re.compile(r"\((dataset\.[\w.]+)")
"""As a reason names the setting that would let the cell be read."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why rows were refused: how many, and where the first ones stand."""

    reason: str
    rows: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FailedExpectation:
    """An expectation that Great Expectations found unmet, or that had nothing to judge.

    ``refuses`` says whether it alone refuses the data.
    """

    expectation: str
    severity: str
    observed: str
    refuses: bool


@dataclass(frozen=True, slots=True)
class ScanTotals:
    """The receipts of all splits, folded in split order."""

    rows_read: int
    rows_valid: int
    rows_invalid: int
    rows_target_missing: int
    rows_quarantined: int
    reasons: tuple[Reason, ...]
    null_keys: RowTally
    profile: Profile | None
    cut: Mapping[str, int]
    left_out: Mapping[str, int]
    counts: DrawCounts | None = None

    @classmethod
    def of(cls, receipts: Sequence[ScanReceipt], splits: Sequence[Split]) -> ScanTotals:
        """Add up; reasons by falling number of rows, then by name."""
        reasons: dict[str, RowTally] = {}
        cut, left_out = Counter[str](), Counter[str]()
        null_keys = RowTally()
        for receipt in receipts:
            null_keys = null_keys.merge(receipt.null_keys)
            cut.update(receipt.cut)
            left_out.update(receipt.left_out)
            for reason, tally in receipt.reasons.items():
                reasons[reason] = reasons.get(reason, RowTally()).merge(tally)
        ordered = sorted(reasons.items(), key=lambda item: (-item[1].unexpected, item[0]))
        profiles = [r.profile for r in receipts if r.profile is not None]
        counts = [r.counts for r in receipts if r.counts is not None]
        return cls(
            rows_read=sum(r.rows_read for r in receipts),
            rows_valid=sum(r.part.rows for r in receipts),
            rows_invalid=sum(r.rows_invalid for r in receipts),
            rows_target_missing=sum(r.rows_target_missing for r in receipts),
            rows_quarantined=sum(r.rows_quarantined for r in receipts),
            reasons=tuple(
                Reason(reason, tally.unexpected, places(tally.examples[:3], splits))
                for reason, tally in ordered
            ),
            null_keys=null_keys,
            profile=fold(profiles) if profiles else None,
            cut=cut,
            left_out=left_out,
            counts=reduce(DrawCounts.merge, counts) if counts else None,
        )

    def refusal(
        self,
        config: IngestionConfig,
        failed: Sequence[FailedExpectation],
        target: str,
        *,
        of_suite: Collection[str] = (),
    ) -> DataRefused | None:
        """The error to raise, or None if the data are accepted so far.

        ``of_suite`` are the reasons that rules of the suite give.
        """
        if not self.rows_read and self.counts is not None and self.counts.passed_over:
            return SourceEmpty(
                f"dataset.sample drew none of {self.counts.passed_over} rows",
                remedy="raise dataset.sample.fraction, or state dataset.sample.rows instead",
            )
        if not self.rows_read:
            return SourceEmpty(
                "the source has no rows", remedy="let the source name files with rows"
            )
        missing = self.rows_target_missing / self.rows_read
        if missing > config.max_target_missing:
            return TargetUnusable(
                f"the target {target} is missing in {missing:.1%} of {self.rows_read} rows; "
                f"at most {config.max_target_missing:.1%} are allowed",
                remedy="choose another dataset.target, or raise ingestion.max_target_missing to "
                f"at least {_above(missing)}",
                target=target,
                missing=self.rows_target_missing,
                rows=self.rows_read,
            )
        problems = self._problems(config, failed)
        if not problems:
            return None
        return ValidationFailed(
            "; ".join(problems),
            remedy=f"{self._remedy(config, failed, of_suite)}; reports/validation.json says more, "
            "and tidemill suite docs makes pages of it (.tidemill/data_docs/index.html)",
            rows_read=self.rows_read,
            rows_invalid=self.rows_invalid,
            rows_valid=self.rows_valid,
            reasons=[
                {"reason": r.reason, "rows": r.rows, "examples": list(r.examples)}
                for r in self.reasons
            ],
            expectations=[
                {"expectation": f.expectation, "severity": f.severity, "observed": f.observed}
                for f in _refusing(failed)
            ],
        )

    def _remedy(
        self,
        config: IngestionConfig,
        failed: Sequence[FailedExpectation],
        of_suite: Collection[str],
    ) -> str:
        """What would help here: a setting that the commonest reason names, the suite, the limit."""
        ways = ["mend the source"]
        invalid = self.rows_invalid / self.rows_read
        if invalid > config.max_invalid_fraction or not self.rows_valid:
            leading = self.reasons[0].reason if self.reasons else ""
            ways += [f"set {setting}" for setting in _SETTING.findall(leading)]
        if _refusing(failed) or any(r.reason in of_suite for r in self.reasons):
            ways.append(f"correct the suite ({config.suite})")
        if invalid > config.max_invalid_fraction and self.rows_valid:
            ways.append(f"raise ingestion.max_invalid_fraction to at least {_above(invalid)}")
        return ", or ".join(ways)

    def _problems(self, config: IngestionConfig, failed: Sequence[FailedExpectation]) -> list[str]:
        problems = []
        invalid = self.rows_invalid / self.rows_read
        if invalid > config.max_invalid_fraction or not self.rows_valid:
            leading = f", mostly because {self.reasons[0].reason}" if self.reasons else ""
            limit = f"at most {config.max_invalid_fraction:.1%} are allowed"
            problems.append(
                f"{self.rows_invalid} of {self.rows_read} rows ({invalid:.1%}) are invalid; "
                f"{limit if self.rows_valid else 'no valid row is left'}{leading}"
            )
        refusing = _refusing(failed)
        problems += [f"{f.expectation} is not met: {f.observed}" for f in refusing[:5]]
        if len(refusing) > 5:
            problems.append(f"and {len(refusing) - 5} more expectations")
        return problems


def _refusing(failed: Sequence[FailedExpectation]) -> list[FailedExpectation]:
    return [f for f in failed if f.refuses]


def _above(share: float) -> float:
    """The share, rounded up to a thousandth: as a limit it lets that many pass.

    >>> _above(0.4901), _above(0.25)
    (0.491, 0.25)
    """
    return math.ceil(round(share * 1000, 9)) / 1000


def failed_expectations(
    document: Mapping[str, Any], suite: Suite, tallies: Mapping[int, RowTally], row_wise: set[int]
) -> tuple[FailedExpectation, ...]:
    """What Great Expectations found unmet, and what it passed without a value to look at."""
    failed = []
    for expectation, entry in zip(suite.expectations, document["results"], strict=True):
        tally = tallies.get(expectation.index)
        vacuous = (
            tally is not None
            and "column" in expectation.kwargs
            and tally.rows > 0
            and tally.missing == tally.rows
            and expectation.type != "expect_column_values_to_be_null"
        )
        if entry["success"] and not vacuous:
            continue
        erred = entry["exception_info"]["raised_exception"]
        deciding = expectation.index not in row_wise or vacuous or erred
        failed.append(
            FailedExpectation(
                expectation=str(expectation),
                severity=expectation.severity,
                observed="the column has no value at all" if vacuous else _observed(entry),
                refuses=deciding
                and expectation.severity == "critical"
                and not expectation.reports_only,
            )
        )
    return tuple(failed)


def _observed(entry: Mapping[str, Any]) -> str:
    if entry["exception_info"]["raised_exception"]:
        return str(entry["exception_info"]["exception_message"]).strip().splitlines()[0]
    result = entry["result"]
    if "unexpected_count" in result and "element_count" in result:
        examples = ", ".join(repr(v) for v in (result.get("partial_unexpected_list") or [])[:3])
        return f"{result['unexpected_count']} of {result['element_count']} rows, e.g. {examples}"
    return f"observed {result['observed_value']!r}" if "observed_value" in result else "not so"


def key_problem(
    schema: TableSchema, nulls: RowTally, check: BucketCheck, splits: Sequence[Split]
) -> KeyInvalid | None:
    """The error for a key with nulls or repeated values, or None."""
    if schema.key is None or not (nulls.unexpected or check.repeated_rows):
        return None
    said, shown = [], (*nulls.examples, *check.examples)
    if nulls.unexpected:
        where = "; ".join(places(nulls.examples[:3], splits))
        said.append(f"is missing in {nulls.unexpected} rows ({where})")
    if check.repeated_rows:
        where = "; ".join(
            f"{e.value!r} at {place}"
            for e, place in zip(check.examples[:4], places(check.examples[:4], splits), strict=True)
        )
        said.append(
            f"has {check.repeated_keys} values that occur more than once, in "
            f"{check.repeated_rows} rows ({where})"
        )
    return KeyInvalid(
        f"dataset.key {schema.key.name} {' and '.join(said)}",
        remedy="choose a column without gaps and repetitions as dataset.key, or mend the source",
        key=schema.key.name,
        missing=nulls.unexpected,
        repeated_keys=check.repeated_keys,
        repeated_rows=check.repeated_rows,
        examples=[
            {"key": e.value, "place": place}
            for e, place in zip(shown, places(shown, splits), strict=True)
        ],
    )


def places(examples: Sequence[Example], splits: Sequence[Split]) -> tuple[str, ...]:
    """Where examples stand, for people: file and 0-based data row."""
    return tuple(
        f"{splits[e.split].address}, row {splits[e.split].first_row + e.row}" for e in examples
    )
