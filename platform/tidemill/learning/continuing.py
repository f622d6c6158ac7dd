"""Going on from a fitted estimator: what it says of each block, and boosters added up."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt

from tidemill.contracts import Blocks
from tidemill.errors import SchemaMismatch

__all__ = ["added_models", "check_start", "start_scores"]

_TREE = re.compile(r"(?m)^Tree=\d+\n")
_END = "end of trees\n"


def check_start(start: Any, n_features: int, classes: tuple[str, ...]) -> None:
    """Refuse to go on from an estimator of another matrix or other classes.

    Raises
    ------
    SchemaMismatch
        If it answers another question.
    """
    labels = tuple(str(label) for label in getattr(start, "classes_", ()))
    if start.n_features_in_ == n_features and labels == classes:
        return
    raise SchemaMismatch(
        f"the fit cannot go on from a model of {start.n_features_in_} features and classes "
        f"{labels}: here are {n_features} features and classes {classes}",
        remedy="train from scratch",
        features=n_features,
        classes=classes,
    )


def start_scores(booster: Any, blocks: Blocks) -> npt.NDArray[np.float64]:
    """Raw scores of a booster for all rows: where the next trees begin.

    Returns
    -------
    (rows,) or (rows, n_classes) float64

    Notes
    -----
    Memory: one block, and 8 bytes a row and output.
    """
    return np.concatenate(
        [np.asarray(booster.predict(X, raw_score=True), np.float64) for X, _ in blocks]
    )


def added_models(first: str, second: str) -> str:
    """The text of the LightGBM model whose raw score is the sum of both models'.

    Both must be of one objective and one matrix; settings and feature ranges are the first's.
    """
    head, trees, tail = _parts(first)
    trees = [f"Tree={number}\n{tree}" for number, tree in enumerate([*trees, *_parts(second)[1]])]
    sizes = " ".join(str(len(tree.encode())) for tree in trees)
    head = re.sub(r"(?m)^tree_sizes=.*$", f"tree_sizes={sizes}", head)
    return head + "".join(trees) + _END + tail


def _parts(text: str) -> tuple[str, list[str], str]:
    """Header, trees without their number lines, and what follows the trees."""
    body, tail = text.split(_END, 1)
    head, *trees = _TREE.split(body)
    return head, trees, tail
