"""tidemill retrain and rollback: from a file, without monitor and Prefect."""

from __future__ import annotations

import json
import sys
from collections import namedtuple

import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from tidemill.tracking import Registry, Tracker

Said = namedtuple("Said", "code out err document")


@pytest.fixture
def cli(monkeypatch, capfd):
    """Run the command line in this process."""

    def run(*arguments):
        from tidemill.cli import main

        capfd.readouterr()
        monkeypatch.setattr(sys, "argv", ["tidemill", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code or 0
        out, err = capfd.readouterr()
        return Said(code, out, err, json.loads(out) if "--json" in arguments and out else None)

    return run


def champion(root):
    return Registry(Tracker(f"sqlite:///{root}/mlflow.db", "rides")).champion("rides").version


@pytest.fixture
def labelled(root, live, tmp_path):
    """The live rows as somebody might have them: a CSV of the table's own columns."""
    table = live(root, 1200)
    ids = [str(10_000_000 + number) for number in range(table.num_rows)]
    table = table.drop_columns(["event_id", "at"]).append_column("ride_id", [ids])
    path = tmp_path / "labelled.csv"
    pacsv.write_csv(table.cast(plain(table.schema)), path)
    return path


def plain(schema):
    import pyarrow as pa

    return pa.schema(
        [
            field.with_type(pa.string()) if pa.types.is_dictionary(field.type) else field
            for field in schema
        ]
    )


def test_retrain_and_rollback(root, labelled, cli, monkeypatch):
    """Rows of a CSV teach a better champion; rolled back, the one before serves; twice is once."""
    monkeypatch.delenv("TIDEMILL_MONITOR_KEY", raising=False)
    with labelled.open("a") as file:
        file.write("1,2\n")
    done = cli("retrain", "--labelled", labelled, "-w", root, "--reason", "try", "--json")
    assert done.code == 0, done.err
    assert done.document["promoted"] is True
    assert (done.document["rows_unreadable"], done.document["odd_cells"]) == (1, [])
    assert "gather: 1 lines are no rows" in done.err
    assert champion(root) == 2
    again = cli("retrain", "--labelled", labelled, "-w", root, "--json")
    assert again.document == done.document

    back = cli("rollback", "-w", root, "--reason", "complaints", "--json")
    assert (back.code, back.document["version"], back.document["before"]) == (0, 1, 2)
    assert champion(root) == 1
    empty = cli("rollback", "-w", root, "--json")
    assert (empty.code, empty.document["error"]) == (2, "ModelMissing")


def test_labelled_rows_that_are_not_there(root, cli):
    """Exit 2 names the file and the option that named it."""
    done = cli("retrain", "--labelled", root / "none.parquet", "-w", root, "--json")
    assert (done.code, done.document["error"]) == (2, "SourceMissing")
    assert done.document["message"].startswith("--labelled ")
    assert "dataset.source" not in done.out


def test_labelled_rows_without_a_feature(root, live, tmp_path, cli):
    """Exit 3 names the column."""
    table = live(root, 300).drop_columns(["pickup_zone", "event_id", "at"])
    pq.write_table(table, tmp_path / "rows.parquet")
    done = cli("retrain", "--labelled", tmp_path / "rows.parquet", "-w", root, "--json")
    assert done.code == 3, done.err
    assert "pickup_zone" in done.document["message"] or "ride_id" in done.document["message"]
