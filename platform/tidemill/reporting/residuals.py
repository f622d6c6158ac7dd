"""What a regression misses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tidemill.reporting.canvas import BASELINE, MUTED, PALETTE, SEQUENTIAL, canvas, compact, titled

__all__ = ["draw_residuals"]

_TAIL = 0.005
"""The share of rows at either end that the histogram may leave out."""


def draw_residuals(
    path: Path,
    residual_edges: npt.ArrayLike,
    residual_counts: npt.ArrayLike,
    value_edges: npt.ArrayLike,
    joint_counts: npt.ArrayLike,
    *,
    mae: float,
    rmse: float,
    r2: float,
    rows: int,
) -> None:
    """Draw predicted against true values, and the histogram of their differences.

    The histogram has all bins but those of the outermost rows, at most 0.5% at either end; it
    says how many rows lie beyond.

    Parameters
    ----------
    path : Path
    residual_edges : (bins + 1,)
        Of predicted minus true; the outermost may be infinite.
    residual_counts : (bins,)
    value_edges : (cells + 1,)
        Shared by true and predicted values; the outermost may be infinite.
    joint_counts : (cells, cells)
        First axis true values, second axis predicted ones.
    mae, rmse, r2 : float
    rows : int
    """
    with canvas(path, width=10.4, height=5.4) as figure:
        joint, histogram = figure.subplots(1, 2, width_ratios=(1, 1.15))
        _draw_joint(joint, _finite(value_edges), np.asarray(joint_counts, np.float64))
        _draw_histogram(histogram, _finite(residual_edges), np.asarray(residual_counts, np.float64))
        titled(
            figure,
            f"Residuals: off by {compact(mae)} on average, R² {r2:.3f}",
            f"RMSE {compact(rmse)} on {rows:,} test rows",
            left=0.085, wspace=0.26,
        )  # fmt: skip


def _finite(edges: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Edges with open ends closed at the width of the neighbouring bin, or 1 without one."""
    closed = np.array(edges, np.float64)
    inner = closed[np.isfinite(closed)]
    first, last = np.diff(inner)[[0, -1]] if len(inner) > 1 else (1.0, 1.0)
    if np.isneginf(closed[0]):
        closed[0] = (inner[0] if len(inner) else 0.0) - first
    if np.isposinf(closed[-1]):
        closed[-1] = (inner[-1] if len(inner) else 0.0) + last
    return closed


def _draw_joint(axes: Any, edges: npt.NDArray[np.float64], counts: Any) -> None:
    from matplotlib.colors import LinearSegmentedColormap, LogNorm

    area = np.outer(np.diff(edges), np.diff(edges))
    density = np.ma.masked_equal(counts / area, 0)
    colours = LinearSegmentedColormap.from_list("tide", SEQUENTIAL[1:])
    low, high = (density.min(), density.max()) if density.count() else (1, 1)
    axes.pcolormesh(edges, edges, density.T, cmap=colours, rasterized=True,
                    norm=LogNorm(low, high if high > low else low * 10))  # fmt: skip
    axes.plot(edges[[0, -1]], edges[[0, -1]], color=PALETTE["second"], linewidth=1.4,
              linestyle=(0, (4, 3)))  # fmt: skip
    # Above the corner where the line ends: within the axes it would lie on cells.
    axes.annotate("right", (1, 1), xycoords="axes fraction", color=PALETTE["second"],
                  xytext=(0, 4), textcoords="offset points", ha="right")  # fmt: skip
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(edges[0], edges[-1])
    axes.set_xlabel("true value")
    axes.set_ylabel("predicted value")


def _draw_histogram(axes: Any, edges: npt.NDArray[np.float64], counts: Any) -> None:
    share = counts / max(counts.sum(), 1.0)
    height = share / np.diff(edges)
    first, behind = _middle(counts)
    axes.stairs(height[first:behind], edges[first : behind + 1], fill=True, color=PALETTE["main"],
                alpha=0.75)  # fmt: skip
    axes.axvline(0, color=BASELINE, linewidth=1.4, linestyle=(0, (4, 3)))
    middle = float(np.average((edges[1:] + edges[:-1]) / 2, weights=share)) if share.any() else 0.0
    axes.annotate(f"mean {compact(middle)}", (middle, 1.0), xycoords=("data", "axes fraction"),
                  xytext=(6, -4), textcoords="offset points", va="top", color=MUTED)  # fmt: skip
    axes.set_xlim(min(edges[first], 0.0, middle), max(edges[behind], 0.0, middle))
    axes.set_ylim(0, None)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(visible=False, axis="y")
    beyond = int(counts.sum() - counts[first:behind].sum())
    said = f" ({beyond:,} of {int(counts.sum()):,} rows lie beyond)" if beyond else ""
    axes.set_xlabel(f"predicted minus true{said}")


def _middle(counts: npt.NDArray[np.float64]) -> tuple[int, int]:
    """The first bin that is shown, and the one behind the last; all where there are no rows."""
    total = counts.sum()
    if not total:
        return 0, len(counts)
    up_to = np.cumsum(counts)
    first = np.searchsorted(up_to, _TAIL * total, side="right")
    last = np.searchsorted(up_to, (1 - _TAIL) * total, side="left")
    return int(first), int(last) + 1
