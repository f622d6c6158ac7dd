"""Who may ask what: keys, scopes, sessions, forgery, hosts, and what must never be said."""

from __future__ import annotations

import logging
import re
import stat
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from starlette.routing import Mount

from tidemill.errors import ConfigError
from tidemill_monitor.problems import HEADERS
from tidemill_monitor.security import required_scope
from tidemill_monitor.security.rates import Buckets
from tidemill_monitor.security.scopes import OPEN_PATHS, OPEN_PREFIX

OPEN = {
    ("GET", "/healthz"): "whether the process answers",
    ("HEAD", "/healthz"): "the same",
    ("GET", "/readyz"): "how the parts are; kinds of errors only",
    ("HEAD", "/readyz"): "the same",
    ("GET", "/login"): "the page where a key is given",
    ("HEAD", "/login"): "the same",
    ("POST", "/login"): "where it is sent: a key, a form token, few tries",
}
"""Everything that answers without a key, said in the open; and the login page's own look."""


def walk(found) -> Iterator[Any]:
    """Every route, those of included routers too."""
    for route in found:
        inner = getattr(route, "original_router", None)
        if inner is not None:
            yield from walk(inner.routes)
        else:
            yield route


def routes(app) -> list[tuple[str, str]]:
    """Every method and path of an app, mounted ones too; also methods that it does not have."""
    found = []
    for route in walk(app.routes):
        path = route.path
        if isinstance(route, Mount):
            found += [(method, f"{path}/app.css") for method in ("GET", "HEAD", "POST")]
            continue
        concrete = re.sub(r"\{[^}]*\}", "1", path)
        methods = {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"}
        found += [(method, concrete) for method in sorted(methods | set(route.methods or ()))]
    return found


def test_every_route_refuses_without_a_key(shared):
    """All routes of the app, docs and static files included; the exceptions are listed above."""
    found = routes(shared.app)
    paths = {path for _, path in found}
    assert {"/v1/events", "/openapi.json", "/docs", "/metrics", "/v1/windows", "/"} <= paths
    for method, path in found:
        if (method, path) in OPEN or path.startswith(OPEN_PREFIX):
            continue
        answer = shared.client.request(method, path)
        if path == "/login":
            assert answer.status_code == 405, (method, path)
            continue
        assert answer.status_code == 401, (method, path, answer.status_code)
        if method != "HEAD":
            assert answer.headers["content-type"] == "application/problem+json"


def test_unknown_paths_tell_nothing_without_a_key(shared):
    """Nor can an open path be stretched to others."""
    for path in (
        "/v1/nothing",
        "/healthz/../v1/status",
        "//healthz/x",
        "/static/login/../app.css",
        "/static/login/%2e%2e/app.css",
        "/login/x",
        "/openapi.json/",
    ):
        assert shared.client.get(path).status_code == 401, path


def test_head_is_get_without_the_body(shared):
    """On every address that answers GET, with a key and without, pages and the stream too."""
    paths = [path for method, path in routes(shared.app) if method == "GET"]
    assert {"/healthz", "/readyz", "/login", "/v1/stream", "/features", "/metrics"} <= set(paths)
    for headers in ({}, shared.asking()):
        for path in sorted(set(paths) - {"/v1/stream"}):
            got = shared.client.get(path, headers=headers)
            head = shared.client.head(path, headers=headers)
            assert head.status_code == got.status_code, path
            assert head.headers.get("content-type") == got.headers.get("content-type"), path
            assert head.content == b""
    head = shared.client.head("/v1/stream", headers=shared.asking())
    assert (head.status_code, head.headers["content-type"].partition(";")[0]) == (
        200,
        "text/event-stream",
    )
    counted = shared.get("/metrics").text
    assert 'method="HEAD",route="/healthz",status="200"' in counted


def test_who_has_no_key_is_told_where_one_is(shared):
    """The problem and the login page name the command and the file, and hold no key."""
    told = shared.client.get("/v1/status").json()["remedy"]
    page = shared.client.get("/login").text
    for text in (told, page):
        assert "tidemill monitor keys create --scope" in text
        assert ".tidemill/monitor/credentials.json" in text
        assert not any(key in text for key in shared.texts.values())


@pytest.mark.parametrize(
    ("scope", "allowed", "refused"),
    [
        (
            "ingest",
            [("POST", "/v1/events")],
            [("GET", "/v1/status"), ("POST", "/v1/models/reload"), ("GET", "/docs"), ("GET", "/")],
        ),
        (
            "read",
            [("GET", "/v1/status"), ("GET", "/metrics"), ("GET", "/openapi.json")],
            [
                ("POST", "/v1/events"),
                ("POST", "/v1/models/reload"),
                ("GET", "/v1/labelled"),
                ("POST", "/v1/decisions/1/approve"),
            ],
        ),
        (
            "operate",
            [("POST", "/v1/events"), ("GET", "/v1/status"), ("POST", "/v1/models/reload")],
            [],
        ),
    ],
)
def test_scopes_keep_apart(shared, scope, allowed, refused):
    """Each key may do what its scope says."""
    for method, path in allowed:
        answer = shared.client.request(method, path, headers=shared.asking(scope))
        assert answer.status_code not in (401, 403), (method, path)
    for method, path in refused:
        answer = shared.client.request(method, path, headers=shared.asking(scope))
        assert answer.status_code == 403, (method, path)
        assert answer.json()["code"] == "ScopeMissing"


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer tm_000000000000_" + "0" * 64,
        "Bearer tm_\xe9",
        "Basic dGVzdDp0ZXN0",
        "Bearer " + "x" * 8000,
        "Bearer tm_" + "\xff" * 77,
    ],
)
def test_credentials_that_are_none_are_401(shared, header):
    """Whatever stands in the header, letters beyond ASCII included: never another answer."""
    answer = shared.client.get("/v1/status", headers={"Authorization": header.encode("latin-1")})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


def test_a_key_with_one_character_changed_is_refused(shared):
    """The id alone opens nothing."""
    text = shared.texts["read"]
    changed = text[:-1] + ("0" if text[-1] != "0" else "1")
    answer = shared.client.get("/v1/status", headers={"Authorization": f"Bearer {changed}"})
    assert answer.status_code == 401


def test_a_revoked_key_is_refused(visited):
    """At once where it was revoked, elsewhere within five seconds; its sessions end too."""
    text = visited.service.keys.create("to be revoked", "read")
    asking = {"Authorization": f"Bearer {text}"}
    session = log_in(visited, text)
    assert session.status_code == 303
    assert visited.client.get("/v1/status").status_code == 200
    assert visited.service.keys.revoke(text.split("_")[1])
    assert visited.client.get("/v1/status").status_code == 401
    visited.client.cookies.clear()
    assert visited.client.get("/v1/status", headers=asking).status_code == 401


def test_keys_are_kept_as_hashes(shared):
    """No file of the store holds a secret."""
    secrets = [text.rpartition("_")[2].encode() for text in shared.texts.values()]
    files = [path for path in shared.service.settings.folder.rglob("*") if path.is_file()]
    assert files
    for path in files:
        content = path.read_bytes()
        assert not any(secret in content for secret in secrets), path


def test_the_first_key_is_shown_once(workspace, start_monitor, capfd):
    """At the first start, on stderr, never again."""
    with start_monitor(workspace) as monitor:
        shown = re.findall(r"tm_[0-9a-f]{12}_[0-9a-f]{64}", capfd.readouterr().err)
        assert len(shown) == 1
        answer = monitor.client.get("/v1/status", headers={"Authorization": f"Bearer {shown[0]}"})
        assert answer.status_code == 200
    with start_monitor(workspace):
        out = capfd.readouterr()
        assert "tm_" not in out.err + out.out


def test_elsewhere_than_here_only_with_a_key(workspace, trained, tmp_path, start_monitor):
    """Without a key in the store it refuses to listen for others; a file of keys will do."""
    with pytest.raises(ConfigError, match="no key"), start_monitor(workspace, host="0.0.0.0"):
        pass
    text = "tm_0123456789ab_" + "c0ffee" * 10 + "beef"
    (tmp_path / "keys").write_text(f"operate {text}\n")
    settings = {"host": "0.0.0.0", "keys_file": tmp_path / "keys"}
    for _ in range(2):
        with start_monitor(workspace, **settings) as monitor:
            answer = monitor.client.get("/v1/status", headers={"Authorization": f"Bearer {text}"})
            assert answer.status_code == 200
    (tmp_path / "keys").write_text("operate hunter2\n")
    with pytest.raises(ConfigError) as caught, start_monitor(workspace, **settings):
        pass
    assert "hunter2" not in str(caught.value) + caught.value.remedy


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("testserver", 200),
        ("localhost:8010", 200),
        ("127.0.0.1", 200),
        ("[::1]:8010", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("", 421),
    ],
)
def test_hosts_that_are_not_ours_are_refused(shared, host, status):
    """A foreign page cannot reach the service under a name of its own."""
    answer = shared.client.get("/healthz", headers={"Host": host})
    assert answer.status_code == status


def test_every_answer_has_the_security_headers(shared):
    """Also problems, pages and what fails inside."""
    for path in ("/healthz", "/v1/nothing", "/login", "/v1/status"):
        answer = shared.client.get(path, headers=shared.asking("read"))
        for name in HEADERS:
            assert name in answer.headers, (path, name)
    policy = HEADERS["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


def form_token(monitor) -> str:
    page = monitor.client.get("/login")
    assert page.status_code == 200
    (token,) = re.findall(r'name="csrf_token"[^>]*value="([^"]+)"', page.text) or re.findall(
        r'value="([^"]+)"[^>]*name="csrf_token"', page.text
    )
    return token


@pytest.fixture
def visited(shared) -> Iterator[Any]:
    """The monitor of the module, and a client without cookies."""
    shared.client.cookies.clear()
    yield shared
    shared.client.cookies.clear()


def log_in(monitor, key: str, **more):
    form = {"key": key, "csrf_token": form_token(monitor), "next": "/", **more}
    return monitor.client.post("/login", data=form)


def test_a_session_lets_in_and_ends(visited):
    """Cookie flags, the page asked for, logout."""
    page = visited.client.get("/windows", headers={"Accept": "text/html"})
    assert (page.status_code, page.headers["location"]) == (303, "/login?next=/windows")
    answer = log_in(visited, visited.texts["operate"], next="/windows")
    assert (answer.status_code, answer.headers["location"]) == (303, "/windows")
    cookie = next(c for c in answer.headers.get_list("set-cookie") if c.startswith("tm_session="))
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Secure" not in cookie  # http, on this machine
    assert visited.client.get("/v1/status").status_code == 200
    token = session_token(visited)
    kept = visited.client.cookies.get("tm_session")
    beside = f'theirs={{"a": "b, c"}}; odd[]; tm_session={kept}'
    assert visited.client.get("/v1/status", headers={"Cookie": beside}).status_code == 200
    assert visited.client.post("/logout", headers={"X-CSRF-Token": token}).status_code == 303
    visited.client.cookies.set("tm_session", kept)
    assert visited.client.get("/v1/status").status_code == 401


def session_token(monitor) -> str:
    """What the pages of the session carry."""
    identity = monitor.service.sessions.identify(monitor.client.cookies.get("tm_session"))
    return identity.csrf


def test_cookies_are_secure_over_https(workspace, start_monitor):
    """Where the request came by https, or the settings say so."""
    with start_monitor(workspace, secure_cookies=True) as monitor:
        answer = monitor.client.get("/login")
        assert "Secure" in answer.headers["set-cookie"]


def test_what_a_session_changes_needs_its_token(visited):
    """Header or form field; a wrong, missing or foreign one, or another origin, is 403."""
    assert log_in(visited, visited.texts["operate"]).status_code == 303
    path, token = "/v1/models/reload", session_token(visited)
    assert visited.client.post(path).json()["code"] == "CsrfRefused"
    for bad in ("x", "", token[:-1], "\u00e9"):
        answer = visited.client.post(path, headers={"X-CSRF-Token": bad.encode("utf-8")})
        assert answer.status_code == 403
    answer = visited.client.post(
        path, headers={"X-CSRF-Token": token, "Origin": "http://evil.example"}
    )
    assert answer.status_code == 403
    assert visited.client.post(path, data={"csrf_token": token}).status_code == 200
    own = {"X-CSRF-Token": token, "Origin": "http://testserver"}
    assert visited.client.post(path, headers=own).status_code == 200
    assert visited.client.post(path, data={"csrf_token": "x" * 20_000}).status_code == 413


def test_a_login_form_must_be_ours(monitor):
    """Without the page's own token and cookie nobody is logged in, whatever the key."""
    key = monitor.texts["operate"]
    forged = monitor.client.post("/login", data={"key": key, "csrf_token": "x"})
    assert forged.status_code == 403
    token = form_token(monitor)
    assert (
        monitor.client.post("/login", data={"key": key, "csrf_token": token + "x"}).status_code
        == 403
    )
    foreign = {"Origin": "http://evil.example"}
    answer = monitor.client.post("/login", data={"key": key, "csrf_token": token}, headers=foreign)
    assert answer.status_code == 403
    assert "tm_session" not in monitor.client.cookies


def test_wrong_keys_at_the_login_page(monitor):
    """The page says so without saying them back, and few tries a minute are let through."""
    canary = "tm_canary_<script>"
    answer = log_in(monitor, canary)
    assert answer.status_code == 401
    assert canary not in answer.text
    assert "tm_canary" not in answer.text
    assert log_in(monitor, monitor.texts["ingest"]).status_code == 401
    answers = [log_in(monitor, "x").status_code for _ in range(12)]
    assert answers[-1] == 429


def test_right_keys_at_the_login_page_are_not_counted(visited):
    """Only failed tries are few: people of one office share an address."""
    answers = [log_in(visited, visited.texts["read"]).status_code for _ in range(12)]
    assert set(answers) == {303}


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/\\evil", "x", ""])
def test_after_login_only_pages_of_ours(visited, target):
    """The page asked for cannot lead away."""
    assert log_in(visited, visited.texts["read"], next=target).headers["location"] == "/"


def test_a_session_may_do_what_its_key_may(visited):
    """A reader's session operates nothing."""
    assert log_in(visited, visited.texts["read"]).status_code == 303
    headers = {"X-CSRF-Token": session_token(visited)}
    assert visited.client.post("/v1/models/reload", headers=headers).status_code == 403
    assert visited.client.get("/v1/status").status_code == 200


def test_a_session_ends_with_time(monitor):
    """After the settings' hours, also where the service remembers it."""
    assert log_in(monitor, monitor.texts["read"]).status_code == 303
    assert monitor.client.get("/v1/status").status_code == 200
    monitor.clock.forward(hours=13)
    assert monitor.client.get("/v1/status").status_code == 401


def test_requests_are_rationed_by_key(workspace, start_monitor):
    """A key that asks too often is told when to come back; another key is not."""
    with start_monitor(workspace, rate_requests=1) as monitor:
        answers = [monitor.get("/openapi.json") for _ in range(4)]
        assert [a.status_code for a in answers].count(429) >= 1
        assert int(answers[-1].headers["retry-after"]) >= 1
        assert monitor.get("/openapi.json", "operate").status_code == 200


def test_buckets_fill_with_time():
    """Two seconds' worth at most, and never a negative wait."""
    now = 100.0
    buckets = Buckets(10.0, 20.0, clock=lambda: now)
    assert [buckets.take("a", 5) for _ in range(4)] == [0, 0, 0, 0]
    assert buckets.take("a", 5) == pytest.approx(0.5)
    assert buckets.take("b", 20) == 0
    now += 0.5
    assert buckets.take("a", 5) == 0
    now += 1000
    assert buckets.take("a", 20) == 0
    assert buckets.take("a", 1) > 0


CANARY = "c0ffee" * 10 + "beef"


def test_secrets_are_never_said(workspace, start_monitor, monkeypatch, caplog, capfd, rides):
    """Keys, cookies, tokens, bodies: in no answer, no log, no traceback, whatever goes wrong."""
    webhook = "whsec_Q2FuYXJ5Q2FuYXJ5Q2FuYXJ5"
    secret = f"tm_0123456789ab_{CANARY}"
    said = []
    with start_monitor(workspace, webhook_secret=webhook) as monitor:
        structlog.configure(processors=[structlog.processors.KeyValueRenderer()])
        caplog.set_level(logging.DEBUG)
        for name in ("httpx", "httpcore"):  # the test's own client
            caplog.set_level(logging.WARNING, name)
        monitor.service.keys.add(secret, "canary", "operate")
        headers = {"Authorization": f"Bearer {secret}"}

        def ask(method, path, **more):
            answer = monitor.client.request(method, path, **more)
            said.append(f"{answer.text} {answer.headers}")
            return answer

        def break_down(*_, **__):
            raise RuntimeError("broken")

        ask("GET", "/v1/status", headers=headers)
        ask("GET", f"/v1/windows/{CANARY}/findings", headers=monitor.asking("read"))
        ask("GET", "/v1/status", headers={"Authorization": f"Bearer {secret}x"})
        ask("POST", "/v1/events", headers=headers, json={"events": [{"event_id": CANARY}]})
        rows = rides.events(1, at=monitor.clock())
        rows[0]["features"]["distance_km"] = CANARY
        ask("POST", "/v1/events", headers=headers, json={"events": rows})
        ask("POST", "/v1/events", headers=headers, content=CANARY)
        ask("POST", "/v1/retrain", json={"a": CANARY}, headers={"webhook-signature": CANARY})
        said.append(log_in(monitor, secret + "x").text)
        monkeypatch.setattr(monitor.service.ledger.events, "submit", break_down)
        answer = ask(
            "POST",
            "/v1/events",
            headers=headers,
            json={"events": rides.events(1, at=monitor.clock())},
        )
        assert answer.status_code == 500
        assert answer.json()["code"] == "Defect"
        assert answer.headers["x-content-type-options"] == "nosniff"
        said.append(repr(monitor.service.settings))
        log_in(monitor, secret)
        cookie = monitor.client.cookies.get("tm_session")
        ask("GET", "/v1/status")
    structlog.reset_defaults()
    out = capfd.readouterr()
    logged = caplog.text + out.out + out.err
    for name, text in (("answers", "\n".join(said)), ("logs", logged)):
        for canary in (CANARY, webhook, cookie):
            assert canary not in text, name


def test_errors_of_the_store_hide_its_address(workspace, start_monitor, tmp_path):
    """A password in the store's address is in no message."""
    address = "postgresql+psycopg://monitor:hunter2canary@127.0.0.1:9/x"
    with pytest.raises(Exception) as caught, start_monitor(workspace, store=address):  # noqa: PT011
        pass
    shown = "".join(traceback.format_exception(caught.value))
    assert "hunter2canary" not in shown


def test_the_table_of_scopes_is_closed():
    """What nobody thought of needs the scope operate."""
    assert required_scope("POST", "/v1/anything") == "operate"
    assert required_scope("DELETE", "/healthz") == "operate"
    assert required_scope("GET", "/anything") == "read"
    assert required_scope("PUT", "/static/login/x") == "operate"
    assert set(OPEN_PATHS) == {path for _, path in OPEN}


def test_the_store_is_for_its_owner(shared):
    """Others on the machine do not read the events."""
    mode = shared.service.settings.folder.stat().st_mode
    assert not mode & (stat.S_IRWXO | stat.S_IRWXG)


def test_a_key_is_made_and_revoked_while_the_monitor_runs(shared):
    """An operator makes a key over HTTP, it opens the door, and once revoked it does not."""
    asked = {"name": "shop", "scope": "read"}
    assert shared.post("/v1/keys", scope="read", json=asked).status_code == 403
    made = shared.post("/v1/keys", scope="operate", json=asked).json()
    headers = {"Authorization": f"Bearer {made['key']}"}
    assert shared.client.get("/v1/status", headers=headers).status_code == 200
    key_id = made["key"].split("_")[1]
    answer = shared.post(f"/v1/keys/{key_id}/revoke", scope="operate")
    assert answer.json() == {"revoked": key_id}
    assert shared.client.get("/v1/status", headers=headers).status_code == 401
    assert shared.post("/v1/keys/ffffffffffff/revoke", scope="operate").status_code == 404
