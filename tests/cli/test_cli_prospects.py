"""init says what cannot be learnt, what gives the target away, and what orders the rows."""

from __future__ import annotations

import json
import re
import shlex
import shutil

import numpy as np
import pyarrow as pa
import pytest
from tests.cli.conftest import marked

from tidemill.config import load_params
from tidemill.ingestion.first_look.prospects import leaks, times_unused
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


@pytest.mark.parametrize("kind", marked(TARGETS, slow={"many classes"}))
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


KEYS = {
    "three values": (["a", "b", "c"] * (ROWS // 3), "3 different values, of which 3 repeat"),
    "numbers": ([i // 2 for i in range(ROWS)], "1,500 different values, of which 1,500 repeat"),
    "gaps": (["" if i % 100 == 0 else f"k{i}" for i in range(ROWS)], "is missing in 30"),
}


@pytest.mark.parametrize("kind", marked(KEYS, slow={"numbers"}))
def test_init_stops_at_a_key_that_does_not_name_one_row_each(kind, tmp_path, cli):
    """As the run would; by the option's name, and each way of the remedy works."""
    values, why = KEYS[kind]
    write(tmp_path / "data", id=range(ROWS), k=values, x=NOISE, y=["p", "q"] * (ROWS // 2))
    command = ["init", tmp_path / "ws", "--source", tmp_path / "data", "--target", "y", "--json"]
    done = cli(*command, "--key", "k")
    assert (done.code, done.document["error"]) == (3, "KeyInvalid")
    assert done.document["message"].startswith("--key k ")
    assert why in done.document["message"]
    assert "leave --key out" in done.document["remedy"]
    by_set = cli(*command, "--set", "dataset.key=k").document
    assert by_set["message"].startswith("dataset.key k ")
    assert not (tmp_path / "ws").exists()
    assert cli(*command, "--key", "id").code == 0
    shutil.rmtree(tmp_path / "ws")
    assert cli(*command).code == 0
    if kind == "three values":  # what init lets through, the run does too
        assert cli("stage", "look", "-w", tmp_path / "ws").code == 0
        assert cli("stage", "ingest", "-w", tmp_path / "ws").code == 0


CLASSES = {
    "words": (["no", "yes"], "yes", "no"),
    "numbers": (["0.0", "1.0"], "1", "0"),
    "truths": (["TRUE", "FALSE"], "TRUE", "FALSE"),
    "with a quote": (["it's", "a b"], "it's", "a b"),
    "no plain text": (["über", "\x7fx"], "über", "\x7fx"),
}


@pytest.mark.parametrize("kind", marked(CLASSES, slow={"truths", "no plain text"}))
def test_the_class_that_is_taken_as_positive_is_named(kind, tmp_path, cli):
    """By init, in its params.yaml and by look; the setting that is offered makes it the other."""
    labels, positive, other = CLASSES[kind]
    write(tmp_path / "data", x=NOISE, y=labels * (ROWS // 2))
    command = ["init", "--source", tmp_path / "data", "--target", "y", "--json"]
    said = cli(*command, tmp_path / "a").document
    assert said["positive_class"] == positive
    (word,) = [each for each in said["warnings"] if "positive class" in each]
    assert word.startswith(f"y: {positive!r} is taken as the positive class")
    text = (tmp_path / "a" / "params.yaml").read_text(encoding="utf-8")
    (comment,) = re.findall(r"positive: null .*null: the last in order, (.*)", text)
    assert json.loads(comment) == positive
    looked = cli("stage", "look", "-w", tmp_path / "a", "--json").document
    assert looked["dataset.positive"] == positive
    setting = shlex.split(word[word.index("--set") :])
    turned = cli(*command, tmp_path / "b", *setting).document
    assert turned["positive_class"] == other
    assert not [each for each in turned["warnings"] if "positive class" in each]
    assert load_params(tmp_path / "b").dataset.positive == other
    assert (
        cli("stage", "look", "-w", tmp_path / "b", "--json").document["dataset.positive"] == other
    )


def test_only_of_two_classes_one_is_positive(tmp_path, cli):
    """Nothing is said of three, or of figures."""
    for name, values in (("three", ["a", "b", "c"] * (ROWS // 3)), ("figure", NOISE)):
        write(tmp_path / name, x=NOISE[::-1], y=values)
        place = tmp_path / f"{name}-ws"
        done = cli("init", place, "--source", tmp_path / name, "--target", "y", "--json")
        assert "positive" not in json.dumps(done.document)
        assert "the last in order\n" in (place / "params.yaml").read_text()
        assert "dataset.positive" not in cli("stage", "look", "-w", place, "--json").document
