"""The pictures of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tidemill.learning import importance
from tidemill.metrics import (
    BinaryFigures,
    Figures,
    MulticlassFigures,
    RegressionFigures,
    WeakSlice,
    in_words,
)
from tidemill.reporting import (
    draw_calibration,
    draw_confusion,
    draw_importance,
    draw_precision_recall,
    draw_residuals,
    draw_roc,
    draw_shard_balance,
    draw_weakest_slices,
)
from tidemill.schema import Task
from tidemill.storage import ShardManifest

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

__all__ = ["draw_figures"]


def draw_figures(
    folder: Path,
    figures: Figures,
    pipeline: Pipeline,
    manifest: ShardManifest,
    weak: Sequence[WeakSlice],
) -> None:
    """Write one PNG a figure into ``folder``; which ones depends on the task."""
    if isinstance(figures, BinaryFigures):
        _draw_binary(folder, figures)
    if isinstance(figures, BinaryFigures | MulticlassFigures):
        draw_confusion(folder / "confusion.png", figures.confusion, manifest.schema.classes)
    if isinstance(figures, RegressionFigures):
        _draw_regression(folder, figures)
    names = [str(name) for name in pipeline[0].get_feature_names_out()]
    shares = importance(pipeline[-1], names)
    if shares:
        draw_importance(folder / "importance.png", shares)
    if weak:
        _draw_weak(folder / "weakest_slices.png", weak, manifest.schema.task)
    draw_shard_balance(
        folder / "shard_balance.png",
        [shard.role.value for shard in manifest.shards],
        [shard.file.rows for shard in manifest.shards],
    )


def _draw_binary(folder: Path, figures: BinaryFigures) -> None:
    values, rows = figures.values(), figures.count
    roc, precision_recall = figures.roc_curve(), figures.precision_recall_curve()
    confusion = figures.confusion
    draw_roc(folder / "roc.png", roc.x, roc.y, roc_auc=values["roc_auc"], rows=rows)
    draw_precision_recall(
        folder / "precision_recall.png",
        precision_recall.x,
        precision_recall.y,
        average_precision=values["average_precision"],
        positive_share=float(confusion[1].sum() / confusion.sum()),
        rows=rows,
    )
    predicted, observed, counts = figures.calibration()
    draw_calibration(
        folder / "calibration.png",
        predicted,
        observed,
        counts,
        brier=values["brier"],
        rows=rows,
    )


def _draw_weak(path: Path, weak: Sequence[WeakSlice], task: Task) -> None:
    draw_weakest_slices(
        path,
        [one.name for one in weak],
        [one.loss for one in weak],
        [one.error for one in weak],
        [one.others for one in weak],
        [one.rows for one in weak],
        unit=in_words("rmse" if task is Task.REGRESSION else "log_loss"),
    )


def _draw_regression(folder: Path, figures: RegressionFigures) -> None:
    values = figures.values()
    draw_residuals(
        folder / "residuals.png",
        _open_ended(figures.residual_edges),
        figures.residual_counts,
        _open_ended(figures.edges),
        figures.joint_counts,
        mae=values["mae"],
        rmse=values["rmse"],
        r2=values["r2"],
        rows=figures.count,
    )


def _open_ended(edges: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Inner edges with the two open ends that the outermost bins have."""
    return np.concatenate([[-np.inf], edges, [np.inf]])
