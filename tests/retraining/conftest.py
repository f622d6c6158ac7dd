"""A small finished workspace, and labelled live rows as the monitor would give them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tidemill.config import set_params
from tidemill.contracts import Engine
from tidemill.engines import LocalEngine
from tidemill.retraining import Order, Outcome, retrain
from tidemill.settings import Settings
from tidemill.storage import ShardManifest, Workspace, read_blocks
from tidemill.testing.shells import plain_shell
from tidemill.testing.workspaces import copy_workspace, finished_workspace


@pytest.fixture(scope="session", autouse=True)
def _surroundings() -> Iterator[None]:
    """The environment of a plain shell."""
    with plain_shell():
        yield


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of 6,000 rides after one whole run; never change it, take a copy.

    Its new model may be worse in the old world.
    """
    made = finished_workspace(tmp_path_factory.getbasetemp())
    root = copy_workspace(made, tmp_path_factory.mktemp("retraining") / "ws")
    set_param(root, "monitoring.retraining.max_regression=1.0")
    return root


@pytest.fixture
def root(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished workspace."""
    return copy_workspace(finished, tmp_path / "ws")


def live_rides(root: Path, rows: int = 1500, *, shuffled: bool = False, seed: int = 0) -> pa.Table:
    """Labelled live rows: rides of the workspace in a world where the answer has turned round.

    Made of the training rows, so that they have the schema; ids are new.
    """
    manifest = ShardManifest.read(root / "data" / "shards")
    tables = [
        table
        for shard in manifest.of_origin("").shards
        for table in read_blocks(root / "data" / "shards" / shard.file.path)
    ]
    rng = np.random.default_rng(seed)
    whole = pa.concat_tables(tables).unify_dictionaries()
    table = whole.take(pa.array(np.sort(rng.choice(len(whole), rows, replace=False))))
    turned = pc.if_else(pc.equal(table["cancelled"].cast(pa.string()), "1"), "0", "1")
    truth = turned.take(pa.array(rng.permutation(rows))) if shuffled else turned
    # The labels that judge stay true: those that teach are shuffled.
    features = [column.name for column in manifest.schema.features]
    ids = pa.array([f"e{seed}-{number}" for number in range(rows)])
    return pa.table(
        {
            "event_id": ids,
            "at": table["requested_at"],
            **{name: table[name] for name in features},
            "cancelled": truth,
        }
    )


@pytest.fixture(scope="session")
def live() -> Callable[..., pa.Table]:
    """Makes labelled live rows."""
    return live_rides


def retrain_here(
    root: Path,
    table: pa.Table,
    decision: str = "d1",
    accused: tuple[str, ...] = (),
    engine: Engine | None = None,
    **more: object,
) -> Outcome:
    """One retraining in this process, from a table."""
    with nullcontext(engine) if engine else LocalEngine(1) as engine:
        return retrain(
            Workspace.at(root),
            lambda: table.to_batches(max_chunksize=400),
            Order(decision, "the answer has turned round", accused),
            settings=Settings(workers=1),
            engine=engine,
            **more,
        )


@pytest.fixture(scope="session")
def again() -> Callable[..., Outcome]:
    """Runs a retraining."""
    return retrain_here


def set_param(root: Path, *assignments: str) -> None:
    """Write settings to params.yaml."""
    params = root / "params.yaml"
    params.write_text(set_params(params.read_text(), list(assignments)))


@pytest.fixture(scope="session")
def change() -> Callable[..., None]:
    """Changes params.yaml."""
    return set_param
