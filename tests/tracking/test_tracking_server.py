"""The whole room against a real MLflow server on localhost."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from tidemill.contracts import Trial
from tidemill.errors import ModelUntrusted, ServiceUnavailable
from tidemill.tracking import Registry, Tracker, fetch_reference, load_champion

pytestmark = pytest.mark.slow


def end(process):
    """Kill the server with its workers, if it runs."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def server(tmp_path):
    """A server that keeps its artifacts itself; yields its address and process."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--workers", "1"]
    process = subprocess.Popen(
        [*command, "--port", str(port), "--backend-store-uri", f"sqlite:///{tmp_path / 'm.db'}",
         "--artifacts-destination", str(tmp_path / "artifacts")],
        env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    for _ in range(240):
        try:
            urllib.request.urlopen(f"{address}/health", timeout=2).close()
            break
        except OSError:
            time.sleep(0.5)
    yield address, process
    end(process)


def test_a_run_from_trials_to_the_champion(server, place, capfd):
    """Everything that sqlite does, a server does too; stdout stays clean; its death is said."""
    address, process = server
    tracker = Tracker(address, "rides", timeout_seconds=5)
    registry = Registry(tracker)
    run_id = tracker.open_run("key", "run", {})
    tracker.log_trials(run_id, [Trial(0, {"alpha": 0.1}, 0.7, "complete", ((0, 0.7),))])
    tracker.log_stage(run_id, "training", {"learner": "sgd"}, {"roc_auc": 0.7})
    given = {"model_name": "rides", "run_id": run_id, "digest": place.digest}
    first = registry.register(place.candidate, reference=[place.root / "models"], **given)
    assert (first.version, first.created) == (1, True)
    again = registry.register(place.candidate, **given)
    assert (again.version, again.created) == (1, False)
    registry.promote("rides", 1, replaces=None, evidence={"roc_auc": [0.7, None]})
    tracker.finish(run_id)
    loaded = load_champion(address, "rides")
    assert (loaded.version, loaded.digest, loaded.run_id) == (1, place.digest, run_id)
    got = fetch_reference(address, "rides", 1, place.root / "got")
    assert (got / "candidate" / "MLmodel").exists()
    (stored,) = (place.root.parent / "artifacts").glob("*/models/**/candidate.json")
    (stored.parent / "registered_model_meta").write_text("model_name: rides\n")
    assert "registered_model_meta lies beside" in load_champion(address, "rides").notes[0]
    for name in ("weights.bin", "model.skops"):  # not fetched: the listing tells the size
        kept = (stored.parent / name).read_bytes() if name == "model.skops" else None
        with (stored.parent / name).open("ab") as file:
            file.truncate(1 << 40)
        with pytest.raises(ModelUntrusted, match=name):
            load_champion(address, "rides")
        (stored.parent / name).unlink()
        if kept is not None:
            (stored.parent / name).write_bytes(kept)
    assert load_champion(address, "rides").digest == place.digest
    assert tracker.run_url(run_id).startswith(f"{address}/#/experiments/")
    assert capfd.readouterr().out == ""

    end(process)
    start = time.monotonic()
    with pytest.raises(ServiceUnavailable, match="does not answer"):
        tracker.log_stage(run_id, "evaluate", {}, {"roc_auc": 0.7})
    assert time.monotonic() - start < 30
