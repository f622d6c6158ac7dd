"""Judge one batch: which rows are invalid and why, and what each expectation saw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tidemill.ingestion.checks.batch_view import BatchView, Mask
from tidemill.ingestion.checks.foreign_checks import foreign_judgement
from tidemill.ingestion.checks.row_conditions import meets
from tidemill.ingestion.checks.row_tally import EXAMPLES, Example, RowTally
from tidemill.ingestion.checks.scan_plan import Question, Rule, ScanPlan, Uniqueness
from tidemill.ingestion.checks.suite import Expectation
from tidemill.ingestion.checks.unread_cells import why_unread
from tidemill.ingestion.sources.batches import ParsedBatch
from tidemill.schema import ColumnType, TableSchema

__all__ = ["TARGET_MISSING", "RowVerdict", "judge"]

#: The reason of rows that cannot be learnt from; counted apart from invalid rows.
TARGET_MISSING = "target is missing"

_NOUNS = {
    ColumnType.NUMERIC: "a number",
    ColumnType.BOOLEAN: "true or false",
    ColumnType.DATETIME: "a time",
    ColumnType.CATEGORICAL: "a valid UTF-8 text",
    ColumnType.TEXT: "a valid UTF-8 text",
}
_PLAIN_NOUNS = {
    "integer": "a number",
    "number": "a number",
    "boolean": "true or false",
    "datetime": "a time",
    "text": "a valid UTF-8 text",
}


@dataclass(frozen=True, slots=True)
class RowVerdict:
    """What the judgement of one batch says.

    Parameters
    ----------
    chosen : dict of condition to (rows,) bool
        Rows that meet each row condition, for those who ask again.
    findings : tuple of (reason, indices)
        In the order of reasons: cells of the wrong type, missing target, expectations.
    tallies : dict of expectation index to RowTally
    """

    chosen: dict[str, Mask]
    findings: tuple[tuple[str, npt.NDArray[np.int64]], ...]
    tallies: dict[int, RowTally]

    def bad(self, rows: int) -> Mask:
        """Rows with at least one reason, (rows,) bool."""
        mask = np.zeros(rows, np.bool_)
        for _, indices in self.findings:
            mask[indices] = True
        return mask


def judge(
    batch: ParsedBatch, view: BatchView, plan: ScanPlan, schema: TableSchema, split: int
) -> RowVerdict:
    """Judge every row of a batch; O(rows) memory a rule, freed before the next."""
    findings = _faults(batch, schema)
    target = schema.target.name
    absent = ~view.valid(target)
    if target in batch.faults:
        absent[batch.faults[target].indices] = False
    findings.append((TARGET_MISSING, np.flatnonzero(absent)))
    chosen = {c: meets(view, c) for c in _conditions(plan)}
    tallies = {}
    for rule in plan.rules:
        unexpected, tallies[rule.index] = _apply(rule, batch, view, chosen, split)
        if rule.decides and len(unexpected):
            findings.append((rule.reason, unexpected))
    return RowVerdict(chosen, tuple(f for f in findings if len(f[1])), tallies)


def _conditions(plan: ScanPlan) -> list[str]:
    asked: tuple[Rule | Question | Uniqueness, ...] = (
        *plan.rules,
        *plan.questions,
        *plan.uniqueness,
    )
    return sorted({item.condition for item in asked if item.condition is not None})


def _faults(batch: ParsedBatch, schema: TableSchema) -> list[tuple[str, npt.NDArray[np.int64]]]:
    source = {column.name: column for column in schema.source}
    columns = {column.name: column for column in schema.columns}
    nouns = {name: _PLAIN_NOUNS.get(column.type) for name, column in source.items()}
    nouns |= {name: _NOUNS.get(column.type) for name, column in columns.items()}
    findings = []
    for name, faults in batch.faults.items():
        said = why_unread(
            faults.texts,
            nouns.get(name) or "of its type",
            physical=columns[name].physical if name in columns else "",
            convention=source[name].convention if name in source else None,
        )
        findings += [
            (f"{name} {why}", faults.indices[said == why]) for why in dict.fromkeys(said.tolist())
        ]
    return findings


def _apply(
    rule: Rule, batch: ParsedBatch, view: BatchView, chosen: dict[str, Mask], split: int
) -> tuple[npt.NDArray[np.int64], RowTally]:
    where = None if rule.condition is None else chosen[rule.condition]
    considered: Mask | None
    if rule.kernel is None:
        considered, bad = foreign_judgement(rule.expectation, view)
    else:
        considered, bad = rule.kernel.judge(view)
    if where is not None:
        considered = where if considered is None else considered & where
        bad = bad & where
    unexpected = np.flatnonzero(bad)
    first = unexpected[:EXAMPLES]
    tally = RowTally(
        rows=view.rows if where is None else int(np.count_nonzero(where)),
        missing=_missing(rule.expectation, view, where),
        considered=view.rows if considered is None else int(np.count_nonzero(considered)),
        unexpected=len(unexpected),
        examples=tuple(
            Example(split, int(row), value)
            for row, value in zip(
                batch.rows[first], _values(rule.expectation, view, first), strict=True
            )
        ),
    )
    return unexpected, tally


def _missing(expectation: Expectation, view: BatchView, where: Mask | None) -> int:
    if "column" not in expectation.kwargs:
        return 0
    valid = view.valid(expectation.kwargs["column"])
    if where is None:
        return int(view.rows - np.count_nonzero(valid))
    return int(np.count_nonzero(where & ~valid))


def _values(expectation: Expectation, view: BatchView, rows: npt.NDArray[np.int64]) -> list[Any]:
    if not len(rows):
        return []
    columns = [view.values(column, rows) for column in expectation.columns]
    if "column_list" in expectation.kwargs:
        return [dict(zip(expectation.columns, v, strict=True)) for v in zip(*columns, strict=True)]
    return columns[0] if len(columns) == 1 else [list(v) for v in zip(*columns, strict=True)]
