"""tidemill monitor: mounted by entry point, light to list, and its keys in the store."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from tidemill import monitor_client

ROOT = Path(__file__).parents[2]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with params.yaml, in which nothing was run."""
    for name in ("TIDEMILL_MONITOR_URL", "TIDEMILL_MONITOR_KEY", "TIDEMILL_MONITOR_STORE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "params.yaml").write_text("dataset: {name: rides, source: a.csv, target: y}\n")
    return tmp_path


def test_it_is_listed_and_loads_nothing_heavy():
    """`tidemill --help` and `tidemill monitor --help` show it; no service library is imported."""
    code = (
        "import sys\n"
        "from tidemill.cli import main\n"
        "sys.argv = ['tidemill', *sys.argv[1:]]\n"
        "try:\n    main()\n"
        "except SystemExit:\n    pass\n"
        "heavy = {'fastapi', 'sqlalchemy', 'pandas', 'pyarrow', 'mlflow', 'prefect', 'httpx'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))\n"
    )
    paths = os.pathsep.join([str(ROOT / "platform"), str(ROOT / "monitoring")])
    for arguments, shown in ((["--help"], "monitor"), (["monitor", "--help"], "replay")):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            capture_output=True,
            text=True,
            env={"PYTHONPATH": paths, "PATH": "", "COLUMNS": "120"},
            check=True,
        )
        assert shown in done.stdout
        assert done.stdout.strip().endswith("HEAVY []")


def test_keys_are_made_listed_and_revoked(place, cli):
    """The secret is shown once, never listed; a revoked key is marked."""
    made = cli(
        "monitor", "keys", "create", "--scope", "read", "--name", "me", "-w", place, "--json"
    )
    assert made.code == 0, made.err
    secret = made.document["key"]
    listed = cli("monitor", "keys", "list", "-w", place, "--json")
    (key,) = listed.document
    assert (key["scope"], key["name"], key["revoked"]) == ("read", "me", None)
    assert secret not in listed.out + listed.err

    assert cli("monitor", "keys", "revoke", key["id"], "-w", place).code == 0
    assert cli("monitor", "keys", "list", "-w", place, "--json").document[0]["revoked"]
    none = cli("monitor", "keys", "revoke", "nobody", "-w", place)
    assert (none.code, "keys list" in none.err) == (2, True)


def test_dead_messages_of_an_empty_store(place, cli):
    """Nothing was given up: nothing is sent again."""
    done = cli("monitor", "replay-webhooks", "-w", place, "--json")
    assert done.code == 0, done.err
    assert done.document == {"replayed": 0}


@pytest.mark.parametrize(
    "words",
    [
        ("decisions", "list"),
        ("alerts", "list"),
        ("decisions", "approve", "1"),
        ("decisions", "stop", "1"),
    ],
)
def test_commands_that_ask_a_monitor_need_a_key(words, place, cli):
    """Without a key: exit 2, and where one comes from."""
    done = cli("monitor", *words, "--json")
    assert done.code == 2, done.err
    assert "tidemill monitor keys create" in done.document["remedy"]


def test_channels_are_tried_without_a_monitor(place, cli):
    """None: exit 2 and where to add one; one that is not taken: exit 75 and why."""
    none = cli("monitor", "alerts", "test", "-w", place, "--json")
    assert (none.code, "monitoring.alerts.channels" in none.err + none.out) == (2, True)
    params = Path(place) / "params.yaml"
    channel = "{name: desk, kind: webhook, url: 'http://127.0.0.1:9/', secret_env: NO_SUCH_SECRET}"
    params.write_text(params.read_text() + f"\nmonitoring:\n  alerts:\n    channels: [{channel}]\n")
    lost = cli("monitor", "alerts", "test", "-w", place, "--json")
    assert lost.code == 75, lost.err
    assert not lost.document[0]["delivered"]
    assert "NO_SUCH_SECRET is not set" in lost.document[0]["error"]


def test_a_monitor_that_is_away(place, cli, monkeypatch):
    """Exit 75, the address is named, the key is not."""
    hasty = partial(monitor_client.find_monitor, patience_seconds=0.1)
    monkeypatch.setattr(monitor_client, "find_monitor", hasty)
    place = ("--url", "http://127.0.0.1:9", "--key", "tm_secret")
    done = cli("monitor", "decisions", "list", *place, "--json")
    assert done.code == 75, done.err
    assert "127.0.0.1:9" in done.document["message"]
    assert "tm_secret" not in done.out + done.err


def test_replay_before_the_first_run_says_what_to_do(place, cli):
    """Without data/schema.json the columns are not known."""
    done = cli("monitor", "replay", "--input", "x.csv", "-w", place, "--key", "tm_x", "--json")
    assert done.code == 2, done.err
    assert "tidemill run" in done.document["remedy"]
