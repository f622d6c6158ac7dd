"""Small sharded tables."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pytest

from tidemill.storage import ShardManifest, StoreFolder
from tidemill.testing.shards import rides, write_shards


@pytest.fixture(scope="session")
def make_shards(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., tuple[ShardManifest, StoreFolder]]:
    """Write tables as shards, each time in a folder of its own."""

    def make(tables: list[pa.Table], **settings: object) -> tuple[ShardManifest, StoreFolder]:
        folder = tmp_path_factory.mktemp("shards")
        return write_shards(folder, tables, **settings), StoreFolder.at(folder)  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def ride_table() -> pa.Table:
    """600 rides."""
    return rides()
