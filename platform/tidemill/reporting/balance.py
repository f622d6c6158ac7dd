"""How rows spread over shards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tidemill.reporting.canvas import INK, MUTED, PALETTE, canvas, compact, titled

__all__ = ["draw_shard_balance"]

_ROLES = {"train": "main", "validation": "third", "test": "second"}
_MAX_BARS = 48


def draw_shard_balance(path: Path, roles: Sequence[str], rows: Sequence[int]) -> None:
    """Draw the rows of each shard, grouped by role, beside the mean of the role.

    Parameters
    ----------
    path : Path
    roles : sequence of str
        ``train``, ``validation`` or ``test`` of each shard.
    rows : sequence of int
        Rows of each shard.
    """
    groups = {
        role: np.array([n for r, n in zip(roles, rows, strict=True) if r == role], np.int64)
        for role in sorted(set(roles), key=_place)
    }
    with canvas(path, width=8.4, height=4.6) as figure:
        axes = figure.add_subplot()
        start = 0.0
        for role, sizes in groups.items():
            start = _draw_role(axes, role, sizes, start, sum(map(len, groups.values())))
        axes.set_ylim(0, max([*rows, 1]) * 1.16)
        axes.set_xticks([])
        axes.grid(visible=False, axis="x")
        axes.yaxis.set_major_formatter(lambda value, _: compact(value))
        axes.set_ylabel("rows in a shard")
        titled(figure, _finding(groups), f"{sum(rows):,} rows in {len(rows):,} shards", left=0.12,
               bottom=0.12)  # fmt: skip


def _place(role: str) -> tuple[int, str]:
    order = list(_ROLES)
    return (order.index(role) if role in order else len(order), role)


def _draw_role(axes: Any, role: str, sizes: Any, start: float, total: int) -> float:
    colour = PALETTE[_ROLES.get(role, "fourth")]
    gap = 0.03 * total
    # A slot is wide enough for its label, however few shards stand in it.
    slot = max(float(len(sizes)), 0.13 * total)
    left = start + (slot - len(sizes)) / 2
    end = left + len(sizes)
    if total <= _MAX_BARS:
        axes.bar(left + np.arange(len(sizes)) + 0.5, sizes, width=0.78, color=colour, alpha=0.85)
    else:
        axes.stairs(sizes, left + np.arange(len(sizes) + 1), fill=True, color=colour, alpha=0.85)
    mean = float(sizes.mean())
    axes.plot([left, end], [mean, mean], color=INK, linewidth=1.2, linestyle=(0, (4, 3)))
    # Below the bars, so that no label meets a bar, and centred under its own group.
    axes.annotate(f"{role}\n{compact(float(sizes.sum()))} rows", ((left + end) / 2, 0),
                  xytext=(0, -6), textcoords="offset points", ha="center", va="top",
                  color=colour, fontweight="bold", fontsize=10, annotation_clip=False)  # fmt: skip
    axes.set_xlim(-gap, start + slot + gap)
    axes.tick_params(labelcolor=MUTED)
    return start + slot + gap


def _finding(groups: dict[str, Any]) -> str:
    spread = max(
        (float(sizes.max() / sizes.mean() - 1) for sizes in groups.values() if sizes.sum()),
        default=0.0,
    )
    return f"Shards: the largest is {spread:.0%} above its role's mean"
