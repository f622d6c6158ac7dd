"""Figures of a binary classifier's scores: ROC, precision and recall, calibration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tidemill.reporting.canvas import BASELINE, INK, MUTED, PALETTE, canvas, titled

__all__ = ["draw_calibration", "draw_precision_recall", "draw_roc"]

_TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
# More points than pixels make the file larger and the line no finer.
_MAX_POINTS = 2000


def draw_roc(
    path: Path,
    false_positive_rate: npt.ArrayLike,
    true_positive_rate: npt.ArrayLike,
    *,
    roc_auc: float,
    rows: int,
) -> None:
    """Draw the ROC curve with the area under it, beside the diagonal of a random guess.

    Parameters
    ----------
    path : Path
        Where the PNG goes.
    false_positive_rate, true_positive_rate : (points,)
        Both ascending.
    roc_auc : float
    rows : int
        Test rows.
    """
    x, y = _thin(false_positive_rate, true_positive_rate)
    with canvas(path, width=6.4, height=6.4) as figure:
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color=BASELINE, linewidth=1.4, linestyle=(0, (4, 3)))
        axes.fill_between(x, y, x, where=y >= x, color=PALETTE["main"], alpha=0.08, linewidth=0)
        axes.plot(x, y, color=PALETTE["main"])
        _label_diagonal(axes, "random guess", above=False)
        _unit_square(axes, "share of negatives called positive", "share of positives found")
        titled(figure, f"ROC curve: AUC {roc_auc:.3f}", f"on {rows:,} test rows", left=0.13)


def draw_precision_recall(
    path: Path,
    recall: npt.ArrayLike,
    precision: npt.ArrayLike,
    *,
    average_precision: float,
    positive_share: float,
    rows: int,
) -> None:
    """Draw precision against recall, beside the share of positives that a guess would reach.

    Parameters
    ----------
    path : Path
    recall, precision : (points,)
        In the order of falling or rising recall.
    average_precision : float
    positive_share : float
        Of the test rows.
    rows : int
    """
    x, y = _thin(recall, precision)
    with canvas(path, width=6.4, height=6.4) as figure:
        axes = figure.add_subplot()
        axes.axhline(positive_share, color=BASELINE, linewidth=1.4, linestyle=(0, (4, 3)))
        axes.fill_between(
            x, y, positive_share, where=y >= positive_share, color=PALETTE["main"], alpha=0.08,
            linewidth=0, step="pre",
        )  # fmt: skip
        axes.plot(x, y, color=PALETTE["main"], drawstyle="steps-pre")
        above = positive_share < 0.93
        axes.annotate(f"random guess {positive_share:.3g}", (0.015, positive_share),
                      xytext=(0, 5 if above else -5), textcoords="offset points", color=MUTED,
                      va="bottom" if above else "top")  # fmt: skip
        _unit_square(axes, "recall: share of positives found",
                     "precision: share of calls that are right")  # fmt: skip
        titled(
            figure,
            f"Precision and recall: average precision {average_precision:.3f}",
            f"on {rows:,} test rows, {positive_share:.2%} of them positive",
            left=0.13,
        )


def draw_calibration(
    path: Path,
    predicted: npt.ArrayLike,
    observed: npt.ArrayLike,
    counts: npt.ArrayLike,
    *,
    brier: float,
    rows: int,
) -> None:
    """Draw how often the positive came where a probability was predicted, bin by bin.

    Parameters
    ----------
    path : Path
    predicted : (bins,)
        Mean prediction of each bin.
    observed : (bins,)
        Share of positives in each bin.
    counts : (bins,)
        Rows of each bin; bins without rows are left out.
    brier : float
    rows : int
    """
    weight = np.asarray(counts, np.float64)
    kept = weight > 0
    x = np.asarray(predicted, np.float64)[kept]
    y = np.asarray(observed, np.float64)[kept]
    weight = weight[kept]
    error = float(np.average(np.abs(x - y), weights=weight)) if len(x) else 0.0
    with canvas(path, width=6.4, height=7.0) as figure:
        axes, below = figure.subplots(2, 1, height_ratios=(5, 1), sharex=True)
        axes.plot([0, 1], [0, 1], color=BASELINE, linewidth=1.4, linestyle=(0, (4, 3)))
        axes.plot(x, y, color=PALETTE["main"], marker="o", markersize=6.5,
                  markeredgecolor="white", markeredgewidth=1.2, clip_on=False)  # fmt: skip
        # On the side of the diagonal where the curve is not.
        curve = float(np.interp(0.3, x, y)) if len(x) else 0.0
        _label_diagonal(axes, "as predicted", above=curve < 0.3)
        _unit_square(axes, "", "observed share of positives")
        axes.tick_params(labelbottom=False)
        below.bar(x, weight / weight.sum(), width=0.045, color=PALETTE["main"], alpha=0.55)
        below.set_ylim(0, None)
        below.set_yticks([])
        below.set_ylabel("rows", rotation=0, ha="right", va="center")
        below.set_xlabel("predicted probability")
        below.grid(visible=False)
        below.spines["left"].set_visible(False)
        titled(
            figure,
            f"Calibration: off by {error:.3f} on average",
            f"Brier score {brier:.4f} on {rows:,} test rows",
            left=0.13, hspace=0.07,
        )  # fmt: skip


def _label_diagonal(axes: Any, text: str, *, above: bool) -> None:
    axes.annotate(
        text, (0.3, 0.3), xytext=(-9, 9) if above else (9, -9), textcoords="offset points",
        color=MUTED, rotation=45, ha="center", va="center", rotation_mode="anchor",
        transform_rotates_text=True,
    )  # fmt: skip


def _thin(
    x: npt.ArrayLike, y: npt.ArrayLike
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    a, b = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if len(a) > _MAX_POINTS:
        keep = np.unique(np.linspace(0, len(a) - 1, _MAX_POINTS).round().astype(np.int64))
        a, b = a[keep], b[keep]
    return a, b


def _unit_square(axes: Any, x_label: str, y_label: str) -> None:
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.005)
    axes.set_xticks(_TICKS)
    axes.set_yticks(_TICKS)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.tick_params(colors=INK, labelcolor=MUTED)
