"""Files in a bucket go through every door, and its credentials stand nowhere."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from tidemill.testing.workspaces import QUICK, run_here

CANARY = "canary-4c1f77"
SETTINGS = [f"--set={each}" for each in QUICK]


def rides(rows, first=0):
    """Delimited rows."""
    words = ("red", "blue", "green")
    lines = [
        f"{n},{words[n % 3]},{n * 0.25},{'yes' if n * n % 7 % 2 else 'no'}"
        for n in range(first, first + rows)
    ]
    return ("\n".join(["n,word,paid,y", *lines]) + "\n").encode()


def holders(folder):
    """The files below a folder that hold the secret."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 5
    return [path for path in files if CANARY.encode() in content(path)]


def content(path):
    """Its bytes; MLflow is still making its store, and may have taken a journal away."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


@pytest.mark.slow
def test_look_asks_the_bucket_each_time(s3_files, tmp_path, cli):
    """ingest runs where a file came or changed, and not where none did."""
    for month in (1, 2):
        s3_files.put(f"asks/month={month}/a.csv", rides(900, month))
    source = f"{s3_files.url}/asks/month=*/*.csv"
    made = cli("init", tmp_path / "ws", "--source", source, "--target", "y", *SETTINGS)
    assert made.code == 0, made.err
    states = []
    for more in (False, False, True):
        if more:
            s3_files.put("asks/month=3/a.csv", rides(50))
        summary = run_here(tmp_path / "ws", until="ingest")
        states.append([run.state for run in summary.stages])
    assert states == [["ran", "ran"], ["ran", "current"], ["ran", "ran"]]
    rows = [pq.read_table(p) for p in sorted((tmp_path / "ws/data/validated").glob("*.parquet"))]
    assert [len(part) for part in rows] == [900, 900, 50]
    assert holders(tmp_path / "ws") == []


def test_a_signed_url_reaches_nothing(blank, copy, cli, tmp_path):
    """init and --set refuse it before a file or a word of it is written."""
    copied = copy(blank)
    before = (copied / "params.yaml").read_text()
    for url in (f"https://h/a.csv?X-Amz-Signature={CANARY}", f"https://u:{CANARY}@h/a.csv"):
        for command in (
            ("init", tmp_path / "new", "--source", url, "--target", "y"),
            ("run", "--direct", "-w", copied, f"--set=dataset.source={url}"),
        ):
            said = cli(*command)
            assert said.code == 2, said
            assert CANARY not in said.err + said.out
    assert not (tmp_path / "new").exists()
    assert (copied / "params.yaml").read_text() == before
    assert holders(copied) == []


@pytest.mark.slow
def test_a_whole_job_leaves_no_secret(s3_files, tmp_path, shell):
    """By Prefect, by dvc and by score: no file, parameter, log or word of it has the secret."""
    url = s3_files.put("job/a.csv", rides(1800))
    given = {**s3_files.environment, "PREFECT_HOME": str(tmp_path / "prefect")}
    source = ("--source", url, "--target", "y")
    output = ("--output", tmp_path / "scored.parquet")
    for command in (
        ("tidemill", "init", tmp_path / "ws", *source, *SETTINGS),
        ("tidemill", "run", "-w", tmp_path / "ws"),
        ("dvc", "--cd", tmp_path / "ws", "repro", "register"),
        ("tidemill", "score", "-w", tmp_path / "ws", "--input", url, *output),
    ):
        found = shell(tmp_path, *command, check=False, **given)
        assert found.returncode == 0, found.stderr
        assert CANARY not in found.stdout + found.stderr
    scored = pq.read_table(tmp_path / "scored.parquet")
    assert (scored.num_rows, scored["source"][0].as_py()) == (1800, url)
    wrong = shell(
        tmp_path,
        "tidemill",
        "run",
        "-w",
        tmp_path / "ws",
        check=False,
        **{**given, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"},
    )
    assert wrong.returncode == 74
    assert "cannot be read" in wrong.stderr
    assert holders(tmp_path) == []
