"""A table of a real PostgreSQL goes through every door, and its password stands nowhere."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pyarrow.parquet as pq
import pytest

from tidemill.config import load_params
from tidemill.testing.workspaces import QUICK, run_here

CANARY = "canary-7f3a91"
SETTINGS = [f"--set={each}" for each in QUICK]


@pytest.fixture
def base(postgres):
    """A database whose table needs a password: its address, and how its owner runs a statement."""
    url = postgres.new_database()
    name = url.rpartition("/")[2]

    def run(*statements):
        place = {"host": "127.0.0.1", "port": postgres.port, "user": "tide", "dbname": name}
        with psycopg.connect(**place, autocommit=True) as connection:
            return [connection.execute(each) for each in statements]

    (found,) = run("SHOW hba_file")
    hba = Path(found.fetchone()[0])
    if "reader" not in hba.read_text():
        hba.write_text(f"host all reader 127.0.0.1/32 scram-sha-256\n{hba.read_text()}")
        run(f"CREATE ROLE reader LOGIN PASSWORD '{CANARY}'", "SELECT pg_reload_conf()")
    run(
        "CREATE TABLE rides (id serial PRIMARY KEY, n integer, word text, paid numeric(8, 2), "
        "y text)",
        "GRANT SELECT ON rides TO reader",
    )
    grown(run, 1800)
    return f"postgresql://reader@127.0.0.1:{postgres.port}/{name}", run


def grown(run, rows):
    """Add rows."""
    run(
        "INSERT INTO rides (n, word, paid, y) SELECT n, "
        "(ARRAY['red', 'blue', 'green'])[n % 3 + 1], n * 0.25, "
        f"(ARRAY['yes', 'no'])[n * n % 7 % 2 + 1] FROM generate_series(1, {rows}) AS n"
    )


def searched(folder):
    """The files below a folder that hold the password."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 5
    return [path for path in files if CANARY.encode() in path.read_bytes()]


@pytest.mark.slow
def test_look_asks_the_table_each_time(base, tmp_path, cli, monkeypatch):
    """ingest runs where rows came; a wrong password, or none, is told without any."""
    address, run = base
    monkeypatch.setenv("PGPASSWORD", CANARY)
    made = cli("init", tmp_path / "ws", "--source", f"{address}#rides", "--target", "y", *SETTINGS)
    assert made.code == 0, made.err
    assert "what names its rows" in made.err
    assert "file" not in made.err.partition("workspace ready")[0]
    assert load_params(tmp_path / "ws").dataset.format == "auto"
    states = []
    for rows in (0, 0, 50):
        grown(run, rows)
        summary = run_here(tmp_path / "ws", until="ingest")
        states.append([run.state for run in summary.stages])
    assert states == [["ran", "ran"], ["ran", "current"], ["ran", "ran"]]
    assert searched(tmp_path / "ws") == []
    monkeypatch.setenv("PGPASSWORD", f"{CANARY}x")
    refused = cli("run", "--direct", "-w", tmp_path / "ws")
    assert refused.code == 2
    assert "~/.pgpass" in refused.err
    assert CANARY not in refused.err + refused.out
    monkeypatch.delenv("PGPASSWORD")
    (tmp_path / "pass").write_text(f"*:*:*:reader:{CANARY}\n")
    (tmp_path / "pass").chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "pass"))
    assert run_here(tmp_path / "ws", until="ingest").stages[1].state == "current"


def test_a_password_in_an_address_reaches_nothing(blank, copy, cli, tmp_path):
    """init, --set and --input refuse it before a file or a word of it is written."""
    address = f"postgresql://reader:{CANARY}@127.0.0.1:1/base#rides"
    copied = copy(blank)
    before = (copied / "params.yaml").read_text()
    for command in (
        ("init", tmp_path / "new", "--source", address, "--target", "y"),
        ("run", "--direct", "-w", copied, f"--set=dataset.source={address}"),
    ):
        said = cli(*command)
        assert said.code == 2, said
        assert CANARY not in said.err + said.out
    assert not (tmp_path / "new").exists()
    assert (copied / "params.yaml").read_text() == before
    assert searched(copied) == []


@pytest.mark.slow
def test_a_whole_job_leaves_no_password(base, tmp_path, shell):
    """By Prefect, by dvc and direct: no file, parameter, log or word of it has the password."""
    address, run = base
    given = {"PGPASSWORD": CANARY, "PREFECT_HOME": str(tmp_path / "prefect")}

    def done(*command, **more):
        found = shell(tmp_path, *command, check=False, **{**given, **more})
        assert CANARY not in found.stdout + found.stderr
        return found

    source = ("--source", f"{address}#rides", "--target", "y")
    first = done("tidemill", "init", tmp_path / "ws", *source, *SETTINGS)
    assert first.returncode == 0, first.stderr
    output = ("--output", tmp_path / "scored.parquet")
    for command in (
        ("tidemill", "run", "-w", tmp_path / "ws"),
        ("dvc", "--cd", tmp_path / "ws", "repro", "register"),
        ("tidemill", "score", "-w", tmp_path / "ws", "--input", f"{address}#rides", *output),
    ):
        found = done(*command)
        assert found.returncode == 0, found.stderr
    scored = pq.read_table(tmp_path / "scored.parquet")
    assert (scored.num_rows, scored["source"][0].as_py()) == (1800, f"{address}#rides")
    run("DROP TABLE rides")
    assert done("tidemill", "run", "-w", tmp_path / "ws").returncode == 2
    wrong = done("tidemill", "run", "-w", tmp_path / "ws", PGPASSWORD=f"{CANARY}x")
    assert wrong.returncode == 2
    assert "password authentication failed" in wrong.stderr
    password = f"postgresql://reader:{CANARY}@127.0.0.1:1/base#rides"
    scored = done("tidemill", "score", "-w", tmp_path / "ws", "--input", password, *output)
    assert scored.returncode == 2
    assert searched(tmp_path) == []
