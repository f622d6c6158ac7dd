"""LightGBM's text, checked before LightGBM's own parser and its unchecked walks see it."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

__all__ = ["checked_booster", "count_features"]

_HEAD = re.compile(
    r"tree\nversion=v[34]\nnum_class=(?P<classes>\d{1,5})\nnum_tree_per_iteration=(?P<each>\d{1,5})"
    r"\nlabel_index=0\nmax_feature_idx=(?P<last>\d{1,7})\nobjective=(?P<objective>[^\n]*)"
    r"(?P<averaged>\naverage_output)?\nfeature_names=(?P<names>[^\n]*)\nfeature_infos=(?P<infos>[^\n]*)"
    r"\ntree_sizes=(?P<sizes>[\d ]*)\n\n"
)
_END = "end of trees\n"
_WHOLE = ("split_feature", "decision_type", "left_child", "right_child")
_INNER = (
    "split_feature",
    "split_gain",
    "threshold",
    "decision_type",
    "left_child",
    "right_child",
    "internal_value",
    "internal_weight",
    "internal_count",
)
_LEAF = ("leaf_value", "leaf_weight", "leaf_count")
_ORDER = (*_INNER[:6], *_LEAF, *_INNER[6:])
_TREE = re.compile(
    r"Tree=(?P<number>\d{1,7})\nnum_leaves=(?P<leaves>\d{1,6})\nnum_cat=0\n"
    + "".join(
        rf"{name}=(?P<{name}>(?:[-+\deE. ]{'|inf' if name == 'threshold' else ''})*)\n"
        for name in _ORDER
    )
    + r"is_linear=0\nshrinkage=(?P<shrinkage>[-+\deE.]+)\n\n\n?"
)
_MAX_LEAVES = 131_072  # LightGBM's own limit
# Bit 0 would be a split by categories, which reduced features have not; bit 1 says where missing
# values go, bits 2 and 3 what counts as missing: nothing, zero, NaN.
_DECISIONS = (0, 2, 4, 6, 8, 10)

Lines = dict[str, list[str]]


def count_features(text: str) -> int:
    """Columns of the matrix that the model was trained on, by its text.

    Raises
    ------
    ValueError
        If the text does not begin as LightGBM's does.
    """
    return int(_head(text)["last"]) + 1


def checked_booster(text: str, n_labels: int, *, averaged: bool = False) -> str:
    """The part of a model's text that predicts, if LightGBM can read and follow it safely.

    Every number is parsed here first: counts agree with each other and with the declared sizes,
    features and children lie within bounds, each node and leaf has one parent that stands before
    it (so a walk ends, and no deeper than there are leaves), values are finite, but for a
    threshold that parts missing values from all others. What follows the trees (settings,
    importances) is left out: nothing that predicts needs it.

    Parameters
    ----------
    text : str
        As ``LightGbmLearner`` stores it: numerical splits, no linear trees.
    n_labels : int
        Classes; 0 for regression.
    averaged : bool
        Whether its trees are averaged, as a forest's are, or add up.

    Raises
    ------
    ValueError
        If anything differs from that form.

    Notes
    -----
    Memory: some four times the text.
    """
    head = _head(text)
    classes, n_features = int(head["classes"]), int(head["last"]) + 1
    if classes != (n_labels if n_labels > 2 else 1) or int(head["each"]) != classes:
        raise ValueError("the number of its classes is not that of its labels")
    if head["objective"] != _objective(n_labels):
        raise ValueError(f"its objective is {head['objective'][:40]!r}")
    if (head["averaged"] is not None) != averaged:
        raise ValueError("its trees add up where they should be averaged, or the other way")
    for what in ("names", "infos"):
        if len(head[what].split(" ")) != n_features or "" in head[what].split(" "):
            raise ValueError(f"its feature {what} are not {n_features}")
    end, leaves, lines = _trees(text, head.end(), head["sizes"])
    if not len(leaves) or len(leaves) % classes:
        raise ValueError(f"it has {len(leaves)} trees for {classes} outputs")
    _check_numbers(leaves, lines, n_features)
    return text[:end] + _END


def _head(text: str) -> re.Match[str]:
    found = _HEAD.match(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError("the model text does not begin as LightGBM's does")
    return found


def _objective(n_labels: int) -> str:
    if n_labels == 0:
        return "regression"
    return "binary sigmoid:1" if n_labels == 2 else f"multiclass num_class:{n_labels}"


def _trees(text: str, start: int, sizes: str) -> tuple[int, npt.NDArray[np.int64], Lines]:
    """Where the trees end, the leaves of each, and their lines by name."""
    leaves = []
    lines: Lines = {name: [] for name in (*_ORDER, "shrinkage")}
    for number, size in enumerate(sizes.split(" ")):
        end = start + int(size or "0")
        tree = _TREE.fullmatch(text, start, end)
        if tree is None or int(tree["number"]) != number:
            raise ValueError(f"tree {number} is not of the form or size that the model says")
        leaves.append(int(tree["leaves"]))
        for name, found in lines.items():
            found.append(tree[name])
        start = end
    if not text.startswith(_END, start):
        raise ValueError("something stands between its trees and their end")
    return start, np.array(leaves, np.int64), lines


def _check_numbers(leaves: npt.NDArray[np.int64], lines: Lines, n_features: int) -> None:
    if leaves.min() < 1 or leaves.max() > _MAX_LEAVES:
        raise ValueError("a tree has no leaves, or more than LightGBM makes")
    values = {}
    for name, texts in lines.items():
        wanted = np.ones_like(leaves) if name == "shrinkage" else leaves - (name in _INNER)
        counts = np.array([line.count(" ") + 1 if line else 0 for line in texts])
        # A tree of one leaf need not say what its leaf weighs.
        spared = (leaves == 1) & (counts == 0) & (name in ("leaf_weight", "leaf_count"))
        if np.any((counts != wanted) & ~spared):
            raise ValueError(f"a tree has too few or too many values in {name}")
        cells = " ".join(filter(None, texts)).split(" ") if counts.any() else []
        kind = np.int64 if name in _WHOLE else np.float64
        values[name] = np.array(cells, dtype=kind)
        # Missing values on one side, all others on the other: the threshold is infinite.
        parts = np.array(cells) == "inf" if name == "threshold" else False
        if not np.all(np.isfinite(values[name]) | parts):
            raise ValueError(f"a tree has values in {name} that are not finite")
    feature = values["split_feature"]
    if np.any((feature < 0) | (feature >= n_features)):
        raise ValueError("a tree splits by a feature out of bounds")
    if not np.all(np.isin(values["decision_type"], _DECISIONS)):
        raise ValueError("a tree has splits of an unknown kind")
    left, right = (values[name].astype(np.int64) for name in ("left_child", "right_child"))
    _check_children(leaves, left, right)


def _check_children(
    leaves: npt.NDArray[np.int64], left: npt.NDArray[np.int64], right: npt.NDArray[np.int64]
) -> None:
    """Each node but the first, and each leaf, is the child of one node that stands before it."""
    inner = leaves - 1
    first_node, first_leaf = np.cumsum(inner) - inner, np.cumsum(leaves) - leaves
    tree = np.repeat(np.arange(len(leaves)), inner)
    here = np.arange(len(tree)) - first_node[tree]
    nodes, ends = [], []
    for child in (left, right):
        is_node = child >= 0
        leaf = -1 - child
        if np.any(is_node & ((child <= here) | (child >= inner[tree]))) or np.any(
            ~is_node & (leaf >= leaves[tree])
        ):
            raise ValueError("a tree has children out of bounds")
        nodes.append((child + first_node[tree])[is_node])
        ends.append((leaf + first_leaf[tree])[~is_node])
    seen = np.bincount(np.concatenate(nodes), minlength=len(tree))
    seen[first_node[inner > 0]] += 1  # the roots
    reached = np.bincount(np.concatenate(ends), minlength=int(leaves.sum()))
    reached[first_leaf[inner == 0]] += 1
    if np.any(seen != 1) or np.any(reached != 1):
        raise ValueError("a tree has nodes that belong to two parents or none")
