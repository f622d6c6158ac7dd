"""From a body of any accepted kind to its sorted rows."""

from __future__ import annotations

from tidemill_monitor.intake.arrow import read_arrow
from tidemill_monitor.intake.bodies import ARROW, JSON, Body, parse_json, parse_lines
from tidemill_monitor.intake.plans import IntakePlan
from tidemill_monitor.intake.record_reading import read_rows
from tidemill_monitor.intake.row_faults import Sorted, require_rows

__all__ = ["sort_body"]


def sort_body(body: Body, plan: IntakePlan, *, max_rows: int, max_bytes: int) -> Sorted:
    """Parse a body and sort its rows into good ones and faults.

    Raises
    ------
    Problem
        4xx if it is not what its content type says, is beyond a limit, or holds no row.
    """
    body = body.opened(max_bytes)
    if body.kind == ARROW:
        # Columns that repeat a buffer of the stream are not more bytes to send, but to hold.
        found = read_arrow(body.content, plan, max_rows=max_rows, max_bytes=2 * max_bytes)
        return require_rows(found, found.rows)
    if body.kind == JSON:
        rows, faults = parse_json(body, plan.kind, max_rows=max_rows)
    else:
        rows, faults = parse_lines(body, max_rows=max_rows)
    require_rows(rows, len(rows))
    return read_rows(rows, plan, faults)
