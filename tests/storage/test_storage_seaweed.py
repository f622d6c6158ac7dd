"""Buckets of SeaweedFS, a server that people run, keep the contract of stores."""

from __future__ import annotations

import pytest

from tidemill.storage import open_store
from tidemill.testing.stores import StoreContract

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bucket(seaweed, new_bucket):
    """One for all: each takes seven volumes of the server's."""
    return new_bucket(seaweed)


class TestSeaweedBucket(StoreContract):
    """A bucket of SeaweedFS, a server that people run, keeps the contract."""

    @pytest.fixture
    def store(self, bucket, request):
        return open_store(f"s3://{bucket}/{request.node.name}")

    @pytest.fixture
    def refusing(self, bucket, monkeypatch):
        """By its credentials: a bucket that is not there this server makes."""
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "reader")
        return open_store(f"s3://{bucket}/lake")
