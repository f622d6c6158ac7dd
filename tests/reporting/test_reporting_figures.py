"""Figures: whole PNGs, the same bytes for the same values, and what stands in them."""

from __future__ import annotations

import re
import subprocess
import sys
import warnings
from functools import cache

import numpy as np
import pytest
from PIL import Image

from tidemill.errors import StorageFailed
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

CONCERNED = re.compile(r"matplotlib|numpy|PIL|tidemill|test_reporting")
LINE = np.linspace(0, 1, 5001)
EDGES = np.r_[-np.inf, np.linspace(-3, 3, 13), np.inf]

FIGURES = {
    "roc": lambda path: draw_roc(path, LINE, np.sqrt(LINE), roc_auc=2 / 3, rows=39_812),
    "precision_recall": lambda path: draw_precision_recall(
        path, LINE, 1 - LINE / 2, average_precision=0.75, positive_share=0.5, rows=100
    ),
    "calibration": lambda path: draw_calibration(
        path, [0.1, 0.5, 0.9], [0.0, 0.4, 1.0], [10, 0, 5], brier=0.1, rows=15
    ),
    "confusion": lambda path: draw_confusion(path, [[8, 2], [1, 9]], ["no", "yes"]),
    "residuals": lambda path: draw_residuals(
        path, EDGES, np.arange(14), EDGES, np.eye(14), mae=1.0, rmse=2.0, r2=0.5, rows=91
    ),
    "importance": lambda path: draw_importance(path, {"fare": 0.7, "hour": 0.3}),
    "weakest_slices": lambda path: draw_weakest_slices(
        path,
        ["city = Z", "a < 1"],
        [0.7, 0.6],
        [0.01, 0.02],
        [0.5, 0.5],
        [900, 80],
        unit="log loss",
    ),
    "shard_balance": lambda path: draw_shard_balance(path, ["train", "test"], [900, 300]),
}

# What degenerate runs hand over: no positives, one class, no features, empty shards.
EDGE_CASES = {
    "roc_two_points": lambda path: draw_roc(path, [0, 1], [0, 1], roc_auc=0.5, rows=2),
    "precision_all_positive": lambda path: draw_precision_recall(
        path, [1, 0], [1, 1], average_precision=1.0, positive_share=1.0, rows=2
    ),
    "calibration_empty": lambda path: draw_calibration(path, [0.5], [0.5], [0], brier=0, rows=0),
    "calibration_nan": lambda path: draw_calibration(
        path, [0.2, np.nan], [0.2, np.nan], [5, 0], brier=0, rows=5
    ),
    "confusion_empty_class": lambda path: draw_confusion(path, [[0, 0], [0, 9]], ["a", "b"]),
    "confusion_many": lambda path: draw_confusion(path, np.eye(60), [f"c{i}" for i in range(60)]),
    "residuals_empty": lambda path: draw_residuals(
        path, EDGES, np.zeros(14), EDGES, np.zeros((14, 14)), mae=0, rmse=0, r2=0, rows=0
    ),
    "residuals_one_cell": lambda path: draw_residuals(
        path,
        EDGES,
        np.r_[5, np.zeros(13)],
        EDGES,
        np.diag(np.r_[5, np.zeros(13)]),
        mae=0,
        rmse=0,
        r2=0,
        rows=5,
    ),
    "importance_none": lambda path: draw_importance(path, {}),
    "importance_zero": lambda path: draw_importance(path, {"a": 0.0}),
    "confusion_script": lambda path: draw_confusion(path, [[3, 1], [1, 3]], ["是", "否"]),
    "importance_dollars": lambda path: draw_importance(path, {"$\\frac{x$": 0.6, "50%": 0.4}),
    "balance_many": lambda path: draw_shard_balance(path, ["train"] * 4096, [1] * 4096),
    "balance_empty_role": lambda path: draw_shard_balance(path, ["train", "test"], [5, 0]),
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Gives a figure, drawn once, and what was warned of meanwhile."""

    @cache
    def draw(name):
        path = tmp_path_factory.mktemp("drawn") / "figure.png"
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            {**FIGURES, **EDGE_CASES}[name](path)
        # Threads that other tests began may warn of theirs meanwhile.
        return path, [one for one in said if CONCERNED.search(one.filename)]

    return draw


@pytest.mark.parametrize("name", [*FIGURES, *EDGE_CASES])
def test_figure_is_a_picture(drawn, name):
    """Each figure, also of degenerate values, is a PNG with more than one colour; no warning."""
    path, said = drawn(name)
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert len(image.convert("RGB").getcolors(1 << 24)) > 20
        assert set(image.info) <= {"dpi"}
    assert [str(warning.message) for warning in said] == []


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=[] if n in {"roc", "importance"} else pytest.mark.slow)
        for n in FIGURES
    ],
)
def test_same_values_same_bytes(drawn, tmp_path, name):
    """Drawing again, also under another matplotlib style, gives the same file."""
    import matplotlib as mpl

    (first, _), again = drawn(name), tmp_path / "b.png"
    with mpl.rc_context({"font.size": 22, "axes.facecolor": "black", "savefig.dpi": 30}):
        FIGURES[name](again)
        assert mpl.rcParams["font.size"] == 22
    assert first.read_bytes() == again.read_bytes()


def test_other_values_other_bytes(tmp_path):
    """The finding is in the picture: another figure of merit, other bytes."""
    draw_roc(tmp_path / "a.png", LINE, LINE, roc_auc=0.5, rows=10)
    draw_roc(tmp_path / "b.png", LINE, LINE, roc_auc=0.6, rows=10)
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()


def test_rows_of_folded_classes_are_kept():
    """Of 60 classes 19 stay and the rest becomes one; no row is lost."""
    from tidemill.reporting.classes import _largest

    counts = np.random.default_rng(0).integers(0, 50, (60, 60)).astype(float)
    folded, names = _largest(counts, [str(i) for i in range(60)])
    assert folded.shape == (20, 20)
    assert folded.sum() == counts.sum()
    assert names[-1] == "41 others"
    largest = set(np.argsort(-counts.sum(axis=1))[:19].astype(str))
    assert set(names[:-1]) == largest
    kept = [int(name) for name in names[:-1]]
    assert (folded[:-1, :-1] == counts[np.ix_(kept, kept)]).all()


def test_open_ends_are_closed_at_the_next_width():
    """Infinite outer edges are drawn as wide as their neighbours."""
    from tidemill.reporting.residuals import _finite

    assert _finite([-np.inf, 0.0, 2.0, 5.0, np.inf]).tolist() == [-2.0, 0.0, 2.0, 5.0, 8.0]
    assert _finite([0.0, 1.0]).tolist() == [0.0, 1.0]
    assert _finite([-np.inf, 3.0, np.inf]).tolist() == [2.0, 3.0, 4.0]
    assert _finite([-np.inf, np.inf]).tolist() == [-1.0, 1.0]


def test_the_histogram_of_residuals_has_the_range_of_the_rows():
    """Empty bins and at most 0.5% of the rows at either end are left out, and counted."""
    from matplotlib.figure import Figure

    from tidemill.reporting.residuals import _draw_histogram, _middle

    counts = np.zeros(102)
    counts[48:54] = 300, 400, 9000, 9000, 400, 300
    assert _middle(counts) == (48, 54)
    counts[[0, 70]] = 20, 30  # 50 of 19,450: 0.10% and 0.15%
    assert _middle(counts) == (48, 54)
    counts[70] = 300
    assert _middle(counts) == (48, 71)
    assert _middle(np.zeros(102)) == (0, 102)
    assert _middle(np.eye(102)[0]) == (0, 1)
    axes = Figure().add_subplot()
    _draw_histogram(axes, np.linspace(-1428.0, 1428.0, 103), counts)
    assert axes.get_xlim() == pytest.approx((-84.0, 560.0))
    assert axes.get_xlabel() == "predicted minus true (20 of 19,720 rows lie beyond)"


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    """A file in the place of the folder is a StorageFailed with the path."""
    (tmp_path / "reports").write_text("a file")
    with pytest.raises(StorageFailed, match="reports"):
        FIGURES["roc"](tmp_path / "reports" / "roc.png")


def test_import_is_light():
    """matplotlib is loaded when something is drawn, not before."""
    code = "import sys, tidemill.reporting; sys.exit('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": "platform"})
    assert done.returncode == 0
