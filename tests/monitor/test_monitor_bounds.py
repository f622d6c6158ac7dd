"""A real monitor process before any key is read: floods, slow clients, half bodies, handshakes."""

from __future__ import annotations

import base64
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest

from tidemill.testing.tcp_ports import free_ports

ROOT = Path(__file__).parents[2]
KEY = "tm_0123456789ab_" + "c0ffee" * 10 + "beef"
ROUTES = ("/", "/healthz", "/login", "/v1/predict", "/v1/retrain", "/v1/status", "/nowhere")
MEGABYTES = 100


@pytest.fixture(scope="module")
def process(tmp_path_factory):
    """The service on a workspace without a champion; its log is a file."""
    root = tmp_path_factory.mktemp("bounds")
    (root / "params.yaml").write_text("dataset: {name: rides, source: a.csv, target: y}\n")
    (root / "keys").write_text(f"operate {KEY}\n")
    (port,) = free_ports(1)
    script = Path(__file__).with_name("run_monitor.py")
    paths = os.pathsep.join(str(ROOT / name) for name in ("platform", "monitoring"))
    with (root / "log").open("w") as log:
        started = subprocess.Popen(
            [sys.executable, str(script), str(root), str(port), str(root / "keys")],
            env={**os.environ, "PYTHONPATH": paths},
            stdout=log,
            stderr=log,
        )
    try:
        deadline = time.monotonic() + 120
        while not answers(port):
            assert started.poll() is None, (root / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield port, psutil.Process(started.pid), root / "log"
    finally:
        started.terminate()
        started.wait(30)


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def said(port: int, *pieces: bytes, seconds: float = 20.0) -> bytes:
    """What comes back until the other side closes."""
    found = b""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
            while piece := connection.recv(1 << 16):
                found += piece
        except (ConnectionResetError, BrokenPipeError):
            pass
    return found


@pytest.mark.slow
def test_a_flood_of_headers_costs_nothing(process):
    """100 MB of small headers over every route: refused, and the memory does not grow."""
    port, service, _ = process
    block = b"".join(b"x%04d: aaaaaaaa\r\n" % i for i in range(1_000)) * 60
    before = peak = service.memory_info().rss
    sent = 0
    while sent < MEGABYTES << 20:
        for route in ROUTES:
            for method in (b"GET", b"POST"):
                head = b"%s %s HTTP/1.1\r\nhost: 127.0.0.1\r\n" % (method, route.encode())
                assert said(port, head, block)[9:12] in (b"431", b"")
                sent += len(block)
                peak = max(peak, service.memory_info().rss)
    assert peak - before < 40 << 20
    assert answers(port)


@pytest.mark.slow
def test_who_is_slow_with_headers_is_let_go(process):
    """Ten seconds, on a new connection and on one that was answered."""
    port, *_ = process
    began = time.monotonic()
    assert said(port, b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nx: ")[9:12] == b"408"
    assert 8.0 < time.monotonic() - began < 18.0


def test_handshakes_of_websockets_are_refused(process):
    """403 on every route, with a key too; no word of it in the log."""
    port, _, log = process
    key = base64.b64encode(b"0" * 16)
    for route in ROUTES:
        for more in (
            b"",
            b"authorization: Bearer %s\r\n" % KEY.encode(),
            b"origin: http://evil.example\r\n",
        ):
            head = (
                b"GET %s HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: upgrade\r\n"
                b"upgrade: websocket\r\nsec-websocket-version: 13\r\n"
                b"sec-websocket-key: %s\r\n%s\r\n"
            ) % (route.encode(), key, more)
            assert said(port, head)[9:12] == b"403"
    assert "Traceback" not in log.read_text()


def test_half_bodies_leave_no_traceback(process):
    """The client goes half way, with a key and without one, on every route that takes a body."""
    port, _, log = process
    routes = ("/login", "/v1/predict", "/v1/events", "/v1/labels", "/v1/retrain", "/v1/keys")
    for route in routes:
        for key in (b"", b"authorization: Bearer %s\r\n" % KEY.encode()):
            for kind in (b"application/json", b"application/x-www-form-urlencoded"):
                head = (
                    b"POST %s HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: %s\r\n%s"
                    b"content-length: 100000\r\n\r\n"
                ) % (route.encode(), kind, key)
                with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
                    connection.sendall(head + b'{"records": [')
                    time.sleep(0.02)
    time.sleep(0.5)
    assert answers(port)
    assert log.read_text().count("Traceback") == 0
    assert "ERROR" not in log.read_text()


@pytest.mark.parametrize(
    "route", ["/", "/v1/status", "/v1/predict", "/v1/retrain", "/login", "/healthz"]
)
def test_foreign_hosts_and_origins_reach_no_route(process, route):
    """Also with a key, for every method: what a page of another origin can send is refused."""
    port, *_ = process
    url = f"http://127.0.0.1:{port}{route}"
    with httpx.Client() as client:
        for headers, status in (
            ({"host": "evil.example"}, 421),
            ({"origin": "http://evil.example"}, 403),
            ({"origin": "null"}, 403),
            ({"origin": f"http://127.0.0.1:{port + 1}"}, 403),
            ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, 403),
            ({"sec-fetch-site": "same-site", "sec-fetch-mode": "cors"}, 403),
        ):
            for method in ("GET", "POST", "OPTIONS"):
                given = {"authorization": f"Bearer {KEY}", "content-type": "text/plain", **headers}
                answer = client.request(method, url, headers=given, content=b"{}")
                assert answer.status_code == status
