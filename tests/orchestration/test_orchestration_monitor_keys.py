"""Keys of an installation's monitor: made once, readable by their owner only."""

from __future__ import annotations

import re

import pytest

from tidemill.errors import ConfigError
from tidemill.orchestration.monitor_keys import monitor_keys
from tidemill.storage import Workspace


@pytest.fixture(autouse=True)
def _plain(monkeypatch):
    for name in ("TIDEMILL_MONITOR_KEY", "TIDEMILL_MONITOR_KEYS_FILE"):
        monkeypatch.delenv(name, raising=False)


def test_they_are_made_once_and_the_first_is_told_once(tmp_path):
    """Two keys in a file that others cannot read; told, the people's one is forgotten."""
    place = Workspace.at(tmp_path)
    made = monitor_keys(place)
    assert re.fullmatch(r"tm_[0-9a-f]{12}_[0-9a-f]{64}", made.worker)
    assert made.first not in (None, made.worker)
    assert made.file.stat().st_mode & 0o777 == 0o600
    # Stopped before it was told: it still can be.
    assert monitor_keys(place).first == made.first

    made.forget_first()
    later = monitor_keys(place)
    assert (later.worker, later.first) == (made.worker, None)
    assert made.file.read_text() == f"retrain {made.worker}\n"
    assert made.file.stat().st_mode & 0o777 == 0o600


def test_keys_do_not_show(tmp_path):
    """What is printed by accident holds no key."""
    made = monitor_keys(Workspace.at(tmp_path))
    assert made.worker not in repr(made)
    assert made.first not in repr(made)


def test_keys_of_ones_own_are_used(tmp_path, monkeypatch):
    """A file or key of the environment wins; nothing is made."""
    file = tmp_path / "mine"
    file.write_text("ingest tm_a\noperate tm_b\n")  # as it was before there was a lesser scope
    monkeypatch.setenv("TIDEMILL_MONITOR_KEYS_FILE", str(file))
    found = monitor_keys(Workspace.at(tmp_path))
    assert (found.worker, found.first, found.file) == ("tm_b", None, file)
    monkeypatch.setenv("TIDEMILL_MONITOR_KEY", "tm_c")
    assert monitor_keys(Workspace.at(tmp_path)).worker == "tm_c"
    assert not (tmp_path / ".tidemill").exists()


def test_a_file_without_a_key_for_the_worker(tmp_path, monkeypatch):
    """The error says what is missing, and shows no key."""
    file = tmp_path / "mine"
    file.write_text("read tm_secret\n")
    monkeypatch.setenv("TIDEMILL_MONITOR_KEYS_FILE", str(file))
    with pytest.raises(ConfigError, match="scope retrain") as caught:
        monitor_keys(Workspace.at(tmp_path))
    assert "tm_secret" not in str(caught.value.fields) + str(caught.value)


def test_a_worker_that_could_do_everything_gets_a_lesser_key(tmp_path):
    """A file of before: the worker's key is replaced and revoked, the people's one kept."""
    own = tmp_path / ".tidemill" / "monitor" / "keys"
    own.parent.mkdir(parents=True)
    own.write_text("operate tm_old\noperate tm_first\n")
    found = monitor_keys(Workspace.at(tmp_path))
    assert (found.worker == "tm_old", found.first) == (False, "tm_first")
    lines = f"retrain {found.worker}\nrevoked tm_old\noperate tm_first\n"
    assert own.read_text() == lines
    assert monitor_keys(Workspace.at(tmp_path)).worker == found.worker
    found.forget_first()
    assert own.read_text() == lines.removesuffix("operate tm_first\n")
