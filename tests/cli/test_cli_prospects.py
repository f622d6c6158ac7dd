"""init says what cannot be learnt, what gives the target away, and what orders the rows."""

from __future__ import annotations

import re
import shlex

import numpy as np
import pyarrow as pa
import pytest

from tidemill.config import load_params
from tidemill.ingestion.prospects import leaks, times_unused
from tidemill.schema import Column, ColumnType, Purpose, TableSchema, Task

ROWS = 3000
RNG = np.random.default_rng(3)
NOISE = RNG.normal(size=ROWS).round(3)
SHUFFLED = RNG.permutation(ROWS)


def write(folder, **columns):
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        ",".join(columns),
        *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True)),
    ]
    (folder / "a.csv").write_text("\n".join(lines) + "\n")


TARGETS = {
    "one value": (["yes"] * ROWS, "one value only, 'yes'"),
    "mostly missing": ([i % 2 if i % 5 == 0 else "" for i in range(ROWS)], "missing in 2400 of"),
    "texts of an id": ([f"u-{i}" for i in SHUFFLED], "as an id has"),
    "numbers of an id": (list(range(1, ROWS + 1)), "grows from row to row"),
    "many classes": ([f"{i % 1200}x" for i in range(ROWS)], "1200 classes"),
}


@pytest.mark.parametrize("kind", TARGETS)
def test_init_stops_at_a_target_from_which_nothing_can_be_learnt(kind, tmp_path, cli):
    """With the reason; what the remedy says lets it pass; nothing is left behind."""
    values, why = TARGETS[kind]
    write(tmp_path / "data", x=NOISE, y=values)
    command = ["init", tmp_path / "ws", "--source", tmp_path / "data", "--target", "y"]
    done = cli(*command, "--json")
    assert (done.code, done.document["error"]) == (3, "TargetUnusable")
    assert why in done.document["message"]
    assert not (tmp_path / "ws").exists()
    offered = re.findall(r"--set (?:'[^']*'|[^\s,;]+)", done.document["remedy"])
    assert offered or kind == "one value"
    for remedy in offered:
        assert cli(*command, *shlex.split(remedy)).code == 0


def test_init_stops_at_a_figure_stated_to_be_classes(tmp_path, cli):
    """Thousands of different numbers are no classes; either reading can be stated."""
    write(tmp_path / "data", x=NOISE, y=NOISE)
    command = ["init", tmp_path / "ws", "--source", tmp_path / "data", "--target", "y"]
    done = cli(*command, "--set", "dataset.task=multiclass", "--json")
    assert (done.code, done.document["error"]) == (3, "TargetUnusable")
    assert '{"y": numeric}' in done.document["remedy"]


@pytest.mark.parametrize(
    "values",
    [
        [i % 7 for i in range(ROWS)],
        NOISE,
        [int(v * 1000) for v in NOISE],
        ["a", "b", "c"] * (ROWS // 3),
    ],
    ids=["classes", "figure", "whole", "texts"],
)
def test_sound_targets_pass_without_a_word_of_leaks(values, tmp_path, cli):
    """Noise predicts none of them; progress is told, and the source's path is relative."""
    write(tmp_path / "data", x=NOISE[::-1], z=["p", "q"] * (ROWS // 2), y=values)
    done = cli("init", tmp_path / "deep/ws", "--source", tmp_path / "data", "--target", "y")
    assert done.code == 0, done.err
    assert "alone predicts" not in done.err
    assert "looking at the rows of 1 file(s)" in done.err
    assert load_params(tmp_path / "deep/ws").dataset.source == "../../data"


BINARY = RNG.integers(0, 2, ROWS)
LEAKS = {
    "threshold": NOISE + 10 * BINARY,
    "missing only for one": [None if b else v for b, v in zip(BINARY, NOISE, strict=True)],
    "word": [("paid", "open")[b] for b in BINARY],
    "word but for slips": [("paid", "open")[b ^ (i % 200 == 0)] for i, b in enumerate(BINARY)],
    "flag": BINARY == 1,
}
HARMLESS = {
    "strong": NOISE + 1.5 * BINARY,
    "three quarters": [("paid", "open")[b ^ (i % 4 == 0)] for i, b in enumerate(BINARY)],
    "noise": NOISE,
}


def schema_of(table, task):
    kinds = {"double": ColumnType.NUMERIC, "bool": ColumnType.BOOLEAN}
    columns = []
    for field in table.schema:
        kind = kinds.get(str(field.type), ColumnType.CATEGORICAL)
        if str(field.type).startswith("timestamp"):
            kind = ColumnType.DATETIME
        purpose = Purpose.TARGET if field.name == "y" else Purpose.FEATURE
        columns.append(Column(field.name, kind, purpose, str(field.type)))
    return TableSchema(tuple(columns), task)


def test_leaks_are_named_and_strong_features_are_not():
    """Whatever the kind of feature; two features that predict together are none."""
    columns = {**LEAKS, **HARMLESS, "y": [str(b) for b in BINARY]}
    table = pa.table(columns)
    found = dict(leaks(schema_of(table, Task.BINARY), table))
    assert set(found) == set(LEAKS)
    assert all(0.98 <= gone <= 1 for gone in found.values())


def test_leaks_of_a_figure_are_named():
    """The target in other units, or bent; not one that a fifth of noise is in."""
    y = RNG.normal(size=ROWS)
    table = pa.table({"cents": 100 * y, "bent": np.exp(y), "noisy": y + 0.2 * NOISE, "y": y})
    found = leaks(schema_of(table, Task.REGRESSION), table)
    assert [name for name, _ in found] == ["cents", "bent"]


def test_too_few_rows_of_a_class_accuse_nobody():
    """Five of 3,000 rows may be predicted by chance."""
    y = [str(int(i < 5)) for i in range(ROWS)]
    table = pa.table({"x": np.arange(ROWS, dtype=float), "y": y})
    assert leaks(schema_of(table, Task.BINARY), table) == ()


def test_the_times_that_order_the_rows_are_named():
    """The one that is sorted; of several unsorted all."""
    days = np.datetime64("2024-01-01", "us") + np.arange(ROWS).astype("timedelta64[h]")
    table = pa.table({"born": days[SHUFFLED], "seen": days, "y": ["a", "b"] * (ROWS // 2)})
    assert times_unused(schema_of(table, Task.BINARY), table) == ("seen",)
    table = table.set_column(1, "seen", pa.array(days[SHUFFLED[::-1]]))
    assert times_unused(schema_of(table, Task.BINARY), table) == ("born", "seen")


def test_init_names_a_leak_and_the_time(tmp_path, cli):
    """On screen and in the document."""
    when = np.datetime64("2024-01-01") + np.arange(ROWS).astype("timedelta64[h]")
    write(tmp_path / "data", when=when, late=LEAKS["word"], x=NOISE, y=BINARY)
    arguments = ["--source", tmp_path / "data", "--target", "y"]
    done = cli("init", tmp_path / "ws", *arguments, "--json")
    said = " ".join(done.document["warnings"])
    assert "late alone predicts y nearly perfectly" in said
    assert "dataset.drop: [late]" in said
    assert "--time when" in said
    assert "x alone" not in said
