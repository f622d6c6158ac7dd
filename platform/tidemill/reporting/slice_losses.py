"""The slices of rows on which a model does worst."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tidemill.reporting.canvas import (
    BASELINE,
    INK,
    MUTED,
    PALETTE,
    canvas,
    compact,
    shorten,
    titled,
)

__all__ = ["draw_weakest_slices"]

_WHISKER = 1.96


def draw_weakest_slices(
    path: Path,
    names: Sequence[str],
    losses: Sequence[float],
    errors: Sequence[float],
    others: Sequence[float],
    rows: Sequence[int],
    *,
    unit: str,
) -> None:
    """Draw each slice's loss with its 95% interval, and a tick at that of all other rows.

    Parameters
    ----------
    path : Path
    names : sequence of str
        At least one; the weakest first.
    losses, errors, others : sequence of float
        Of each slice; its standard error; of the rows outside.
    rows : sequence of int
    unit : str
        What the loss is called.
    """
    labels = [f"{shorten(name, 34)}  ({compact(n)})" for name, n in zip(names, rows, strict=True)]
    height = 0.34 * max(len(names), 3) + 1.6
    places = range(len(names))
    with canvas(path, width=8.0, height=height) as figure:
        axes = figure.add_subplot()
        axes.errorbar(losses, places, xerr=[_WHISKER * error for error in errors], fmt="o",
                      color=PALETTE["second"], markersize=6, linewidth=1.6)  # fmt: skip
        axes.plot(others, places, "|", color=BASELINE, markersize=13, markeredgewidth=2.2)
        axes.set_yticks(places, labels)
        axes.tick_params(axis="y", labelcolor=INK)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_xlabel(f"{unit}; grey: that of all other rows", color=MUTED)
        axes.grid(visible=False, axis="y")
        axes.spines["left"].set_visible(False)
        titled(
            figure,
            f"Weakest where {shorten(names[0], 40)}",
            "slices of test rows (and how many) with surely more loss than all others",
            left=0.05 + 0.0092 * max(map(len, labels)), bottom=0.62 / height,
        )  # fmt: skip
