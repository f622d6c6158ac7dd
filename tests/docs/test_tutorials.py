"""The tutorials' commands run as they are written, and print what the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tidemill.pipeline import STAGES
from tidemill.testing.bucket_servers import seaweed_server
from tidemill.testing.postgres import postgres_server
from tidemill.testing.tcp_ports import free_ports

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def fenced(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)


def comparable(line: str) -> str:
    """The line without what differs from run to run: seconds, digests, widths, the last digits."""
    line = re.sub(r"\b\d+\.\d s;", "SECONDS;", line)
    line = re.sub(r"\b[0-9a-f]{12}\b", "DIGEST", line)
    line = re.sub(r"\b0\.\d+\b", lambda found: f"{float(found[0]):.2f}", line)
    return " ".join(re.sub(r"[─━]+", "", line).split())


def run_blocks(page: Path, folder: Path, *replaced: tuple[str, str], **variables: str) -> str:
    """Run the sh blocks one after another in one shell; what they print, stderr included."""
    # Whatever happens, what runs in the background ends with the shell.
    end = "trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT"
    script = "\n".join([end, *fenced(page, "sh")])
    for text, other in replaced:
        assert text in script
        script = script.replace(text, other)
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "platform"),
        "COLUMNS": "200",
        "TERM": "dumb",
        **variables,
    }
    done = subprocess.run(
        ["bash", "-e", "-c", script],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def assert_shown(page: Path, printed_text: str, *, at_least: int) -> None:
    """Every line that the page shows was printed, in order."""
    printed = [comparable(line) for line in printed_text.splitlines()]
    shown = [comparable(line) for text in fenced(page, "text") for line in text.splitlines()]
    assert len([line for line in shown if line]) >= at_least
    rest = iter(printed)
    for line in filter(None, shown):
        assert line in rest, f"not printed, or not in this place: {line}\n" + "\n".join(printed)


def test_monitor(tmp_path: Path) -> None:
    """monitor.md: a change, one retraining, a new champion, a rollback; on free ports."""
    page = ROOT / "docs" / "tutorials" / "monitor.md"
    (tmp_path / "repository").mkdir()
    prefect, mlflow, monitor, receiver = free_ports(4)
    ports = f"--prefect-port {prefect} --mlflow-port {mlflow} --monitor-port {monitor}"
    printed = run_blocks(
        page,
        tmp_path / "repository",
        ("tidemill up >", f"tidemill up {ports} >"),
        ("8020", str(receiver)),
        TIDEMILL_MONITOR_URL=f"http://127.0.0.1:{monitor}",
        PREFECT_HOME=str(tmp_path / "prefect"),
    )
    assert_shown(page, printed, at_least=5)


def test_own_data(tmp_path: Path) -> None:
    """Every command of own-data.md works in a plain clone; what it shows is printed, in order."""
    page = ROOT / "docs" / "tutorials" / "own-data.md"
    (tmp_path / "repository").mkdir()
    shown = [line.split(":")[0] for text in fenced(page, "text") for line in text.splitlines()]
    for stage in STAGES:
        assert shown.count(stage.name) == 2, f"each of the page's two runs shows {stage.name}"
    assert_shown(page, run_blocks(page, tmp_path / "repository"), at_least=30)


def test_dask(tmp_path: Path) -> None:
    """dask.md: a job here and one on a cluster's workers leave the same bytes; on a free port."""
    page = ROOT / "docs" / "tutorials" / "dask.md"
    (tmp_path / "repository").mkdir()
    (port,) = free_ports(1)
    printed = run_blocks(page, tmp_path / "repository", ("8786", str(port)), TIDEMILL_WORKERS="2")
    assert_shown(page, printed, at_least=2)
    assert "Starting Worker" in (tmp_path / "cluster" / "workers.log").read_text()


def test_postgres(tmp_path: Path) -> None:
    """postgres.md: a table is read with a password that stands nowhere, and asked again."""
    page = ROOT / "docs" / "tutorials" / "postgres.md"
    with postgres_server() as server:
        owner = {"host": "127.0.0.1", "port": server.port, "user": "tide", "autocommit": True}
        with psycopg.connect(**owner, dbname="postgres") as connection:
            connection.execute("CREATE DATABASE shop")
            (hba,) = connection.execute("SHOW hba_file").fetchone()
            needs = "host shop reader 127.0.0.1/32 scram-sha-256\n"
            Path(hba).write_text(needs + Path(hba).read_text())
            connection.execute("SELECT pg_reload_conf()")
        printed = run_blocks(
            page,
            tmp_path,
            ("localhost:5432", f"127.0.0.1:{server.port}"),
            HOME=str(tmp_path),
            PREFECT_HOME=str(tmp_path / "prefect"),
        )
    assert "open sesame" not in printed
    assert_shown(page, printed.replace(f"127.0.0.1:{server.port}", "localhost:5432"), at_least=20)
    held = [path for path in (tmp_path / "orders").rglob("*") if path.is_file()]
    assert not [path for path in held if b"sesame" in path.read_bytes()]


def test_lake(tmp_path: Path) -> None:
    """lake.md: raw files and rows in a bucket, work on Spark, a new file; names stay here alone."""
    page = ROOT / "docs" / "tutorials" / "lake.md"
    (tmp_path / "server").mkdir()
    with seaweed_server(tmp_path / "server") as url:
        printed = run_blocks(
            page,
            tmp_path,
            ("http://localhost:8333", url),
            TIDEMILL_WORKERS="2",
            TIDEMILL_CACHE_DIR=str(tmp_path / "cache"),
            SPARK_LOCAL_IP="127.0.0.1",
            PREFECT_HOME=str(tmp_path / "prefect"),
        )
    assert_shown(page, printed, at_least=15)
    assert not list((tmp_path / "rides").rglob("*.parquet"))
    assert list((tmp_path / "rows").rglob("*.parquet"))
    held = [path for path in (tmp_path / "rides").rglob("*") if path.is_file()]
    assert not [path for path in held if b"mill-secret" in path.read_bytes()]
