"""What a connection may cost, over real sockets: headers, slow clients, half bodies, pipelines."""

from __future__ import annotations

import base64
import logging
import socket
import time

import psutil
import pytest

from tidemill.web import Bounds

QUICK = Bounds(head_seconds=0.5, stall_seconds=0.6, linger_seconds=0.4)
HEAD = b"GET /x HTTP/1.1\r\nhost: 127.0.0.1\r\n"
HANDSHAKE = b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"


def dialled(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def talk(port: int, *pieces: bytes, pause: float = 0.0) -> bytes:
    """Send, and read until the other side closes (or resets)."""
    with dialled(port) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(pause)
        except OSError:
            pass  # it closed before we had said all
        return rest(connection)


def rest(connection: socket.socket) -> bytes:
    said = b""
    try:
        while piece := connection.recv(1 << 16):
            said += piece
    except ConnectionResetError:
        pass
    return said


def status(said: bytes) -> bytes:
    return said.split(b" ", 2)[1] if said else b""


@pytest.mark.parametrize(
    "headers",
    [
        b"x: " + b"a" * 70_000 + b"\r\n",
        b"x" * 70_000 + b": a\r\n",
        b"".join(b"x%d: %s\r\n" % (i, b"a" * 1000) for i in range(70)),
        b"".join(b"x%d: a\r\n" % i for i in range(300)),
        b"x: a\r\n " + b"a" * 70_000 + b"\r\n",
    ],
    ids=["one value", "one name", "many", "small ones", "folded"],
)
def test_headers_are_bounded(echo, serve, headers):
    """64 KiB and 256 headers, however they are cut; nothing behind sees the request."""
    port = serve(echo)
    assert status(talk(port, HEAD + headers + b"\r\n")) in (b"431", b"400")
    pieces = [headers[i : i + 5000] for i in range(0, len(headers), 5000)]
    assert status(talk(port, HEAD, *pieces, b"\r\n")) in (b"431", b"400", b"")
    assert echo.reached == []
    fits = b"".join(b"x%d: %s\r\n" % (i, b"a" * 600) for i in range(100))
    assert status(talk(port, HEAD + fits + b"connection: close\r\n\r\n")) == b"200"


def test_a_long_address_and_trailers_are_bounded(echo, serve):
    """The request's line counts, and so do the headers after a chunked body, ended or endless."""
    port = serve(echo)
    line = b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nhost: a\r\n\r\n"
    assert status(talk(port, line)) == b"431"
    chunked = b"POST /deaf HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n"
    for trailers in (b"x: a\r\n" * 400, b"x: " + b"a" * 300_000, b"x: a\r\n" * 20_000):
        with dialled(port) as connection:
            connection.sendall(chunked)
            try:
                for i in range(0, len(trailers), 8192):
                    connection.sendall(trailers[i : i + 8192])
            except OSError:
                pass
            rest(connection)  # it ends: the other side closed


def test_a_flood_of_headers_leaves_no_memory_behind(echo, serve):
    """100 MB of small headers on many connections: no growth to speak of."""
    port = serve(echo)
    me = psutil.Process()
    talk(port, HEAD + b"connection: close\r\n\r\n")
    before = me.memory_info().rss
    flood = b"".join(b"x%d: a\r\n" % i for i in range(50_000)) * 4
    peak = 0
    for _ in range(40):
        talk(port, HEAD, flood)
        peak = max(peak, me.memory_info().rss)
    assert peak - before < 30 << 20


@pytest.mark.parametrize(
    "sent",
    [b"", b"\r\n", b"G", HEAD, HEAD + b"x: a\r\n", HEAD + b"connection: close\r\n\r\n" + HEAD],
    ids=["nothing", "blank", "a byte", "a head", "a header", "another head"],
)
@pytest.mark.slow
def test_who_does_not_finish_the_headers_is_let_go(echo, serve, sent):
    """Half a request ends in time, also where a byte comes now and then."""
    port = serve(echo, QUICK)
    began = time.monotonic()
    said = talk(port, sent)
    assert time.monotonic() - began < 5.0
    if sent in (HEAD, b"G"):
        assert status(said) == b"408"
        drips = talk(port, *(HEAD[i : i + 1] for i in range(12)), pause=0.1)
        assert status(drips) in (b"408", b"")


def test_an_idle_connection_cannot_be_kept_by_a_byte(echo, serve):
    """After an answer, one byte of the next request starts the clock of its headers."""
    port = serve(echo, QUICK)
    with dialled(port) as connection:
        connection.sendall(HEAD + b"\r\n")
        assert status(connection.recv(4096)) == b"200"
        connection.sendall(b"G")
        began = time.monotonic()
        assert status(rest(connection)) == b"408"
        assert time.monotonic() - began < 5.0


def test_a_body_must_go_on(echo, serve, caplog):
    """A body that stalls ends with 408; one that goes on slowly is read whole."""
    port = serve(echo, QUICK)
    post = b"POST /x HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 10\r\n\r\n"
    assert status(talk(port, post + b"12345")) == b"408"
    said = talk(port, post, *[b"1"] * 10, pause=0.2)
    assert (status(said), said[-2:]) == (b"200", b"10")
    chunked = b"POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\n123"
    assert status(talk(port, chunked)) == b"408"
    assert traceless(caplog)


def test_work_takes_the_time_that_it_takes(echo, serve):
    """The clocks are for what the client owes: an answer that takes longer is waited for."""
    port = serve(echo, QUICK)
    assert (
        status(talk(port, b"GET /slow HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")) == b"200"
    )


def test_half_a_body_leaves_no_traceback(echo, serve, caplog):
    """The client goes half way: nothing is worked on, nothing is logged as an error."""
    port = serve(echo)
    for head in (
        b"POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n",
        b"POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n400\r\n",
        b"POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ):
        with dialled(port) as connection:
            connection.sendall(head + b"abc")
            time.sleep(0.1)
    time.sleep(0.3)
    assert status(talk(port, HEAD + b"connection: close\r\n\r\n")) == b"200"
    assert traceless(caplog)


def test_a_body_that_nobody_reads_is_not_read_for_ever(echo, serve):
    """Answered before the body was whole: the rest is taken for a while, then we close."""
    port = serve(echo, QUICK)
    post = b"POST /deaf HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n"
    began = time.monotonic()
    assert status(talk(port, post, *[b"x"] * 300, pause=0.05)) == b"200"
    assert time.monotonic() - began < 8.0


def test_pipelined_requests_are_answered_in_order_and_bounded(echo, serve):
    """Sixteen may wait; hundreds end the connection, and never mix with answers."""
    port = serve(echo)
    last = HEAD + b"connection: close\r\n\r\n"
    said = talk(port, (HEAD + b"\r\n") * 10 + last)
    assert said.count(b"200 OK") == 11
    said = talk(port, b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n" + (HEAD + b"\r\n") * 500)
    assert said.count(b"200 OK") <= 17
    assert b"429" not in said


def test_connections_are_counted(echo, serve):
    """One more than there may be is dropped; when one goes, there is room again."""
    port = serve(echo, Bounds(connections=5))
    held = [dialled(port) for _ in range(5)]
    time.sleep(0.2)
    assert talk(port, HEAD + b"connection: close\r\n\r\n") == b""
    for connection in held:
        connection.close()
    time.sleep(0.2)
    assert status(talk(port, HEAD + b"connection: close\r\n\r\n")) == b"200"


def test_odd_handshakes_are_refused_plainly(owned, serve, caplog):
    """A websocket where none is: 4xx, and no traceback."""
    port = serve(owned)
    key = b"sec-websocket-key: " + base64.b64encode(b"0" * 16) + b"\r\n"
    for head in (
        HEAD + HANDSHAKE + key,
        HEAD + HANDSHAKE,
        HEAD + HANDSHAKE.replace(b"13", b"7") + key,
        HEAD.replace(b"GET", b"POST") + HANDSHAKE + key,
        HEAD.replace(b"1.1", b"1.0") + HANDSHAKE + key,
        HEAD + HANDSHAKE + key + b"".join(b"x%d: a\r\n" % i for i in range(200)),
        HEAD + HANDSHAKE + key + b"x: " + b"a" * 20_000 + b"\r\n",
        HEAD + HANDSHAKE + key + b"x: \xff\r\n",
        HEAD.replace(b"/x", b"/" + b"x" * 9_000) + HANDSHAKE + key,
        HEAD + b"connection: upgrade, close\r\nupgrade: h2c\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nhost: 127.0.0.1\r\n",
        b"OPTIONS * HTTP/1.1\r\nconnection: close\r\nhost: 127.0.0.1\r\n",
    ):
        said = status(talk(port, head + b"\r\n"))
        assert said[:1] == b"4", (head, said)
    assert traceless(caplog)


def traceless(caplog) -> bool:
    """Whether nothing worse than a warning was logged."""
    found = [r for r in caplog.records if r.exc_info or r.levelno >= logging.ERROR]
    assert found == []
    return True
