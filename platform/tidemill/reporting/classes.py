"""The confusion of classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tidemill.reporting.canvas import INK, MUTED, SEQUENTIAL, canvas, compact, shorten, titled

__all__ = ["draw_confusion"]

_MAX_CLASSES = 20
_MAX_WITH_COUNTS = 7


def draw_confusion(path: Path, counts: npt.ArrayLike, labels: Sequence[str]) -> None:
    """Draw the confusion matrix; colours are shares of each true class.

    Of more than 20 classes the 19 largest are shown, and the rest as one.

    Parameters
    ----------
    path : Path
    counts : (n_classes, n_classes)
        Rows are true classes, columns predicted ones.
    labels : sequence of str
    """
    matrix = np.asarray(counts, np.float64)
    rows, right = matrix.sum(), np.trace(matrix)
    matrix, names = _largest(matrix, [str(label) for label in labels])
    n = len(names)
    totals = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, totals, out=np.zeros_like(matrix), where=totals > 0)
    side = min(max(0.62 * n + 2.6, 5.6), 11.5)
    with canvas(path, width=side + 0.6, height=side + 0.3) as figure:
        from matplotlib.colors import LinearSegmentedColormap

        axes = figure.add_subplot()
        colours = LinearSegmentedColormap.from_list("tide", SEQUENTIAL)
        axes.pcolormesh(shares, cmap=colours, vmin=0, vmax=1, edgecolors="white", linewidth=1.5)
        _label_axes(axes, names)
        for row, column in np.ndindex(n, n):
            _label_cell(
                axes, row, column, float(shares[row, column]), float(matrix[row, column]), n
            )
        accuracy = right / rows if rows else 0.0
        titled(
            figure,
            f"Confusion: {accuracy:.1%} of rows in the right class",
            f"{rows:,.0f} test rows; each row of cells sums to 100%",
            left=0.24 if n > 2 else 0.2, bottom=0.22 if 4 < n <= _MAX_WITH_COUNTS else 0.14,
        )  # fmt: skip


def _largest(
    matrix: npt.NDArray[np.float64], names: list[str]
) -> tuple[npt.NDArray[np.float64], list[str]]:
    if len(names) <= _MAX_CLASSES:
        return matrix, names
    order = np.argsort(-matrix.sum(axis=1), kind="stable")
    kept = np.sort(order[: _MAX_CLASSES - 1])
    place = np.full(len(names), len(kept))
    place[kept] = np.arange(len(kept))
    folded = np.zeros((len(kept) + 1, len(kept) + 1))
    np.add.at(folded, (place[:, None], place[None, :]), matrix)
    rest = len(names) - len(kept)
    return folded, [*(names[i] for i in kept), f"{rest} others"]


def _label_axes(axes: Any, names: list[str]) -> None:
    middles = np.arange(len(names)) + 0.5
    texts = [shorten(name, 16) for name in names]
    many = len(names) > _MAX_WITH_COUNTS
    turned = many or len(names) * max(map(len, texts)) > 36
    angle, side = (45, "right") if turned else (0, "center")
    axes.set_xticks(middles, texts, rotation=angle, ha=side)
    axes.set_yticks(middles, texts)
    axes.tick_params(labelcolor=INK, labelsize=9 if many else 10.5)
    axes.invert_yaxis()
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    axes.grid(visible=False)
    axes.set_aspect("equal")
    for spine in axes.spines.values():
        spine.set_visible(False)


def _label_cell(axes: Any, row: int, column: int, share: float, count: float, n: int) -> None:
    if count == 0 or (n > _MAX_WITH_COUNTS and share < 0.005):
        return
    light = share > 0.45
    x, y = column + 0.5, row + 0.5
    if n > _MAX_WITH_COUNTS:
        axes.text(x, y, f"{share:.0%}", ha="center", va="center", fontsize=8,
                  color="white" if light else INK)  # fmt: skip
        return
    percent = f"{share:.1%}" if n <= 4 else f"{share:.0%}"
    axes.text(x, y + 0.02, percent, ha="center", va="bottom", fontsize=15 - n,
              fontweight="bold", color="white" if light else INK)  # fmt: skip
    axes.text(x, y + 0.05, compact(count), ha="center", va="top", fontsize=12 - 0.6 * n,
              color="#e3eef6" if light else MUTED)  # fmt: skip
