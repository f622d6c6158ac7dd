"""Yes and no, names and blanks mean one thing in CSV, JSON lines and Parquet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.ingestion.tables import read, values

from tidemill.ingestion.sources.batches import ParsedBatch
from tidemill.schema import ColumnType

FORMS = ("csv", "jsonl", "parquet")
Y = ["a", "b"] * 30


def faults(batches: list[ParsedBatch], column: str) -> list[str]:
    """The texts of a column's cells that could not be read."""
    return [t for b in batches if column in b.faults for t in b.faults[column].texts]


def write(root: Path, form: str, names: list[str], columns: list[list[Any]]) -> str:
    """The columns as a file; a name may come twice."""
    path = root / f"t.{form}"
    if form == "parquet":
        pq.write_table(pa.table([pa.array(c) for c in columns], names=names), path)
    elif form == "jsonl":
        rows = zip(*columns, strict=True)
        members = (
            ", ".join(f"{json.dumps(n)}: {json.dumps(v)}" for n, v in zip(names, row, strict=True))
            for row in rows
        )
        path.write_text("".join(f"{{{line}}}\n" for line in members))
    else:
        lines = [names, *zip(*columns, strict=True)]
        path.write_text("".join(",".join(map(str, line)) + "\n" for line in lines))
    return path.name


@pytest.mark.parametrize("form", FORMS)
def test_one_is_true_however_it_is_written(tmp_path: Path, form: str) -> None:
    """As the text 1.0, as the number 1.0, and where the type is stated; 2 and 01 are neither."""
    texts = [["yes", "1.0"][i % 9 == 0] if i % 2 else ["no", "0.0"][i % 22 == 0] for i in range(60)]
    source = write(tmp_path, form, ["v", "y"], [texts, Y])
    found, batches = read(tmp_path, source)
    assert found.schema["v"].type is ColumnType.BOOLEAN
    assert "'1.0' and 'yes', '0.0' and 'no' are read as one" in found.notes["v"]
    assert values(batches, "v") == [bool(i % 2) for i in range(60)]
    numbers = [[1.0, 0.0][i % 2] for i in range(58)] + [2.0, -0.0]
    source = write(tmp_path, form, ["v", "y"], [numbers, Y])
    _, batches = read(tmp_path, source, types={"v": "boolean"})
    assert values(batches, "v") == [i % 2 == 0 for i in range(58)] + [None, False]
    assert len(faults(batches, "v")) == 1


def test_words_and_bare_numbers_in_one_column_are_one_law(tmp_path: Path) -> None:
    """In JSON the cells of one column may be words, truths and numbers."""
    cells = [[True, "no", 1, 0.0, "1.", "yes"][i % 6] for i in range(60)]
    wanted = [[True, False, True, False, True, True][i % 6] for i in range(60)]
    source = write(tmp_path, "jsonl", ["v", "y"], [cells, Y])
    _, batches = read(tmp_path, source, types={"v": "boolean"})
    assert values(batches, "v") == wanted
    source = write(tmp_path, "csv", ["v", "y"], [cells, Y])
    _, batches = read(tmp_path, source, types={"v": "boolean"})
    assert values(batches, "v") == wanted
    source = write(tmp_path, "csv", ["v", "y"], [["01" if i == 7 else i % 2 for i in range(60)], Y])
    _, batches = read(tmp_path, source, types={"v": "boolean"})
    assert faults(batches, "v") == ["01"]


NAMES = [" amount ", "", "amount", "plain", "\tname\u00a0", "y"]
CALLED = ("amount", "column_2", "amount_2", "plain", "name", "y")


@pytest.mark.parametrize("form", FORMS)
def test_names_are_one_law(tmp_path: Path, form: str) -> None:
    """Blanks around them are left out, which is said; two that become one are told apart."""
    columns = [[n * 100 + i for i in range(60)] for n in range(5)]
    source = write(tmp_path, form, NAMES, [*columns, Y])
    found, batches = read(tmp_path, source)
    assert found.schema.names == CALLED
    for name, written in zip(CALLED[:5], columns, strict=True):
        assert values(batches, name) == written
    assert found.notes["amount"] == "the data call it ' amount ': blanks around names are left out"
    assert found.notes["column_2"] == "the column has no name in the data"
    assert "more than once" in found.notes["amount_2"]
    assert set(found.notes) == {"amount", "column_2", "amount_2", "name"}


@pytest.mark.parametrize("form", FORMS)
def test_files_may_write_a_name_with_blanks_and_without(tmp_path: Path, form: str) -> None:
    """It is one column, and its numbers beyond float32 are seen in every file."""
    write(tmp_path, form, ["v", "y"], [[1.5] * 30 if form != "parquet" else [1] * 30, Y[:30]])
    (tmp_path / f"t.{form}").rename(tmp_path / f"a.{form}")
    write(tmp_path, form, ["y", " v "], [Y[:30], [2**24 + 1] * 30])
    found, batches = read(tmp_path, f"*.{form}", look_rows=100)
    assert found.schema.names == ("v", "y")
    assert values(batches, "v")[30:] == [2**24 + 1] * 30


def test_members_of_nested_objects_keep_their_names(tmp_path: Path) -> None:
    """What stands in a cell is its text."""
    lines = [{" v ": {" a ": i % 2, "": 1}, "y": "ab"[i % 2]} for i in range(40)]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    _, batches = read(tmp_path, "t.jsonl")
    assert set(values(batches, "v")) == {'{" a ": 0, "": 1}', '{" a ": 1, "": 1}'}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("blank", [" ", "\t", "\u00a0"])
def test_categories_that_differ_in_blanks_are_said(tmp_path: Path, form: str, blank: str) -> None:
    """They stay apart, as in the file; the line that makes them one was tried and does so."""
    texts = [["red", f"red{blank}", "blue"][i % 3] for i in range(60)]
    source = write(tmp_path, form, ["a b", "y"], [texts, Y])
    found, batches = read(tmp_path, source)
    assert values(batches, "a b") == texts
    note = found.notes["a b"]
    assert note.startswith("20 cells differ from others only in blanks around them (")
    derive, drop = (
        json.loads(part.split(" take")[0])
        for part in note.split("dataset.")[1:]
        for part in [part.partition(": ")[2].removesuffix(" and ")]
    )
    found, batches = read(tmp_path, source, derive=derive, drop=drop)
    assert values(batches, "a_b_trimmed") == [text.strip() for text in texts]
    source = write(tmp_path, form, ["a b", "y"], [[f"{t.strip()}{blank}" for t in texts], Y])
    found, batches = read(tmp_path, source)
    assert values(batches, "a b") == [f"{text.strip()}{blank}" for text in texts]
    assert found.notes["a b"].startswith("all texts have blanks around them, which are kept")
    padded = [text + blank for text in texts if text == "red"] + ["blue"] * 40
    source = write(tmp_path, form, ["a b", "y"], [padded, Y])
    assert "a b" not in read(tmp_path, source)[0].notes
