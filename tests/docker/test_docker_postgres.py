"""init.sh and healthy.sh with a real PostgreSQL, as the image's entry point runs them."""

from __future__ import annotations

import shutil
from pathlib import Path

import psycopg
import pytest

ROOT = Path(__file__).parents[2]
INIT = ROOT / "docker" / "postgres" / "init.sh"


@pytest.fixture
def health(postgres_image, document):
    """What the health check says: its exit code and its words."""

    def ask() -> tuple[int, str]:
        done = postgres_image.health(document["services"]["postgres"])
        return done.returncode, done.stderr

    return ask


def query(image, words: str, **who: str) -> list[tuple]:
    """What the server says by TCP: to a role with its password, or by its socket to its owner."""
    place = {"host": str(image.folder), "user": "postgres", "dbname": "postgres", **who}
    with psycopg.connect(port=image.port, autocommit=True, **place) as connection:
        asked = connection.execute(words)
        return asked.fetchall() if asked.description else []


@pytest.mark.parametrize(
    "mode",
    [
        pytest.param(0o755, id="executed", marks=pytest.mark.slow),
        pytest.param(0o644, id="sourced"),
    ],
)
def test_roles_and_databases_are_made_either_way(postgres_image, health, mode):
    """An executable script is executed, another one sourced: the same comes of it, and no more."""
    script = Path(shutil.copy(INIT, postgres_image.folder / "init.sh"))
    script.chmod(mode)
    postgres_image.make_data()
    first = postgres_image.serve("-h", "")
    assert health()[0] != 0, "well before it can be reached"
    bare = postgres_image.run_script(Path("/dev/null")).stdout
    done = postgres_image.run_script(script)
    assert (done.returncode, done.stdout, done.stderr) == (0, bare, "")
    postgres_image.stop(first)

    postgres_image.serve()
    assert health() == (0, "")
    for role, database in {
        ("prefect", "prefect"),
        ("mlflow", "mlflow"),
        ("mlflow", "mlflow_auth"),
        ("monitor", "monitor"),
    }:
        password = (postgres_image.secrets / f"db_{role}").read_text().strip()
        own = {"host": "127.0.0.1", "user": role, "password": password, "dbname": database}
        assert query(postgres_image, "select current_user", **own) == [(role,)]
        with pytest.raises(psycopg.OperationalError, match="password"):
            query(postgres_image, "select 1", **{**own, "password": "guessed"})


def test_a_first_start_that_broke_off_stays_ill(postgres_image, health):
    """A restarted server without roles, or with some, is not well, and says what is absent."""
    postgres_image.make_data()
    first = postgres_image.serve("-h", "")
    (postgres_image.secrets / "db_monitor").unlink()
    done = postgres_image.run_script(INIT)
    assert done.returncode == 1
    assert done.stderr == f"{postgres_image.secrets}/db_monitor is absent or empty\n"
    postgres_image.stop(first)

    postgres_image.serve()
    code, words = health()
    assert code == 1
    assert words.startswith("absent roles/databases: monitor/monitor. init.sh broke off")
    for change, absent in {
        "create role monitor login": "monitor/monitor",
        "create database monitor owner monitor": "",
        "alter role prefect nologin": "prefect/prefect",
        "alter database mlflow_auth owner to monitor": "mlflow/mlflow_auth prefect/prefect",
    }.items():
        query(postgres_image, change)
        code, words = health()
        assert (code, words.partition(".")[0]) == (
            (1, f"absent roles/databases: {absent}") if absent else (0, "")
        ), change
