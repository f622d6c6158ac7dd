"""Commands in a workspace find the monitor that serves it: its address, and a key."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tidemill.errors import UsageError
from tidemill.monitor_client import CREDENTIALS, find_monitor
from tidemill.schema import TableSchema, Task
from tidemill.testing.tcp_ports import free_ports

ROOT = Path(__file__).parents[2]
NAMES = ("TIDEMILL_MONITOR_URL", "TIDEMILL_MONITOR_KEY", "TIDEMILL_MONITOR_KEYS_FILE")


@pytest.fixture(autouse=True)
def _nothing_named(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def place(tmp_path):
    """A workspace in which nothing was run."""
    (tmp_path / "params.yaml").write_text("dataset: {name: rides, source: a.csv, target: y}\n")
    return tmp_path


def in_(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command as a person types it, standing in the workspace."""
    paths = os.pathsep.join(str(ROOT / name) for name in ("platform", "monitoring"))
    return subprocess.run(
        [sys.executable, "-m", "tidemill", *words],
        cwd=place,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_commands_find_the_monitor_of_the_workspace_they_stand_in(place):
    """No variable is set: address and key come from a file that only its owner may read."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "tidemill", "monitor", "serve", "--port", str(port)]
    paths = os.pathsep.join(str(ROOT / name) for name in ("platform", "monitoring"))
    with subprocess.Popen(command, cwd=place, env={**os.environ, "PYTHONPATH": paths}) as serving:
        try:
            url = f"http://127.0.0.1:{port}"
            with httpx.Client(transport=httpx.HTTPTransport(retries=20)) as waiting:
                waiting.get(f"{url}/healthz")
            told = json.loads((place / CREDENTIALS).read_text())
            assert told["url"] == url
            assert stat.S_IMODE((place / CREDENTIALS).stat().st_mode) == 0o600

            listed = in_(place, "monitor", "decisions", "list", "--json")
            assert (listed.returncode, json.loads(listed.stdout)) == (0, []), listed.stderr

            # No model serves yet: a replay says so at once, before it reads a table.
            (place / "data").mkdir()
            schema = TableSchema((), Task.BINARY, ("0", "1")).to_json()
            (place / "data" / "schema.json").write_text(json.dumps(schema))
            played = in_(place, "monitor", "replay", "--input", "a.csv", "--json")
            assert played.returncode == 2, played.stderr
            told = json.loads(played.stdout)
            assert "no champion of the model 'rides'" in told["message"]
            assert "tidemill run" in told["remedy"]

            # Made by the running monitor, which holds its store; the key alone is on stdout.
            made = in_(place, "monitor", "keys", "create", "--scope", "ingest")
            assert made.returncode == 0, made.stderr
            answer = httpx.post(
                f"{url}/v1/events",
                json={"events": []},
                headers={"Authorization": f"Bearer {made.stdout.strip()}"},
            )
            assert answer.status_code != 401, answer.text
        finally:
            serving.terminate()
    gone = in_(place, "monitor", "keys", "list", "--json")
    names = [key["name"] for key in json.loads(gone.stdout)]
    assert names.count("commands in the workspace") == 1


def test_the_key_goes_to_its_own_address_only(place, monkeypatch):
    """Another address gets no key of this workspace; what is named wins over what lies there."""
    path = place / CREDENTIALS
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"url": "http://127.0.0.1:9", "key": "tm_own"}))
    with pytest.raises(UsageError, match="no key for the monitor"):
        find_monitor(place, "http://127.0.0.1:8")
    with find_monitor(place) as own:
        assert own.url == "http://127.0.0.1:9"
    monkeypatch.setenv("TIDEMILL_MONITOR_URL", "http://127.0.0.1:7")
    with find_monitor(place, key="tm_other") as other:
        assert other.url == "http://127.0.0.1:7"


@pytest.mark.parametrize("content", ["", "[]", '{"url": 3, "key": null}', "\x00"])
def test_a_damaged_file_is_named(place, content):
    """It is said to be damaged; a start of the monitor, or what to set, is the remedy."""
    path = place / CREDENTIALS
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(UsageError, match="cannot be read as address") as caught:
        find_monitor(place)
    assert "TIDEMILL_MONITOR_KEY" in caught.value.remedy
