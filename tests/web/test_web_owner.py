"""A service for its owner alone: hosts, origins, passes, websockets."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import time

import httpx
import pytest
import websockets.sync.client
from starlette.middleware.gzip import GZipMiddleware
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tidemill.web import HeadAsGet, OwnerOnly, Passes, addressed, guarded, is_foreign
from tidemill.web.asgi import json_changed

HERE = "http://127.0.0.1:4200"
CREDENTIAL = "tidemill:0123456789abcdef"
BASIC = f"Basic {base64.b64encode(CREDENTIAL.encode()).decode()}"


def ask(app, method="GET", path="/", **given) -> httpx.Response:
    """One request in this process."""

    async def go():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url=HERE) as client:
            return await client.request(method, path, **given)

    return asyncio.run(go())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "LOCALHOST:4200"}, 200),
        ({"host": "evil.example"}, 421),
        ({"host": "127.0.0.1.evil.example:4200"}, 421),
        ({"host": "127.0.0.1:4200@evil.example"}, 421),
        ({"host": ""}, 421),
        ({"origin": HERE}, 200),
        ({"origin": "http://127.0.0.1:4201"}, 403),
        ({"origin": "http://localhost:4200"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": ""}, 403),
        ({"origin": "file://127.0.0.1:4200"}, 403),
        ({"origin": "http://[::1"}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, 403),
        ({"sec-fetch-site": "same-site", "sec-fetch-mode": "cors"}, 403),
        (
            {
                "sec-fetch-site": "cross-site",
                "sec-fetch-mode": "navigate",
                "sec-fetch-dest": "iframe",
            },
            403,
        ),
        (
            {
                "sec-fetch-site": "cross-site",
                "sec-fetch-mode": "navigate",
                "sec-fetch-dest": "document",
            },
            200,
        ),
        ({"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"}, 200),
        ({"sec-fetch-site": "none", "sec-fetch-mode": "navigate"}, 200),
    ],
)
def test_host_and_origin_are_checked_before_the_pass(owned, echo, headers, status):
    """With the credential in hand, a foreign host or origin still reaches nothing."""
    assert ask(owned, headers={"authorization": BASIC, **headers}).status_code == status
    assert bool(echo.reached) == (status == 200)


def test_a_followed_link_may_open_but_not_change(owned, echo):
    """A navigation is no way for a form of another site."""
    headers = {
        "sec-fetch-site": "cross-site",
        "sec-fetch-mode": "navigate",
        "sec-fetch-dest": "document",
    }
    headers["authorization"] = BASIC
    assert ask(owned, "POST", headers=headers).status_code == 403
    assert echo.reached == []


def test_doubled_headers_are_foreign():
    """Which of two origins counts is not for us to guess."""
    twice = [(b"host", b"a"), (b"origin", b"http://a"), (b"origin", b"http://a")]
    assert is_foreign({"headers": twice})
    assert not is_foreign({"headers": twice[:2]})


@pytest.mark.parametrize(
    "given",
    [
        None,
        "Basic",
        "Basic !!!",
        "Bearer 0123456789abcdef",
        f"Basic {base64.b64encode(b'tidemill:wrong').decode()}",
        f"Basic {base64.b64encode(b'tidemill:').decode()}",
        "Basic \xff\xfe",
    ],
)
def test_without_the_credential_only_health_answers(owned, echo, given):
    """Every other path and method is 401, whatever was sent instead."""
    headers = {} if given is None else {"authorization": given.encode("latin-1")}
    for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"):
        for path in ("/", "/api/deployments/", "/health/", "/x/health", "/%68ealth/../x"):
            assert ask(owned, method, path, headers=headers).status_code == 401
    assert ask(owned, "POST", "/health", headers=headers).status_code == 401
    assert echo.reached == []
    assert ask(owned, "GET", "/health", headers=headers).status_code == 200


def test_a_link_opens_one_session(owned, passes):
    """The token works once; no script reads its cookie, and no other site sends it."""
    link = f"/tidemill/open?token={passes.link()}"
    opened = ask(owned, path=link)
    assert opened.status_code == 200
    cookie = opened.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert ask(owned, headers={"cookie": cookie.partition(";")[0]}).status_code == 200
    beside = f'theirs={{"a": "b, c"}}; odd[]; {cookie.partition(";")[0]}'
    assert ask(owned, headers={"cookie": beside}).status_code == 200, "cookies of other services"
    assert ask(owned, path=link).status_code == 401
    assert ask(owned, headers={"cookie": f"{passes.cookie}={link[-40:]}"}).status_code == 401


def test_who_is_let_in_begins_at_home(echo, passes):
    """On the page that the service names, whichever way; a name is text there."""
    owned = OwnerOnly(echo, passes=passes, home=lambda: '/#/runs/"1')
    by_link = ask(owned, path=f"/tidemill/open?token={passes.link()}")
    given = {"password": CREDENTIAL.partition(":")[2]}
    for opened in (by_link, ask(owned, "POST", "/tidemill/open", data=given)):
        assert 'content="0;url=/#/runs/&quot;1"' in opened.text


def test_the_page_asks_for_the_password(owned, echo):
    """Who has no link gives the password in a form of this very page."""
    page = ask(owned, headers={"accept": "text/html"})
    assert page.status_code == 401
    assert "tidemill links" in page.text
    # No scheme that makes a browser ask, and send its answer with everything for ever.
    assert "basic" not in page.headers["www-authenticate"].lower()
    for password, status in (("wrong", 401), ("", 401), (CREDENTIAL.partition(":")[2], 200)):
        answer = ask(owned, "POST", "/tidemill/open", data={"password": password})
        assert answer.status_code == status
    good = {"password": CREDENTIAL.partition(":")[2]}
    foreign = {"origin": "http://evil.example"}
    assert ask(owned, "POST", "/tidemill/open", data=good, headers=foreign).status_code == 403
    text = {"content-type": "text/plain"}
    body = f"password={good['password']}"
    assert ask(owned, "POST", "/tidemill/open", content=body, headers=text).status_code == 401
    big = {"password": "x" * 10_000}
    assert ask(owned, "POST", "/tidemill/open", data=big).status_code == 401
    assert echo.reached == []


def test_passes_end():
    """A link after an hour, a session after half a day, both with the credential."""
    now = 1_000_000.0
    passes = Passes(CREDENTIAL, clock=lambda: now, running=lambda: now)
    link, session = passes.link(), passes.session()
    now += 3601
    assert not passes.take(link)
    assert passes.holds(session)
    assert not Passes("tidemill:other", clock=lambda: now).holds(session)
    # Another process would not know that a link was used: it takes none that is older than itself.
    fresh = passes.link()
    now += 1
    assert not Passes(CREDENTIAL, clock=lambda: now).take(fresh)
    assert Passes(CREDENTIAL, clock=lambda: now).holds(session)
    assert passes.take(fresh)
    now += 12 * 3600
    assert not passes.holds(session)
    assert not passes.holds(link)
    for junk in ("", "-", "a-b-c", "9" * 9999, link[:-1], link.replace("-", "--", 1), "é"):
        assert not passes.holds(junk)
        assert not passes.take(junk)


def test_a_clock_that_was_set_back_or_on_opens_nothing_twice_and_new_links_once():
    """How long the service ran is no matter of the day's clock."""
    now, ran = 1_000_000.0, 50.0
    passes = Passes(CREDENTIAL, clock=lambda: now, running=lambda: ran)
    now, ran = now + 10, ran + 10
    used = passes.link()
    assert passes.take(used)
    now -= 7200
    link, session = passes.link(), passes.session()
    assert (passes.take(link), passes.take(link)) == (True, False)
    assert passes.holds(session)
    now += 5 * 3600
    assert not passes.take(used)
    now -= 5 * 3600 - 7200
    assert not passes.take(used), "the clock came back to the hour in which it was used"
    restarted = Passes(CREDENTIAL, clock=lambda: now, running=lambda: ran)
    ran += 5
    assert not restarted.take(link)


def test_nothing_is_served_without_a_credential(echo, monkeypatch):
    """A forgotten or empty credential is an error at the start, never an open door."""
    for value in (None, "", "user:", "user"):
        monkeypatch.delenv("TIDEMILL_OWNER_CREDENTIAL", raising=False)
        if value is not None:
            monkeypatch.setenv("TIDEMILL_OWNER_CREDENTIAL", value)
        with pytest.raises(KeyError):
            guarded(echo, open_paths=())
    monkeypatch.setenv("TIDEMILL_OWNER_CREDENTIAL", CREDENTIAL)
    app = guarded(echo, open_paths=())
    import os

    assert "TIDEMILL_OWNER_CREDENTIAL" not in os.environ
    assert ask(app).status_code == 401


def test_websockets_ask_for_the_same(owned, echo, serve, caplog):
    """Origin, host and pass hold for handshakes; Prefect's first message may carry the pass."""
    port = serve(owned)

    def connect(*, basic=False, **given):
        headers = {"Authorization": BASIC} if basic else {}
        headers |= given.pop("headers", {})
        return websockets.sync.client.connect(
            f"ws://127.0.0.1:{port}/api/events/in", additional_headers=headers, **given
        )

    def say(socket, message):
        socket.send(json.dumps(message))
        return socket.recv(timeout=5)

    for given in (
        {},
        {"basic": True, "headers": {"Origin": "http://evil.example"}},
        {"basic": True, "headers": {"Origin": "null"}},
        {"subprotocols": ["prefect"], "headers": {"Origin": "http://evil.example"}},
        {"subprotocols": ["other"]},
    ):
        with pytest.raises(InvalidStatus) as caught, connect(**given):
            pass
        assert caught.value.response.status_code == 403
    assert echo.messages == []
    for message in (
        {"type": "auth", "token": "wrong"},
        {"type": "auth"},
        {"type": "auth", "token": "\ud800"},
        {"type": "event", "token": CREDENTIAL},
        [],
    ):
        with connect(subprotocols=["prefect"]) as socket, pytest.raises(ConnectionClosed):
            say(socket, message)
    assert echo.messages == []
    with connect(basic=True) as socket:
        assert say(socket, {"type": "event"}) == "heard"
    with connect(subprotocols=["prefect"]) as socket:
        assert say(socket, {"type": "auth", "token": CREDENTIAL}) == "heard"
        assert say(socket, {"type": "event"}) == "heard"
    assert [r for r in caplog.records if r.exc_info] == []


@pytest.mark.parametrize("whole", [True, False])
def test_a_websocket_says_little_before_its_pass_and_much_after(whole, owned, echo, serve):
    """64 KiB in one message, or in pieces of one that never ends, and it is closed."""
    port = serve(owned)
    socket = websockets.sync.client.connect(
        f"ws://127.0.0.1:{port}/api/events/in", subprotocols=["prefect"], compression=None
    )
    piece = "x" * 30_000

    def say_much() -> None:
        socket.send(piece * 30 if whole else itertools.repeat(piece, 30))
        socket.recv(timeout=5)

    with socket, pytest.raises(ConnectionClosed) as caught:
        say_much()
    # Who still sends when it is closed may meet the reset before the word that was sent.
    assert (caught.value.rcvd is None and not whole) or caught.value.rcvd.code == 1009
    assert echo.messages == []
    headers = {"Authorization": BASIC}
    for given in ({"additional_headers": headers}, {"subprotocols": ["prefect"]}):
        with websockets.sync.client.connect(f"ws://127.0.0.1:{port}/x", **given) as socket:
            for said in ({"type": "auth", "token": CREDENTIAL}, {"type": "event", "x": piece * 30}):
                socket.send(json.dumps(said))
                assert socket.recv(timeout=5) == "heard"


def test_who_is_refused_is_told_where_the_password_lies(owned):
    """The page and the plain answer name the file, its entries and the link; no secret."""
    secret = CREDENTIAL.partition(":")[2]
    for method, headers in (("GET", {"accept": "text/html"}), ("GET", {}), ("POST", {})):
        answer = ask(owned, method, headers=headers)
        assert answer.status_code == 401
        for told in (
            ".tidemill/up/clients.sh",
            "MLFLOW_TRACKING_PASSWORD",
            "PREFECT_API_AUTH_STRING",
            "tidemill links",
        ):
            assert told in answer.text, (method, headers, told)
        assert secret not in answer.text


def test_head_is_get_without_the_body(echo, monkeypatch):
    """Status and headers of GET, for applications that know no HEAD; a link is not used up."""
    monkeypatch.setenv("TIDEMILL_OWNER_CREDENTIAL", CREDENTIAL)
    app = guarded(echo, open_paths=("/health",), handshake="prefect")
    for path, headers in (
        ("/health", {}),
        ("/", {}),
        ("/", {"accept": "text/html"}),
        ("/x", {"authorization": BASIC}),
    ):
        got, head = (ask(app, method, path, headers=headers) for method in ("GET", "HEAD"))
        assert (head.status_code, head.headers) == (got.status_code, got.headers), path
        assert head.content == b""
    assert echo.reached == ["GET /health"] * 2 + ["GET /x"] * 2
    link = f"/tidemill/open?token={Passes(CREDENTIAL).link()}"
    assert ask(app, "HEAD", link).status_code == 401
    monkeypatch.setenv("TIDEMILL_OWNER_CREDENTIAL", CREDENTIAL)
    assert ask(addressed(echo), "HEAD").status_code == 200


def test_head_of_an_endless_answer_ends(serve, caplog):
    """The stream is cut after its head, and the connection serves on."""
    ended = []

    async def endless(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            while True:
                await send({"type": "http.response.body", "body": b"x", "more_body": True})
                await asyncio.sleep(0.01)
        finally:
            ended.append(scope["method"])

    port = serve(HeadAsGet(endless))
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
        for _ in range(3):
            answer = client.head("/")
            assert (answer.status_code, answer.content) == (200, b"")
    until = time.monotonic() + 10  # the answer comes a moment before the stream's end
    while len(ended) < 3 and time.monotonic() < until:
        time.sleep(0.01)
    assert ended == ["GET"] * 3
    assert [r for r in caplog.records if r.exc_info] == []


def test_a_changed_document_keeps_its_answer(echo):
    """Only the named path is changed, and its length is right, for browsers that take gzip too."""

    async def plain(scope, receive, send):
        headers = [(b"content-length", b"9"), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"a"', "more_body": True})
        await send({"type": "http.response.body", "body": b": 10}"})

    # As Prefect does: packed for who takes it.
    app = GZipMiddleware(plain, minimum_size=1)
    changed = json_changed(app, "/a", lambda document, scope: {**document, "b": scope["path"]})
    answer = ask(changed, path="/a")
    assert answer.json() == {"a": 10, "b": "/a"}
    assert answer.headers["content-length"] == str(len(answer.content))
    assert ask(changed, path="/b").json() == {"a": 10}
