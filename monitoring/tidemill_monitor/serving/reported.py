"""Events that were predicted elsewhere: one batch for each model version, one answer for all."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.ledger import EventBatch, EventReceipt, Request
from tidemill_monitor.intake.record_reading import kept_of
from tidemill_monitor.intake.row_faults import Fault, Sorted, good_rows, merged_intake
from tidemill_monitor.serving.champion import Champion
from tidemill_monitor.serving.scored_events import complete_times, event_table

__all__ = ["Reported", "RowsAnswer", "known_versions_only", "report_batches"]


def known_versions_only(found: Sorted, current: int, known: Callable[[int], bool]) -> Sorted:
    """Refuse rows of versions that were never registered; no version means the current one."""
    column = found.table["model_version"]
    if column.null_count == len(column):
        return found
    given = [version for version in pc.unique(column).to_pylist() if version is not None]
    unknown = [v for v in given if v != current and not (0 < v < 2**31 and known(v))]
    if not unknown:
        return found
    bad = pc.is_in(column, pa.array(unknown, pa.int64())).to_numpy()
    fault = Fault(
        "model_version",
        "unknown_version",
        "must be a registered version of the model",
        found.positions[bad],
    )
    faults = [*found.faults, fault]
    good = good_rows(found.rows, faults)
    table = found.table.filter(pa.array(~bad))
    return Sorted(found.rows, table, good, faults, kept_of(found.altered, good))


@dataclass(frozen=True, slots=True)
class RowsAnswer:
    """What is answered of rows, beside what the ledger says; kept for a repeated request.

    Parameters
    ----------
    rows : int
        Sent.
    errors : list of dict
        The first of the errors.
    errors_total, refused : int
    taken : list of int or None
        Rows in the order of the batches; None for all of them as they were sent.
    versions : list of int
        Of the batches; the last batch has the request's own key.
    altered : list of dict
        Values of good rows that were not stored as they came.
    """

    rows: int
    errors: list[dict[str, Any]]
    errors_total: int
    refused: int
    taken: list[int] | None
    versions: list[int]
    altered: list[dict[str, Any]] = field(default_factory=list)

    def to_bytes(self) -> bytes:
        """JSON, as the ledger keeps it."""
        return orjson.dumps(asdict(self))

    @classmethod
    def from_bytes(cls, content: bytes) -> RowsAnswer:
        """Read what :meth:`to_bytes` wrote."""
        return cls(**orjson.loads(content))

    def document(self, receipts: Sequence[EventReceipt]) -> dict[str, Any]:
        """The answer, given what became of each batch."""
        accepted, duplicates, offset = 0, [], 0
        for receipt in receipts:
            accepted += receipt.accepted
            duplicates += [offset + row for row in receipt.duplicates]
            offset += receipt.accepted + len(receipt.duplicates)
        if self.taken is not None:
            duplicates = [self.taken[row] for row in duplicates]
        return {
            "accepted": accepted,
            "duplicates": len(duplicates),
            "duplicate_rows": sorted(duplicates)[:1000],
            "altered": self.altered,
            "refused": self.refused,
            "errors_total": self.errors_total,
            "errors": self.errors,
        }


@dataclass(frozen=True, slots=True)
class Reported:
    """Batches for the ledger, and the answer to their sender."""

    batches: list[EventBatch]
    answer: RowsAnswer


def scope_of(request: Request, version: int, *, last: bool) -> str:
    """The idempotency scope of a version's batch."""
    return request.scope if last else f"{request.scope}:{version}"


def report_batches(
    found: Sorted,
    champion: Champion,
    outcomes: tuple[str, ...],
    now: dt.datetime,
    request: Request | None,
) -> Reported:
    """Divide good rows by model version; refused rows are noted with the last batch.

    A request whose rows were all refused is an empty batch with that note.
    """
    versions = pc.fill_null(found.table["model_version"], champion.version).to_numpy()
    present = np.unique(versions).tolist() or [champion.version]
    table, taken = complete_times(found.table, champion), found.positions
    if len(present) > 1:
        order = np.argsort(versions, kind="stable")
        table, versions, taken = table.take(pa.array(order)), versions[order], taken[order]
    as_sent = len(present) == 1 and not found.refused
    answer = RowsAnswer(
        found.rows,
        [asdict(error) for error in found.errors()],
        found.faults_total,
        found.refused,
        None if as_sent else taken.tolist(),
        present,
        found.alterations(),
    )
    starts = np.searchsorted(versions, present).tolist()
    batches = []
    for version, start, stop in zip(present, starts, [*starts[1:], len(versions)], strict=True):
        last = version == present[-1]
        rows = table.slice(start, stop - start)
        asked = request if found.table.num_rows else None
        if asked is not None:
            content = answer.to_bytes() if last else b""
            asked = replace(asked, scope=scope_of(asked, version, last=last), answer=content)
        batches.append(
            EventBatch(
                event_table({name: rows[name] for name in rows.schema.names}, champion, version),
                version,
                outcomes=outcomes,
                intake=merged_intake([found], now, version) if last else None,
                request=asked,
            )
        )
    return Reported(batches, answer)
