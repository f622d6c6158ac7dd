"""The lines of the table: what was aimed at, what was measured, whether it is met."""

from __future__ import annotations

from typing import Any

__all__ = ["Line", "line", "table"]

Line = dict[str, Any]


def line(what: str, measured: float, target: float, *, least: bool = False) -> Line:
    """One line; ``least``: the target is a lower bound."""
    return {
        "what": what,
        "target": round(target, 3),
        "measured": round(float(measured), 3),
        "met": bool(measured >= target if least else measured <= target),
    }


def table(lines: list[Line]) -> str:
    """Lines as Markdown."""
    rows = [
        f"| {x['what']} | {x['target']} | {x['measured']} | {'yes' if x['met'] else 'no'} |"
        for x in lines
    ]
    return "\n".join(["| work | target | measured | met |", "|---|---|---|---|", *rows])
