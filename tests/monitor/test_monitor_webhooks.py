from __future__ import annotations

import base64
import datetime as dt
import secrets
import socket
import threading

import pytest

from tidemill.errors import ServiceUnavailable
from tidemill_monitor.dispatch import guard
from tidemill_monitor.dispatch.guard import post
from tidemill_monitor.dispatch.signing import (
    SecretInvalid,
    SignatureRefused,
    secret_bytes,
    secret_keys,
    signed_headers,
    verified_id,
)
from tidemill_monitor.public_addresses import AddressRefused, refuse_unless_public

NOW = dt.datetime(2026, 11, 20, 12, 0, tzinfo=dt.UTC)
KEY = secrets.token_bytes(32)
SECRET = "whsec_" + base64.b64encode(KEY).decode()
BODY = b'{"type": "alert.opened", "caf\xc3\xa9": 1}'


def test_what_we_sign_the_standards_own_package_verifies():
    """A receiver that uses the public library accepts our headers."""
    from standardwebhooks.webhooks import Webhook

    now = dt.datetime.now(dt.UTC)
    headers = signed_headers(secret_keys(SECRET, "X"), "msg_1", now, BODY)

    assert Webhook(SECRET).verify(BODY.decode(), headers)["type"] == "alert.opened"


def test_what_the_standards_own_package_signs_we_verify():
    """A sender that uses the public library is let in."""
    from standardwebhooks.webhooks import Webhook

    headers = {
        "webhook-id": "msg_2",
        "webhook-timestamp": str(int(NOW.timestamp())),
        "webhook-signature": Webhook(SECRET).sign("msg_2", NOW, BODY.decode()),
    }

    assert verified_id([KEY], headers, BODY, NOW) == "msg_2"


def test_any_of_two_secrets_and_any_of_several_signatures_will_do():
    """Secrets can be changed one side after the other."""
    old = secrets.token_bytes(32)
    headers = signed_headers([old], "msg", NOW, BODY)
    headers["webhook-signature"] = "v1,bm9uc2Vuc2U= v2,other " + headers["webhook-signature"]

    assert verified_id([KEY, old], headers, BODY, NOW) == "msg"


def test_while_a_secret_is_changed_either_one_verifies_what_we_send():
    """One signature a secret, in one header, as the standard says."""
    from standardwebhooks.webhooks import Webhook

    old, now = "whsec_" + base64.b64encode(b"o" * 32).decode(), dt.datetime.now(dt.UTC)
    headers = signed_headers(secret_keys(f"{old} {SECRET}", "X"), "msg_1", now, BODY)

    assert len(headers["webhook-signature"].split()) == 2
    for secret in (old, SECRET):
        assert Webhook(secret).verify(BODY.decode(), headers)
    with pytest.raises(SecretInvalid):
        secret_keys(f"{SECRET} short", "X")


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": ""},
        {"webhook-id": "x" * 300},
        {"webhook-id": "msg\n"},
        {"webhook-id": "m\xe9"},
        {"webhook-id": "another"},
        {"webhook-timestamp": ""},
        {"webhook-timestamp": "now"},
        {"webhook-timestamp": "-1"},
        {"webhook-timestamp": "1e9"},
        {"webhook-timestamp": "9" * 400},
        {"webhook-timestamp": "\u0661\u0662"},
        {"webhook-timestamp": str(int(NOW.timestamp()) + 1)},
        {"webhook-signature": ""},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v1,\u00e9"},
        {"webhook-signature": "nonsense"},
        {"webhook-signature": "v1a,AAAA"},
        {"body": BODY + b" "},
        {"body": b"\xff\xfe"},
    ],
    ids=str,
)
def test_a_malformed_or_altered_message_is_refused(change):
    """Whatever is missing, malformed or altered: one kind of error, never a crash."""
    message = {**signed_headers([KEY], "msg", NOW, BODY), "body": BODY, **change}
    body = message.pop("body")

    with pytest.raises(SignatureRefused):
        verified_id([KEY], message, body, NOW)


def test_a_message_without_headers_is_refused():
    """No header at all."""
    with pytest.raises(SignatureRefused, match="webhook-id"):
        verified_id([KEY], {}, BODY, NOW)


def test_a_message_of_another_sender_is_refused():
    """A good signature by a key that is not ours."""
    with pytest.raises(SignatureRefused, match="signature"):
        verified_id([KEY], signed_headers([b"0" * 32], "msg", NOW, BODY), BODY, NOW)


@pytest.mark.parametrize(
    ("seconds", "accepted"), [(-301, False), (-299, True), (299, True), (301, False)]
)
def test_the_time_of_a_message_has_five_minutes_of_tolerance(seconds, accepted):
    """A recorded message cannot be sent again tomorrow."""
    headers = signed_headers([KEY], "msg", NOW + dt.timedelta(seconds=seconds), BODY)

    if accepted:
        assert verified_id([KEY], headers, BODY, NOW) == "msg"
    else:
        with pytest.raises(SignatureRefused, match="too long ago"):
            verified_id([KEY], headers, BODY, NOW)


@pytest.mark.parametrize("text", ["", "whsec_", "short", "whsec_!!!!", "whsec_QUJD", "ä" * 40])
def test_a_secret_of_another_form_is_refused_without_telling_it(text):
    """The variable is named, its value is not."""
    with pytest.raises(SecretInvalid) as caught:
        secret_bytes(text, "HOOK_SECRET")

    assert "HOOK_SECRET" in str(caught.value)
    assert text in ("", "whsec_") or text not in str(caught.value) + caught.value.remedy


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.9.9.9", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254",
        "100.64.0.1", "0.0.0.0", "255.255.255.255", "224.0.0.1", "192.0.2.1", "::1", "::",
        "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1",
        "2002:7f00:1::", "64:ff9b::a00:1", "2001:db8::1", "64:ff9b:1::a00:1", "fec0::1",
        "::127.0.0.1", "::ffff:0:127.0.0.1", "3fff::1", "5f00::1",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public_are_refused(address):
    """Also where an IPv6 address carries a private IPv4 one."""
    with pytest.raises(AddressRefused):
        refuse_unless_public(address, "hook.example")


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "64:ff9b::5db8:d822"]
)
def test_public_addresses_pass(address):
    """The guard does not stand in the way."""
    refuse_unless_public(address, "hook.example")


@pytest.fixture
def listener():
    """A socket that counts who connects, and answers with what the test says."""
    found = Listener()
    yield found
    found.close()


class Listener:
    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/hook"
        self.answer = b"HTTP/1.1 204 No Content\r\n\r\n"
        self.received: list[bytes] = []
        self.peers = 0
        self.hold = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return
            self.peers += 1
            with peer:
                self.received.append(peer.recv(65536))
                if self.answer == b"drip":
                    while not self.hold.wait(0.05):
                        try:
                            peer.sendall(b"H")
                        except OSError:
                            break
                else:
                    peer.sendall(self.answer)

    def close(self) -> None:
        self.hold.set()
        self._socket.close()


def test_a_local_receiver_is_called_only_if_allowed(listener):
    """Nothing connects to this machine unless the channel says so."""
    with pytest.raises(AddressRefused, match=r"127\.0\.0\.1"):
        post(listener.url, BODY, {})
    assert listener.peers == 0

    assert post(listener.url, BODY, {"X-Told": "yes"}, allow_private=True).status == 204
    assert b"X-Told: yes" in listener.received[0]
    assert f"Host: 127.0.0.1:{listener.port}".encode() in listener.received[0]


def test_a_name_that_resolves_to_a_private_address_is_refused(listener, monkeypatch):
    """A public name, a private answer: what counts is where the connection would go."""
    real = socket.getaddrinfo
    monkeypatch.setattr(
        guard.socket, "getaddrinfo", lambda host, *rest, **more: real("127.0.0.1", *rest, **more)
    )

    with pytest.raises(AddressRefused):
        post(f"http://hook.example:{listener.port}/", BODY, {})
    assert listener.peers == 0


def test_a_name_that_answers_differently_the_second_time_gains_nothing(listener, monkeypatch):
    """The name is asked once; and if the connection still ends elsewhere, nothing is sent."""
    asked = []
    real = socket.getaddrinfo

    def rebind(host, *rest, **more):
        asked.append(host)
        public = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("203.0.114.1", rest[0]))]
        return public if len(asked) == 1 else real("127.0.0.1", *rest, **more)

    monkeypatch.setattr(guard.socket, "getaddrinfo", rebind)

    with pytest.raises(AddressRefused, match=r"127\.0\.0\.1"):
        post(f"http://hook.example:{listener.port}/", BODY, {}, seconds=5)
    # Below the guard only the judged address is ever resolved (to itself, if nobody lies).
    assert asked == ["hook.example", "203.0.114.1"]
    assert listener.received in ([], [b""])


def test_one_private_address_among_public_ones_is_enough_to_refuse(monkeypatch):
    """The resolver's order decides nothing."""
    entries = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80))
        for address in ("93.184.216.34", "10.0.0.1")
    ]
    monkeypatch.setattr(guard.socket, "getaddrinfo", lambda *a, **k: entries)

    with pytest.raises(AddressRefused, match=r"10\.0\.0\.1"):
        post("http://hook.example/", BODY, {})


def test_a_redirect_is_an_answer_and_not_followed(listener):
    """A receiver cannot send us elsewhere."""
    target = Listener()
    listener.answer = f"HTTP/1.1 307 Gone\r\nLocation: {target.url}\r\n\r\n".encode()

    assert post(listener.url, BODY, {}, allow_private=True).status == 307
    assert target.peers == 0
    target.close()


def test_the_environments_proxy_is_not_used(listener, monkeypatch):
    """A proxy would connect where the guard does not look."""
    proxy = Listener()
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")

    assert post(listener.url, BODY, {}, allow_private=True).status == 204
    assert (listener.peers, proxy.peers) == (1, 0)
    proxy.close()


def test_a_receiver_that_drips_does_not_hold_us(listener):
    """The whole exchange has a deadline, not each read."""
    listener.answer = b"drip"

    with pytest.raises(ServiceUnavailable):
        post(listener.url, BODY, {}, allow_private=True, seconds=0.4)


@pytest.mark.parametrize(
    "url", ["ftp://example.org/", "file:///etc/passwd", "nonsense", "", "http://", "http://\u00e9/"]
)
def test_an_address_that_is_none_is_refused(url):
    """Only http and https."""
    with pytest.raises((AddressRefused, ServiceUnavailable)):
        post(url, BODY, {})


def test_errors_do_not_tell_path_and_query():
    """Addresses of webhooks hold secrets."""
    with pytest.raises(ServiceUnavailable) as caught:
        post("http://127.0.0.1:9/hook/s3cret?token=t0ken", BODY, {}, allow_private=True)

    told = f"{caught.value} {caught.value.remedy} {caught.value.fields}"
    assert "s3cret" not in told
    assert "t0ken" not in told
