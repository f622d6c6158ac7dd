"""An object of a store apart that is missing or spoilt: what its error says to do does help."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tidemill.config import set_params
from tidemill.engines import open_engine
from tidemill.errors import IntegrityError
from tidemill.pipeline import Quiet, run_stage
from tidemill.settings import Settings
from tidemill.storage import PublishedNames, Workspace, brought, hash_file, open_store
from tidemill.storage.lost_objects import made_anew
from tidemill.testing.shells import plain_shell
from tidemill.testing.workspaces import run_here, small_workspace


def test_the_remedy_tells_where_the_object_lies():
    """A store apart has no copy with DVC."""
    assert "dvc checkout" in made_anew("/ws/data/shards/shard-00000.parquet")
    assert "dvc" not in made_anew(f"s3://bench/x/objects/{'0f' * 32}: /part.parquet")


@pytest.mark.parametrize("content", [None, b"other"], ids=["missing", "spoilt"])
def test_an_object_is_named_by_its_address_whatever_it_lacks(tmp_path: Path, content: bytes | None):
    """One spelling, that of the store."""
    address, key = f"file://{tmp_path}", f"objects/{'0f' * 32}"
    if content is not None:
        with open_store(address).replace(key) as file:
            file.write(content)
    with pytest.raises(IntegrityError) as caught:
        brought(address, key, "0f" * 32)
    assert str(caught.value).startswith(f"{address}/{key}")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A workspace whose rows lie in a store apart, after ``shard``."""
    base = tmp_path_factory.mktemp("lost")
    with plain_shell(TIDEMILL_CACHE_DIR=str(base / "cache")):
        made = small_workspace(base / "ws", rows=900, months=1)
        with (made / "params.yaml").open("a") as file:
            file.write(f"storage: {{url: 'file://{base}/store'}}\n")
        run_here(made, until="shard")
        yield made


@pytest.mark.slow
@pytest.mark.parametrize("how", ["missing", "spoilt", "short"])
@pytest.mark.parametrize(
    ("place", "remedy"),
    [("shards", "shard"), ("shards", "--force"), ("validated", "ingest"), ("validated", "--force")],
)
def test_the_remedy_helps(root: Path, how: str, place: str, remedy: str):
    """The stage that leaves it, or all: plain ``tidemill run`` compares the names alone."""
    names = PublishedNames.read(root / "data" / place).names
    name = min(name for name in names if name.endswith(".parquet"))
    lost = root.parent / "store" / "objects" / names[name]
    content = bytearray(lost.read_bytes())
    content[100] ^= 1
    lost.unlink()
    if how != "missing":
        lost.write_bytes(content if how == "spoilt" else content[:-50])
    shutil.rmtree(root / "models", ignore_errors=True)
    if place == "validated":
        seed = int(hash_file(root / "params.yaml")[:6], 16)
        text = set_params((root / "params.yaml").read_text(), [f"seed={seed}"])
        (root / "params.yaml").write_text(text)
    with pytest.raises(IntegrityError) as caught:
        run_here(root, until="reduce")
    if remedy == "--force":
        assert "`tidemill run --force`" in caught.value.remedy
        run_here(root, force=True, until="shard")
    else:
        assert f"`tidemill stage {remedy}`" in caught.value.remedy
        settings = Settings(workers=1)
        with open_engine(settings) as engine:
            run_stage(
                remedy, Workspace.at(root), settings=settings, engine=engine, observer=Quiet()
            )
    run_here(root, until="reduce")
    assert hash_file(lost) == lost.name
