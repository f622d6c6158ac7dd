"""The player: what goes over the wire, when, and how a replay that was stopped goes on."""

from __future__ import annotations

import datetime as dt
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tidemill.errors import ServiceUnavailable
from tidemill.monitor_client import MonitorClient, MonitorRefused
from tidemill_monitor.replay import Player, Spool

HOUR = 3600
KEY = "tm_the-key"


def moment(*parts: int) -> dt.datetime:
    """A time without a zone, as tables hold them."""
    return dt.datetime(*parts)  # noqa: DTZ001


class Stub:
    """A server that records requests and answers as it is told."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, pa.Table]] = []
        self.answers: list[tuple[int, dict, dict]] = []
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                assert self.headers["authorization"] == f"Bearer {KEY}"
                status, headers, document = (
                    stub.answers.pop(0) if stub.answers else (200, {}, {"errors": []})
                )
                if status in (200, 202):
                    stub.requests.append((self.path, pa.ipc.open_stream(body).read_all()))
                content = json.dumps(document).encode()
                self.send_response(status)
                for name, value in {**headers, "content-length": len(content)}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def ids(self, path: str) -> list[str]:
        return [
            event for where, table in self.requests if where == path
            for event in table["event_id"].to_pylist()
        ]  # fmt: skip


@pytest.fixture
def stub():
    found = Stub()
    yield found
    found.server.shutdown()
    found.server.server_close()


def table(rows: int) -> pa.Table:
    """A row an hour; every tenth has no truth yet."""
    start = moment(2024, 1, 1)
    return pa.table(
        {
            "event_id": [f"e{i}" for i in range(rows)],
            "at": pa.array([start + dt.timedelta(hours=i) for i in range(rows)]),
            "x": [float(i) for i in range(rows)],
            "guess": ["a"] * rows,
            "truth": [None if i % 10 == 9 else "b" for i in range(rows)],
        }
    )


@pytest.fixture
def player(stub, tmp_path):
    """Makes a player of 100 hourly rows."""

    def made(rows=100, client=None, **more):
        path = tmp_path / "rows.parquet"
        pq.write_table(table(rows), path, row_group_size=32)
        given = {"speed": 0.0, "label_delay_seconds": 0.0, "batch_rows": 30, **more}
        return Player(
            client=client or MonitorClient(stub.url, KEY, patience_seconds=5),
            rows=Spool(path, rows, timed=True, labelled=True, key="k"),
            state=tmp_path / "state.json",
            **given,
        )

    return made


def test_every_event_goes_once_in_order_and_labels_follow(stub, player):
    """Events in order of time, by bounded requests; a row without truth gets no label."""
    told = player().play()
    assert stub.ids("/v1/predict") == [f"e{i}" for i in range(100)]
    assert stub.ids("/v1/labels") == [f"e{i}" for i in range(100) if i % 10 != 9]
    assert (told.sent, told.labels, told.refused) == (100, 90, 0)
    assert all(rows.num_rows <= 30 for _, rows in stub.requests)
    first = next(rows for path, rows in stub.requests if path == "/v1/predict")
    assert "truth" not in first.column_names


def test_progress_is_shown_from_the_start_and_what_was_known_is_counted(stub, player):
    """0 of all before the first request; events and labels that were sent before are told."""
    stub.answers = [
        (200, {}, {"errors": [], "duplicates": 4}),
        (202, {}, {"errors": [], "repeated": 3}),
    ]
    seen = []
    told = player(rows=20).play(lambda done, total: seen.append((done, total)))
    assert (seen[0], seen[-1]) == ((0, 20), (20, 20))
    assert (told.duplicates, told.labels_repeated) == (4, 3)


def test_a_label_comes_its_delay_after_its_event(stub, player):
    """No label is sent before an event of its time plus the delay; all are in the end."""
    player(label_delay_seconds=24 * HOUR).play()
    newest = None
    for path, rows in stub.requests:
        if path == "/v1/predict":
            newest = rows["at"][-1].as_py()
        elif newest < moment(2024, 1, 5, 3):  # after the last event the rest follows
            known = rows["at"][-1].as_py()
            assert known <= newest
    labels = [rows for path, rows in stub.requests if path == "/v1/labels"]
    assert labels[0]["at"][0].as_py() == moment(2024, 1, 2)
    assert sum(rows.num_rows for rows in labels) == 90


def test_the_speed_holds_rows_back_until_they_are_due(stub, player):
    """With a clock of ours: at 3,600 times the speed an hour's row goes each second."""
    now = [0.0]
    seen = []

    def sleep(seconds):
        seen.append((now[0], len(stub.ids("/v1/predict"))))
        now[0] += seconds

    player(rows=20, speed=3600.0, clock=lambda: now[0], sleep=sleep).play()
    assert len(stub.ids("/v1/predict")) == 20
    # Half a second ahead at most, and never behind.
    for time, sent in seen:
        assert time <= sent - 1 + 0.5
        assert sent - 1 <= time + 0.5
    assert 18.0 <= now[0] <= 20.0


def test_it_waits_as_long_as_it_is_asked(stub, player):
    """429 and 503 with Retry-After: the same rows again, nothing lost, nothing skipped."""
    stub.answers = [(429, {"Retry-After": "0.1"}, {}), (503, {"Retry-After": "0.1"}, {})]
    told = player().play()
    assert stub.ids("/v1/predict") == [f"e{i}" for i in range(100)]
    assert told.sent == 100


def test_a_stopped_replay_goes_on_where_it_was(stub, player):
    """The monitor goes away in the middle: the next replay sends what is left, and labels all."""
    client = MonitorClient(stub.url, KEY, patience_seconds=0.2)
    good = (200, {}, {"errors": []})
    stub.answers = [good, good, good, (503, {"Retry-After": "9"}, {})]
    with pytest.raises(ServiceUnavailable):
        player(client=client).play()
    sent = len(stub.ids("/v1/predict"))
    assert 0 < sent < 100

    told = player().play()
    assert sorted(set(stub.ids("/v1/predict"))) == sorted(f"e{i}" for i in range(100))
    assert told.sent == 100 - sent
    assert set(stub.ids("/v1/labels")) == {f"e{i}" for i in range(100) if i % 10 != 9}
    assert not (player().state).exists()


def test_predictions_made_elsewhere_go_to_events(stub, player):
    """With a column of predictions the rows are reported, under the field's name."""
    player(prediction="guess").play()
    assert stub.ids("/v1/events") == [f"e{i}" for i in range(100)]
    assert stub.ids("/v1/predict") == []
    assert stub.requests[0][1]["prediction"].to_pylist()[:2] == ["a", "a"]


def test_refused_rows_are_counted_and_the_rest_goes_on(stub, player):
    """A request none of whose rows is good is counted; a refused key ends the replay."""
    bad = {"errors": [{"row": 0, "field": "x", "code": "type", "detail": "no number"}]}
    stub.answers = [(422, {}, bad)]
    told = player().play()
    assert (told.sent, told.refused) == (100, 30)
    assert told.errors[0]["field"] == "x"
    stub.answers = [(403, {}, {"detail": "wrong scope"})]
    with pytest.raises(MonitorRefused, match="wrong scope") as caught:
        player().play()
    assert KEY not in str(caught.value) + str(caught.value.fields)


def test_labels_can_be_left_out(stub, player):
    """Without labels only events go."""
    player(with_labels=False).play()
    assert stub.ids("/v1/labels") == []
