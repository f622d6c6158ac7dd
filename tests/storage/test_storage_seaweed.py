"""Buckets of SeaweedFS, a server that people run, keep the contract of stores."""

from __future__ import annotations

import pytest

from tidemill.storage import open_store
from tidemill.testing.stores import StoreContract

pytestmark = pytest.mark.slow


class TestSeaweedBucket(StoreContract):
    """A bucket of SeaweedFS, a server that people run, keeps the contract."""

    @pytest.fixture
    def store(self, seaweed, new_bucket):
        return open_store(f"s3://{new_bucket(seaweed)}/lake")

    @pytest.fixture
    def refusing(self, seaweed):
        return open_store("s3://no-such-bucket/lake")
