"""Which features a model leans on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tidemill.reporting.canvas import INK, MUTED, PALETTE, canvas, shorten, titled

__all__ = ["draw_importance"]


def draw_importance(path: Path, importance: Mapping[str, float], *, top: int = 20) -> None:
    """Draw the features with the largest shares, and what all others have together.

    Parameters
    ----------
    path : Path
    importance : mapping of str to float
        Share of each feature; they sum to 1.
    top : int
        Bars at most.
    """
    ranked = sorted(importance.items(), key=lambda item: (-item[1], item[0]))
    shown, rest = ranked[:top], ranked[top:]
    names = [shorten(name, 34) for name, _ in shown]
    values = [value for _, value in shown]
    colours = [PALETTE["main"]] * len(shown)
    if rest:
        names.append(f"{len(rest)} others together")
        values.append(sum(value for _, value in rest))
        colours.append("#b9c4ce")
    height = 0.30 * max(len(names), 3) + 1.35
    with canvas(path, width=8.0, height=height) as figure:
        axes = figure.add_subplot()
        axes.barh(range(len(names)), values, color=colours, height=0.68)
        for place, value in enumerate(values):
            axes.annotate(f"{value:.1%}", (max(value, 0.0), place), xytext=(5, 0), va="center",
                          textcoords="offset points", fontsize=9.5, color=MUTED)  # fmt: skip
        axes.set_yticks(range(len(names)), names)
        axes.tick_params(axis="y", labelcolor=INK)
        axes.invert_yaxis()
        axes.set_xlim(0, max([*values, 1e-9]) * 1.12)
        axes.set_xticks([])
        axes.grid(visible=False)
        axes.spines[["left", "bottom"]].set_visible(False)
        titled(figure, _finding(ranked), f"share of importance, {len(ranked):,} features",
               left=0.05 + 0.0092 * max(map(len, [*names, ""])), bottom=0.15 / height)  # fmt: skip


def _finding(ranked: list[tuple[str, float]]) -> str:
    if not ranked:
        return "Importance: this learner names none"
    name, share = ranked[0]
    return f"Importance: {shorten(name, 30)} carries {share:.0%}"
