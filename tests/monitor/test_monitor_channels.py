"""Channels are tried when they are set: at the start of the monitor, and by a command."""

from __future__ import annotations

import base64
import datetime as dt
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ruamel.yaml import YAML

from tidemill.config.monitoring import Channel
from tidemill.errors import ConfigError
from tidemill_monitor.app import create_app
from tidemill_monitor.dispatch.trying import check_channels, try_channels
from tidemill_monitor.monitor_settings import MonitorSettings

SECRET = "whsec_" + base64.b64encode(b"0" * 32).decode()


def channel(name: str = "desk", **changes: object) -> Channel:
    given = {"name": name, "kind": "webhook", "url": "https://x.example/", "secret_env": "S"}
    return Channel.model_validate({**given, **changes})


@pytest.fixture
def receiver():
    """A server that keeps what it is told."""
    told = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            told.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.told, server.url = told, f"http://127.0.0.1:{server.server_port}/hook"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("changes", "secret", "said"),
    [
        ({}, None, "the channel desk has no secret: S is not set"),
        ({}, "", "S is not set"),
        ({}, "whsec_short", "S does not hold a webhook secret"),
        ({}, f"{SECRET} whsec_short", "S does not hold a webhook secret"),
        ({"url": "", "url_env": "DESK_URL"}, SECRET, "DESK_URL is not set"),
        ({"url": "ftp://x.example/"}, SECRET, "not an http or https address"),
        (
            {"kind": "apprise", "url": "nonsense://?", "secret_env": None},
            None,
            "none that apprise understands",
        ),
    ],
)
def test_what_cannot_work_is_refused_before_the_first_alert(monkeypatch, changes, secret, said):
    """Variables that are not set, secrets that are none, addresses that nobody understands."""
    monkeypatch.delenv("S", raising=False)
    monkeypatch.delenv("DESK_URL", raising=False)
    if secret is not None:
        monkeypatch.setenv("S", secret)
    with pytest.raises(ConfigError, match=said) as caught:
        check_channels([channel(**changes)])
    assert "whsec_short" not in caught.value.message + caught.value.remedy


def test_two_secrets_of_a_channel_are_both_good(monkeypatch):
    """While one is changed; and apprise's addresses need none."""
    monkeypatch.setenv("S", f"{SECRET} {SECRET}")
    check_channels([channel(), channel("chat", kind="apprise", url="json://x", secret_env=None)])


def test_a_monitor_whose_channels_cannot_work_does_not_start(workspace, monkeypatch):
    """It names all of them at once, not at the first alert that nobody hears of."""
    monkeypatch.delenv("S", raising=False)
    place, yaml = workspace / "params.yaml", YAML()
    document = yaml.load(place.read_text())
    channels = [channel().model_dump(), channel("ops", secret_env="OPS_SECRET").model_dump()]
    document.setdefault("monitoring", {})["alerts"] = {"channels": channels}
    with place.open("w") as file:
        yaml.dump(document, file)
    with pytest.raises(ConfigError, match=r"desk has no secret.*ops has no secret"):
        create_app(MonitorSettings(workspace=workspace))


def test_each_channel_is_really_tried(monkeypatch, receiver):
    """A signed message goes out; what was not taken is said, and holds up no other."""
    monkeypatch.setenv("S", SECRET)
    with socket.create_server(("127.0.0.1", 0)) as away:
        gone = f"http://127.0.0.1:{away.getsockname()[1]}/"
    channels = [
        channel("gone", url=gone, allow_private=True),
        channel("private", url=receiver.url),
        channel(url=receiver.url, allow_private=True),
    ]
    found = try_channels(channels, model="rides", now=dt.datetime.now(dt.UTC))
    assert [(one.channel, not one.error) for one in found] == [
        ("gone", False),
        ("private", False),
        ("desk", True),
    ]
    assert "did not take the message" in found[0].error
    assert "not a public address" in found[1].error
    assert [document["type"] for document in receiver.told] == ["alert.test"]
