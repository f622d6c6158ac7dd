"""score counts, places and says what it does not read as the model's table was, or refuses it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tidemill.drafting import init_workspace
from tidemill.engines import LocalEngine
from tidemill.errors import SchemaMismatch
from tidemill.storage import Workspace
from tidemill.testing.workspaces import QUICK, run_here

# A whole run of a table of its own; test_cli_score scores among the fast tests.
pytestmark = pytest.mark.slow

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases"
NAMES = ["id", "price", "town", "seen", "kind"]


def rows(count=300):
    """A key of whole numbers, decimals, five towns, times; three kinds."""
    return [
        [
            1000 + n,
            f"{n % 40}.{n % 4 * 25:02d}".rstrip("0").rstrip("."),
            ("Rome", "Oslo", "Bern", "Bonn", "Graz")[n % 5],
            f"2024-03-{1 + n % 28:02d} 10:{n % 60:02d}:00",
            ("low", "middle", "high")[n % 40 // 14],
        ]
        for n in range(count)
    ]


def write(path, table, names=NAMES, delimiter=","):
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([names, *table])
    return path


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    """A finished workspace of three classes."""
    root = tmp_path_factory.mktemp("kinds") / "ws"
    root.mkdir()
    write(root / "t.csv", rows())
    with LocalEngine(1) as engine:
        init_workspace(
            Workspace.at(root),
            source=str(root / "t.csv"),
            target="kind",
            time=None,
            key="id",
            assignments=[*QUICK, "dataset.name=kinds", "dataset.types={town: categorical}"],
            engine=engine,
        )
    run_here(root)
    return root


@pytest.fixture
def score(kinds, cli, tmp_path):
    """Score a table of changed rows: {row: {column: text}}; the answer and the output's path."""

    def run(changes=None, *, source=None, out="scored.parquet", count=100):
        table = rows(count)
        for row, cells in (changes or {}).items():
            for column, text in cells.items():
                table[row][NAMES.index(column)] = text
        source = source or write(tmp_path / "new.csv", table)
        path = tmp_path / out
        return cli("score", "--input", source, "--output", path, "-w", kinds, "--json"), path

    return run


def test_multiclass_gives_a_probability_a_class(score):
    """They sum to one, the best is the score, its class the prediction; the key is there."""
    done, path = score()
    assert done.code == 0, done.err
    frame = pq.read_table(path).to_pandas()
    probabilities = [f"probability_{kind}" for kind in ("high", "low", "middle")]
    assert list(frame) == ["source", "row", "id", "prediction", "score", *probabilities]
    assert frame[probabilities].sum(axis=1).round(6).eq(1).all()
    assert frame["score"].equals(frame[probabilities].max(axis=1))
    best = frame[probabilities].idxmax(axis=1).str.removeprefix("probability_")
    assert (best == frame["prediction"].astype(str)).all()
    assert done.document["odd_cells"] == []
    counts = ("unreadable_lines", "unreadable_cells", "lost_keys", "never_seen_categories")
    assert [done.document[name] for name in counts] == [0, 0, 0, 0]


def test_odd_cells_are_counted_by_column_with_their_first_place(score, tmp_path):
    """Unreadable, lost key, never seen, rounded, cut and a line that is no row: each is said."""
    changes = {
        3: {"price": "11,0"},
        4: {"price": "gratis"},
        7: {"id": "M-0001"},
        8: {"id": "01008"},
        9: {"town": "Atlantis"},
        11: {"price": "16777217.25"},
        12: {"seen": "2024-03-05 10:00:00.1234567"},
    }
    done, path = score(changes)
    assert done.code == 0, done.err
    found = {(row["column"], row["oddity"]): row for row in done.document["odd_cells"]}
    assert {key: row["cells"] for key, row in found.items()} == {
        ("price", "unreadable"): 2,
        ("id", "key lost"): 2,
        ("town", "never seen"): 1,
        ("price", "rounded"): 1,
        ("seen", "cut"): 1,
    }
    first = found["price", "unreadable"]
    assert (first["such_as"], first["first_at"].endswith("new.csv, row 3")) == ("11,0", True)
    assert found["town", "never seen"]["such_as"] == "Atlantis"
    assert (done.document["unreadable_cells"], done.document["lost_keys"]) == (2, 2)
    assert (done.document["never_seen_categories"], done.document["rounded_numbers"]) == (1, 1)
    said = "price: 2 cells cannot be read and count as missing (first '11,0' at "
    assert said in done.err.replace("\n", "")
    table = pq.read_table(path)
    assert table["id"][7].as_py() is None
    assert table["id"][6].as_py() == 1006
    text = (tmp_path / "new.csv").read_text() + "1,2\n"
    (tmp_path / "new.csv").write_text(text)
    again, _ = score(source=tmp_path / "new.csv")
    assert (again.document["unreadable_lines"], again.document["rows"]) == (1, 100)
    assert "1 lines are no rows" in again.err


@pytest.mark.parametrize(
    ("column", "text"), [("price", "11,0"), ("id", "M-1"), ("id", "0{row}"), ("seen", "5/6/2024")]
)
def test_above_the_limit_nothing_is_written(score, column, text):
    """Keys M-0001, decimal commas and other dates in more than a tenth of the rows: exit 3."""
    done, path = score({row: {column: text.format(row=1000 + row)} for row in range(11)})
    assert (done.code, done.document["error"]) == (3, "ValidationFailed")
    message = done.document["message"]
    assert "11 of 100 rows" in message
    assert f"11 in {column}" in message
    assert "ingestion.max_invalid_fraction" in done.document["remedy"]
    assert not path.exists()
    assert not list(path.parent.glob(".scored*"))


def test_a_whole_other_convention_is_refused(score, tmp_path):
    """Semicolons with decimal commas, as a spreadsheet of another country exports them."""
    table = [[*r[:1], str(r[1]).replace(".", ",") + ",0", *r[2:]] for r in rows(50)]
    done, path = score(source=write(tmp_path / "de.csv", table, delimiter=";"))
    assert (done.code, path.exists()) == (3, False)
    assert "50 in price" in done.document["message"]


def test_the_ending_says_the_format(score, tmp_path):
    """.csv holds what .parquet does; another ending is refused before anything is read."""
    score()
    done, path = score({5: {"id": ""}, 6: {"id": "NA"}}, out="scored.csv")
    assert done.code == 0, done.err
    (odd,) = done.document["odd_cells"]
    assert (odd["column"], odd["oddity"], odd["cells"]) == ("id", "no key", 2)
    assert odd["first_at"].endswith("new.csv, row 5")
    assert done.document["missing_keys"] == 2
    with path.open(newline="") as file:
        found = list(csv.DictReader(file))
    plain = pq.read_table(tmp_path / "scored.parquet").to_pylist()
    assert len(found) == 100
    assert list(found[0]) == list(plain[0])
    assert [float(row["score"]) for row in found] == [row["score"] for row in plain]
    assert [row["prediction"] for row in found] == [row["prediction"] for row in plain]
    assert (found[4]["id"], found[5]["id"]) == ("1004", "")
    for name in ("scored", "scored.xlsx", "scored.csv.gz"):
        done, path = score(out=name)
        assert (done.code, done.document["error"], path.exists()) == (2, "UsageError", False)
        assert ".parquet or .csv" in done.document["remedy"]


@pytest.mark.parametrize("content", [None, "", "\0\1\2"])
def test_a_wrong_input_is_blamed_by_its_own_name(score, tmp_path, content):
    """Missing, empty and unreadable: --input is named, dataset.source is not."""
    source = tmp_path / "absent.csv"
    if content is not None:
        source.write_text(content)
    done, _ = score(source=source)
    assert done.code in (2, 3)
    words = done.document["message"] + done.document["remedy"]
    assert "dataset.source" not in words
    assert "params.yaml" not in words
    if not content:
        assert "--input" in words


def test_categories_are_read_alike_in_parquet_and_rows_counted_over_splits(
    kinds, score, tmp_path, monkeypatch
):
    """Row numbers go on behind the first split of a Parquet file; keys of other types are told."""
    monkeypatch.setattr("tidemill.ingestion.sources.parquet.parquet_source.SPLIT_ROWS", 40)
    names = ("price", "town", "seen")
    columns = {name: [row[NAMES.index(name)] for row in rows(100)] for name in names}
    columns["price"] = [float(text) for text in columns["price"]]
    table = pa.table({**columns, "id": [float(row[0]) + (row[0] == 1050) / 2 for row in rows(100)]})
    pq.write_table(table, tmp_path / "new.parquet", row_group_size=20)
    done, path = score(source=tmp_path / "new.parquet")
    assert done.code == 0, done.err
    assert pq.read_table(path)["row"].to_pylist() == list(range(100))
    (odd,) = done.document["odd_cells"]
    assert (odd["column"], odd["oddity"], odd["cells"]) == ("id", "key lost", 1)
    assert odd["first_at"].endswith("new.parquet, row 50")


@pytest.mark.slow
@pytest.mark.skipif(not CASES.is_dir(), reason=f"{CASES} is absent")
def test_the_case_of_200_unreadable_rows(cli, tmp_path):
    """c24: decimals, codes and dates of another country; 44 labels flipped in silence once."""
    root = tmp_path / "ws"
    root.mkdir()
    with LocalEngine(1) as engine:
        init_workspace(
            Workspace.at(root), source=str(CASES / "c21_train.csv"), target="y",
            time=None, key="id",
            assignments=[*QUICK, "dataset.name=c21"], engine=engine,
        )  # fmt: skip
    run_here(root)
    bad, out = CASES / "c24_score_unreadable.csv", tmp_path / "scored.csv"
    done = cli("score", "--input", bad, "--output", out, "-w", root, "--json")
    assert (done.code, out.exists()) == (3, False)
    assert "200 of 200 rows" in done.document["message"]
    odd = {row["column"]: row["cells"] for row in done.document["fields"]["odd_cells"]}
    assert odd == {'a:b,{c}"': 200, "code": 200, "when": 200}
    good = CASES / "c21_s_base.csv"
    done = cli("score", "--input", good, "--output", out, "-w", root, "--json")
    assert (done.code, done.document["rows"]) == (0, 200)
    assert done.document["odd_cells"] == [], json.dumps(done.document)
    assert done.document["threshold"] == 0.5
    with out.open(newline="") as file:
        for row in csv.DictReader(file):
            assert row["decision"] == row["prediction"]
            assert (float(row["score"]) > 0.5) == (row["decision"] == "stayed")


def test_mlflow_predicts_what_score_writes(kinds, score, tmp_path):
    """The same frame through pyfunc and as a Parquet file: texts, gaps, zones, `NA` and all."""
    import mlflow

    frame = pd.DataFrame(rows(60), columns=NAMES).astype({"price": float})
    frame["seen"] = pd.to_datetime(frame["seen"]).dt.tz_localize("Asia/Tokyo")
    frame.loc[:2, "town"] = ["NA", "Atlantis", None]
    frame.loc[3:5, "price"] = [16777217.25, np.nan, 1 / 3]
    frame.to_parquet(tmp_path / "t.parquet")
    done, path = score(source=tmp_path / "t.parquet")
    assert done.code == 0, done.err
    written = pq.read_table(path).to_pandas()
    served = mlflow.pyfunc.load_model(str(kinds / "models" / "serving" / "model"))
    told = served.predict(frame[["kind", "seen", "town", "price"]])
    assert list(told) == list(written["prediction"])
    pipeline = mlflow.sklearn.load_model(str(kinds / "models" / "serving" / "model"))
    names = [f"probability_{kind}" for kind in ("high", "low", "middle")]
    np.testing.assert_array_equal(pipeline.predict_proba(frame), written[names])
    for column, cell in (("price", "007"), ("seen", 7), ("price", "1_0")):
        odd = frame.astype(object)
        odd.loc[8, column] = cell
        with pytest.raises(SchemaMismatch, match=f"{column!r} .* row 8 "):
            served.predict(odd)
