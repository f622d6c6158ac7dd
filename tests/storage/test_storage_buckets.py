"""Buckets of moto's server keep the contract of stores."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tidemill.errors import UsageError
from tidemill.storage import open_store
from tidemill.storage.object_store import ObjectStore
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
