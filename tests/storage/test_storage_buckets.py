"""Buckets of moto's server keep the contract of stores."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tidemill.errors import StorageFailed, UsageError
from tidemill.storage import open_store
from tidemill.storage.object_store import ObjectStore
from tidemill.testing.bucket_servers import bucket_client
from tidemill.testing.stores import StoreContract, kept


class TestMotoBucket(StoreContract):
    """A bucket of moto's server keeps the contract."""

    # moto compares, then writes, in threads of its own, so that two may win: SeaweedFS is asked.
    test_one_of_many_commits = None

    @pytest.fixture
    def store(self, moto, new_bucket):
        store = open_store(f"s3://{new_bucket(moto)}/lake")
        assert isinstance(store, ObjectStore)
        return store

    @pytest.fixture
    def refusing(self, moto):
        return open_store("s3://no-such-bucket/lake")


def test_odd_names_come_back(moto, new_bucket):
    """Control characters and per cent signs travel as such."""
    store = open_store(f"s3://{new_bucket(moto)}")
    names = ["a\tb", "per%20cent", "tag%09", "naïve/ü"]
    for name in names:
        kept(store, name, name.encode())
    assert sorted(store.list_keys()) == sorted(names)
    assert all(store.read(name) == name.encode() for name in names)


def test_prefixes_of_one_bucket_do_not_meet(moto, new_bucket):
    """Nor where one begins as the other does."""
    bucket = new_bucket(moto)
    lake, lakes = open_store(f"s3://{bucket}/lake"), open_store(f"s3://{bucket}/lakes/")
    kept(lake, "a", b"lake")
    kept(lakes, "a", b"lakes")
    assert (list(lake.list_keys()), list(lakes.list_keys())) == (["a"], ["a"])
    lake.discard("a")
    assert (lake.size("a"), lakes.read("a")) == (None, b"lakes")


def test_the_mark_of_an_empty_folder_is_no_key(moto, new_bucket):
    """As consoles leave it."""
    bucket = new_bucket(moto)
    store = open_store(f"s3://{bucket}/lake")
    kept(store, "claims/a", b"a")
    for marked in ("claims/", "claims/old/"):
        bucket_client(moto).put_object(Bucket=bucket, Key=f"lake/{marked}")
    assert "claims" not in list(store.list_keys("claims"))
    assert "claims/a" in list(store.list_keys("claims"))


@pytest.mark.slow
def test_more_objects_than_a_page_are_listed_and_discarded(moto, new_bucket):
    """A server lists a thousand at once, and deletes as many."""
    store = open_store(f"s3://{new_bucket(moto)}/lake")
    names = [f"many/{number:04d}" for number in range(1_100)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda name: kept(store, name, b""), names))
    kept(store, "one", b"")
    assert list(store.list_keys()) == [*names, "one"]
    store.discard("many")
    assert list(store.list_keys()) == ["one"]


@pytest.mark.parametrize(
    "address",
    [
        "s3://key:geheim@bucket/lake",
        "s3://geheim@bucket",
        "s3://bucket/lake?aws_secret_access_key=geheim",
        "s3://bucket/lake#geheim",
        "s3://bucket:9000/geheim",
        "s3://",
        "s3:///geheim",
    ],
)
def test_an_address_with_a_secret_is_refused_and_not_repeated(address):
    """The remedy names the environment."""
    with pytest.raises(UsageError, match="s3://BUCKET/PREFIX") as caught:
        open_store(address)
    assert "geheim" not in f"{caught.value} {caught.value.remedy} {caught.value.fields}"
    assert "AWS_SECRET_ACCESS_KEY" in caught.value.remedy


class Empty(BaseHTTPRequestHandler):
    """A server of no objects, which notes who asks; some it would not show."""

    seen: list[str]

    def do_HEAD(self):
        self.seen.append(self.headers["authorization"])
        self.send_error(403 if "/denied/" in self.path else 404)

    def log_message(self, *_):
        pass


@pytest.fixture
def asked(monkeypatch):
    """Who asked a server of buckets; the environment leads to it and has no key."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    handler = type("Handler", (Empty,), {"seen": []})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{server.server_port}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield handler.seen
        server.shutdown()


def test_keys_are_found_in_a_file_and_those_of_the_environment_come_first(
    asked, tmp_path, monkeypatch
):
    """As a secret that is mounted into a container names them, and other clients find them."""
    file = tmp_path / "keys"
    file.write_text("[default]\naws_access_key_id = filed\naws_secret_access_key = b\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    assert open_store("s3://bucket/lake").size("a") is None
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "given")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    assert open_store("s3://bucket/lake").size("a") is None
    assert [one.partition("Credential=")[2].partition("/")[0] for one in asked] == [
        "filed",
        "given",
    ]


@pytest.mark.parametrize("profile", [None, "nobody"])
def test_who_has_no_keys_is_told_where_they_may_be(asked, tmp_path, monkeypatch, profile):
    """Before anything is asked of the store."""
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    if profile:
        monkeypatch.setenv("AWS_PROFILE", profile)
    with pytest.raises(StorageFailed, match="no credentials") as caught:
        open_store("s3://bucket/lake")
    assert "AWS_SHARED_CREDENTIALS_FILE" in caught.value.remedy
    assert not asked


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        (None, "its server answers 403 Forbidden"),
        pytest.param(
            "http://user:geheim@127.0.0.1:9",
            "HTTP error: error sending request (http://127.0.0.1:9)",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_refusal_names_the_object_once(asked, monkeypatch, endpoint, said):
    """Where a secret is wrong, or nobody answers; obstore says it twice more."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "mill")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    if endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
    with pytest.raises(StorageFailed) as caught:
        ObjectStore("s3://bucket/lake", patience_seconds=1).size("denied/a - b")
    assert caught.value.message == f"s3://bucket/lake/denied/a - b: {said}"
    assert "credentials" in caught.value.remedy
