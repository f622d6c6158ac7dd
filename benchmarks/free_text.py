"""Free text: the whole job as it is drafted, beside TF-IDF and a logistic regression in memory.

Simulated summaries: words by Zipf's law, a part of which says something of the class, as pairs
with the word before do. The same rows learn on both sides (ours the judged model, which leaves a
tenth of them to validation), the same rows test. Each side is a process of its own, in turn.
``TIDEMILL_BENCH_ROWS`` (default 60000) makes it smaller.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from benchmarks.measure import Measured, run
from benchmarks.table import Line, line

ROWS = int(os.environ.get("TIDEMILL_BENCH_ROWS", "60000"))
WORDS, LENGTH = 30_000, 40
PEER = """
import json, sys
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
train, test = (pd.read_csv(path) for path in sys.argv[1:])
vectors = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)
model = LogisticRegression(max_iter=500).fit(vectors.fit_transform(train["summary"]), train["y"])
scores = model.decision_function(vectors.transform(test["summary"]))
print(json.dumps({"roc_auc": roc_auc_score(test["y"], scores)}))
"""


def measure(folder: Path) -> dict[str, Any]:
    """Both sides once."""
    train, test = _files(folder / "summaries")
    return {"rows": ROWS, "tidemill": _ours(folder, train.parent), "peer": _peer(train, test)}


def lines(found: dict[str, Any]) -> list[Line]:
    """By how much the peer's ROC AUC is better; its CPU and memory as times ours."""
    ours, peer = found["tidemill"], found["peer"]
    size = f"{found['rows']:,} texts"
    return [
        line(f"{size}: by how much the peer's ROC AUC is better", _gap(found), 0.005),
        line(
            "  its CPU seconds, times ours",
            peer["cpu_seconds"] / ours["cpu_seconds"],
            1,
            least=True,
        ),
        line("  its peak memory, times ours", peer["peak_mb"] / ours["peak_mb"], 1, least=True),
    ]


def _gap(found: dict[str, Any]) -> float:
    return float(found["peer"]["roc_auc"] - found["tidemill"]["roc_auc"])


def _files(folder: Path) -> tuple[Path, Path]:
    """Four fifths of the rows, and the last one."""
    folder.mkdir(parents=True, exist_ok=True)
    frame, cut = _summaries(np.random.default_rng(42)), ROWS * 4 // 5
    parts = {folder / "a.csv": frame[:cut], folder / "test.csv": frame[cut:]}
    for path, rows in parts.items():
        rows.to_csv(path, index=False)
    train, test = parts
    return train, test


def _summaries(rng: np.random.Generator) -> pd.DataFrame:
    syllables = np.array([a + b for a in "bcdfghjklmnprstvwz" for b in "aeiou"])
    words = np.array(["".join(rng.choice(syllables, rng.integers(1, 5))) for _ in range(WORDS)])
    share = 1 / (np.arange(WORDS) + 5.0)
    meaning = rng.normal(size=WORDS) * (rng.random(WORDS) < 0.15)
    lengths = np.maximum(rng.poisson(LENGTH, ROWS), 3)
    said = rng.choice(WORDS, lengths.sum(), p=share / share.sum())
    turns = said[:-1] == 7  # a word that turns the next one into its opposite
    weight = meaning[said]
    weight[1:][turns] *= -1
    of_word = np.repeat(np.arange(ROWS), lengths)
    mood = np.bincount(of_word, weight, ROWS) / np.sqrt(lengths)
    y = rng.random(ROWS) < 1 / (1 + np.exp(-8 * mood / mood.std()))
    texts = [" ".join(each) for each in np.split(words[said], np.cumsum(lengths)[:-1])]
    return pd.DataFrame({"summary": texts, "y": y.astype(int)})


def _ours(folder: Path, source: Path) -> dict[str, float]:
    workspace = folder / "workspace"
    shutil.rmtree(workspace, ignore_errors=True)
    tool = [sys.executable, "-m", "tidemill"]
    settings = {"sharding.holdout.by": "file", "sharding.holdout.test": '"*test.csv"'}
    said = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    command = [*tool, "init", str(workspace), "--source", str(source), "--target", "y", *said]
    run([*command, "--set", "tuning.trials=0"], cwd=folder)
    measured = run([*tool, "run", "--direct", "--until", "evaluate"], cwd=workspace)
    scores = json.loads((workspace / "reports" / "metrics.json").read_text())
    return _figures(measured, scores["test"]["roc_auc"])


def _peer(train: Path, test: Path) -> dict[str, float]:
    measured = run([sys.executable, "-c", PEER, str(train), str(test)], cwd=train.parent.parent)
    return _figures(measured, json.loads(measured.stdout)["roc_auc"])


def _figures(measured: Measured, roc_auc: float) -> dict[str, float]:
    return {
        "seconds": round(measured.seconds, 2),
        "cpu_seconds": round(measured.cpu_seconds, 2),
        "peak_mb": round(measured.peak_memory_bytes / 1e6, 1),
        "roc_auc": round(roc_auc, 4),
    }
