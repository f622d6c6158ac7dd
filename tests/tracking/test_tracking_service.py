"""Services that are away, stores that are damaged, and what is left of the environment."""

import os
import resource
import socket
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from tidemill.errors import ModelMissing, ServiceUnavailable, StorageFailed, UsageError
from tidemill.tracking import Tracker, load_champion
from tidemill.tracking.service import _defaults, import_mlflow, service_errors
from tidemill.tracking.store import make_store, sqlite_path


@pytest.fixture
def silent_server():
    """An address that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def dead_address(scheme="http"):
    """An address where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"{scheme}://name:secret@127.0.0.1:{server.getsockname()[1]}"


def test_a_dead_server_is_said_quickly():
    """No server: exit code 75 within seconds, the address without its password, a remedy."""
    start = time.monotonic()
    with pytest.raises(ServiceUnavailable) as caught:
        Tracker(dead_address(), "rides").open_run("key", "run", {})
    assert time.monotonic() - start < 15
    assert caught.value.exit_code == 75
    assert "MLFLOW_TRACKING_URI" in caught.value.remedy
    assert "127.0.0.1" in str(caught.value)
    assert "secret" not in str(caught.value) + str(caught.value.fields)


def test_a_silent_server_is_given_up(silent_server):
    """A server that accepts and never answers is given up after the timeout."""
    start = time.monotonic()
    with pytest.raises(ServiceUnavailable):
        load_champion(silent_server, "rides", timeout_seconds=1)
    assert time.monotonic() - start < 15


def test_a_dead_database_is_said_quickly():
    """MLflow alone would try for minutes."""
    start = time.monotonic()
    with pytest.raises(ServiceUnavailable) as caught:
        Tracker(dead_address("postgresql+psycopg"), "rides").prepare()
    assert time.monotonic() - start < 15
    assert "secret" not in str(caught.value)


def test_an_error_in_the_middle_of_a_run(place):
    """A store that breaks while it is used is a storage failure, exit code 74."""
    tracker = place.tracker()
    run_id = tracker.open_run("key", "run", {})
    (place.root / "mlflow.db").write_bytes(b"")
    with pytest.raises(StorageFailed) as caught:
        tracker.log_stage(run_id, "training", {"a": 1}, {})
    assert caught.value.exit_code == 74


@pytest.mark.parametrize("damage", ["no database", "a folder"])
def test_a_damaged_store_is_said_at_once(tmp_path, damage):
    """What is no database is a storage failure naming it; MLflow alone would try a file that
    cannot be opened for minutes.
    """
    path = tmp_path / "mlflow.db"
    if damage == "a folder":
        path.mkdir()
    else:
        path.write_bytes(b"not a database" * 500)
    start = time.monotonic()
    with pytest.raises(StorageFailed, match=r"mlflow\.db"):
        Tracker(f"sqlite:///{path}", "rides").prepare()
    assert time.monotonic() - start < 15


def test_an_address_of_no_known_kind():
    """Nonsense is wrong usage, exit code 2."""
    with pytest.raises(UsageError) as caught:
        Tracker("carrier-pigeon://x", "rides").prepare()
    assert caught.value.exit_code == 2


def test_no_store_means_no_model(tmp_path):
    """Loading where nothing was registered says so, and makes no store."""
    with pytest.raises(ModelMissing):
        load_champion(f"sqlite:///{tmp_path / 'mlflow.db'}", "rides")
    assert list(tmp_path.iterdir()) == []


def setting(name):
    """The value that MLflow takes for one of its settings now."""
    return getattr(import_mlflow("mlflow.environment_variables"), name).get()


def test_limits_hold_inside_a_call_alone(place, monkeypatch):
    """Limits of MLflow's requests are gone after a call, and a user's own value wins."""
    names = ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT")
    ordinary = [setting(name) for name in names]
    with service_errors(place.uri, timeout_seconds=3):
        assert [setting(name) for name in names] == [2, 3]
    assert [setting(name) for name in names] == ordinary
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    with service_errors(place.uri, timeout_seconds=3):
        assert [setting(name) for name in names] == [2, 77]


def test_limits_when_calls_overlap():
    """Two threads inside at once: the limit stays until the last has left."""
    name = "MLFLOW_HTTP_REQUEST_TIMEOUT"
    ordinary = setting(name)
    entered, leave = threading.Event(), threading.Event()

    def other():
        with _defaults.holding({name: 2}):
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    with _defaults.holding({name: 1}):
        thread.start()
        entered.wait(10)
    assert setting(name) == 1
    leave.set()
    thread.join()
    assert setting(name) == ordinary


def test_the_environment_loses_nothing_to_other_threads(place):
    """Whoever goes through the environment meanwhile (Great Expectations, requests) goes on."""
    import_mlflow()  # telemetry's variable, which stays, is there from here on
    before, inside = dict(os.environ), []
    with service_errors(place.uri, timeout_seconds=3):
        inside.append(dict(os.environ))
        place.tracker().open_run("key", "run", {})
        inside.append(dict(os.environ))
    assert [*inside, dict(os.environ)] == [before] * 3


KILLS = """
    import os, pathlib, signal, sys
    from unittest.mock import patch
    from tidemill.tracking.service import import_mlflow
    from tidemill.tracking.store import make_store
    import_mlflow("mlflow.store.tracking.sqlalchemy_store")

    for moment in sys.argv[2:]:
        child = os.fork()
        if not child:
            with patch(moment, lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)):
                make_store(pathlib.Path(sys.argv[1]))
            os._exit(0)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
        assert not os.path.exists(sys.argv[1])
"""


@pytest.mark.slow
def test_a_store_is_whole_or_absent(tmp_path):
    """kill -9 while the tables are made, or before the rename, leaves no store; the next run
    makes one and clears up.
    """
    path = tmp_path / "mlflow.db"
    moments = ("mlflow.store.db.utils._upgrade_db", "pathlib.Path.rename")
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLS), str(path), *moments],
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
        check=True,
    )
    assert [p.name for p in tmp_path.iterdir()] == [".mlflow.db.new"]
    make_store(path)
    Tracker(f"sqlite:///{path}", "rides").open_run("key", "run", {})
    assert [p.name for p in tmp_path.iterdir()] == ["mlflow.db"]


def test_a_store_that_is_there_is_kept(place):
    """Opening never replaces a store."""
    run_id = place.tracker().open_run("key", "run", {})
    make_store(place.root / "mlflow.db")
    assert place.tracker().open_run("key", "run", {}) == run_id


def test_the_disk_is_full(place, capfd):
    """A store that cannot grow is a storage failure, told once; the run goes on with space."""
    tracker = place.tracker()
    run_id = tracker.open_run("key", "run", {})
    wide = {f"p{n}": "x" * 6000 for n in range(100)}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((place.root / "mlflow.db").stat().st_size, hard))
    try:
        with pytest.raises(StorageFailed) as caught:
            tracker.log_stage(run_id, "training", wide, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.exit_code == 74
    assert "disk" in caught.value.remedy
    assert "Traceback" not in capfd.readouterr().err
    tracker.log_stage(run_id, "training", wide, {})


def test_an_attachment_that_is_missing(place):
    """A file that is not there is a storage failure naming it."""
    tracker = place.tracker()
    run_id = tracker.open_run("key", "run", {})
    with pytest.raises(StorageFailed, match="not-there"):
        tracker.log_artifacts(run_id, [place.root / "not-there.json"])


def test_which_addresses_are_sqlite_files(tmp_path):
    """Only sqlite addresses with a file have a path; odd characters stay."""
    assert sqlite_path(f"sqlite:///{tmp_path / 'a b#c.db'}") == tmp_path / "a b#c.db"
    assert sqlite_path("sqlite://") is None
    assert sqlite_path("http://localhost:5000") is None
    assert sqlite_path("/some/folder") is None
