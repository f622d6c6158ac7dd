"""A run that is killed goes on where it was, and ends as if nothing had happened."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tidemill.engines import LocalEngine
from tidemill.errors import StorageFailed
from tidemill.sharding import verify
from tidemill.storage import ShardManifest, StoreFolder

SCRIPT = Path(__file__).with_name("run_shard.py")
CONFIG = {"shards": 9, "block_rows": 64}


def _start(base: Path, workers: int = 1, kill_past: str = "") -> subprocess.Popen[bytes]:
    platform = Path(__file__).parents[2] / "platform"
    with (base / "stderr").open("wb") as stderr:
        return subprocess.Popen(
            [
                *(sys.executable, str(SCRIPT), str(base), str(workers), json.dumps(CONFIG)),
                *([kill_past] if kill_past else []),
            ],
            env={**os.environ, "PYTHONPATH": str(platform)},
            stderr=stderr,
            start_new_session=True,
        )


def _receipts(base: Path) -> dict[str, int]:
    found = (base / "work").rglob("*[0-9].json")
    return {path.name: path.stat().st_mtime_ns for path in found}


def _prepare(kit, tmp_path: Path, monkeypatch) -> tuple[Path, list[tuple[str, str]]]:
    table = kit.make(6000, parts=12)
    base = tmp_path / "base"
    base.mkdir()
    table.folder.rename(base / "validated")
    table.folder = base / "validated"
    undisturbed = table.shard(tmp_path / "other", CONFIG)
    return base, kit.hashes(undisturbed)


@pytest.mark.parametrize(
    ("last", "receipts"),
    [
        pytest.param("piece-00000.ipc", 0, marks=pytest.mark.slow),
        pytest.param("piece-00005.json", 6, marks=pytest.mark.slow),
        pytest.param("piece-00011.json", 12, marks=pytest.mark.slow),
        pytest.param("shard-00006.parquet", 18, marks=pytest.mark.slow),
        pytest.param(".shards.staged/manifest.json", 21, marks=pytest.mark.slow),
        pytest.param("base/shards", 21, marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_goes_on(kit, tmp_path, monkeypatch, last, receipts):
    """After kill -9, finished pieces and shards are not made again, and the end is the same."""
    base, expected = _prepare(kit, tmp_path, monkeypatch)
    assert _start(base, kill_past=last).wait() == -signal.SIGKILL
    finished = _receipts(base)
    assert len(finished) == receipts
    assert (base / "shards").exists() == (last == "base/shards")
    process = _start(base)
    assert process.wait() == 0, (base / "stderr").read_text()
    counted = json.loads((base / "count-shards.json").read_text())
    assert finished.items() <= counted.items()
    assert len(counted) == 12 + 9
    assert kit.hashes(ShardManifest.read(base / "shards")) == expected
    assert {path.name for path in base.iterdir()} & {"work", ".shards.staged"} == set()


@pytest.mark.slow
def test_kills_at_thirty_moments(kit, tmp_path, monkeypatch):
    """Killed again and again at seeded moments, with workers, the run ends the same."""
    base, expected = _prepare(kit, tmp_path, monkeypatch)
    moments = random.Random(3)
    for _ in range(30):
        process = _start(base, workers=2)
        try:
            process.wait(timeout=moments.uniform(0.3, 1.6))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if (base / "shards").exists():
            found = ShardManifest.read(base / "shards")
            assert kit.hashes(found) == expected
            assert verify(found, StoreFolder.at(base / "shards"), LocalEngine(1)) == ()
    assert _start(base).wait() == 0
    assert kit.hashes(ShardManifest.read(base / "shards")) == expected


def _stop_at(monkeypatch, label: str) -> None:
    original = LocalEngine.map

    def stopping(self, function, items, **more):
        if more["label"] == label:
            raise KeyboardInterrupt
        return original(self, function, items, **more)

    monkeypatch.setattr(LocalEngine, "map", stopping)


def test_damaged_pieces_are_made_again(kit, tmp_path, monkeypatch):
    """A piece that a power cut left short or altered is not trusted though its receipt is there."""
    table = kit.make(900)
    expected = kit.hashes(table.shard(tmp_path / "whole", CONFIG))
    with monkeypatch.context() as patch:
        _stop_at(patch, "shards")
        with pytest.raises(KeyboardInterrupt):
            table.shard(tmp_path, CONFIG)
    short, altered, gone = sorted((tmp_path / "work").glob("*.ipc"))
    short.write_bytes(short.read_bytes()[:-9])
    altered.write_bytes(altered.read_bytes()[:-200] + bytes(200))
    gone.unlink()
    noted = sorted((tmp_path / "work").glob("piece-*.json"))[1]
    noted.write_text(re.sub(r'"rows": \[\s+\d', r"\g<0>1", noted.read_text()))
    said: list[str] = []
    assert kit.hashes(table.shard(tmp_path, CONFIG, warned=said.append)) == expected
    (word,) = said
    assert word.startswith("3 pieces and shards in ")
    assert "were made again" in word


def test_damaged_shards_are_made_again(kit, tmp_path, monkeypatch):
    """A finished shard or profile that is not what its receipt says is written again."""
    table = kit.make(900)
    expected = kit.hashes(table.shard(tmp_path / "whole", CONFIG))
    with monkeypatch.context() as patch:
        patch.setattr("tidemill.sharding.build.publish", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            table.shard(tmp_path, CONFIG)
    made = tmp_path / "work" / "shards"
    (made / "shard-00000.parquet").write_bytes(b"PAR1")
    (made / "shard-00001.profile.json").write_bytes(b"[]")
    noted = made / "shard-00002.json"
    noted.write_text(noted.read_text().replace('"bucket": ', '"bucket": 4'))
    said: list[str] = []
    assert kit.hashes(table.shard(tmp_path, CONFIG, warned=said.append)) == expected
    assert [word.split(" in ")[0] for word in said] == ["3 pieces and shards"]
    assert (
        verify(
            ShardManifest.read(tmp_path / "shards"),
            StoreFolder.at(tmp_path / "shards"),
            LocalEngine(1),
        )
        == ()
    )


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_other_settings_do_not_trust_the_work_of_these(kit, tmp_path, monkeypatch):
    """Receipts name the plan: a folder used for other settings by mistake does no harm."""
    table = kit.make(900)
    with monkeypatch.context() as patch:
        _stop_at(patch, "shards")
        with pytest.raises(KeyboardInterrupt):
            table.shard(tmp_path, CONFIG)
    other = {**CONFIG, "holdout": {"by": "order"}}
    expected = kit.hashes(table.shard(tmp_path / "whole", other))
    assert kit.hashes(table.shard(tmp_path, other)) == expected


def test_finished_shards_of_another_seed_are_not_taken(kit, tmp_path, monkeypatch):
    """Shards that were whole under another seed are written anew, though hash and receipt fit."""
    table = kit.make(900)
    with monkeypatch.context() as patch:
        patch.setattr("tidemill.sharding.build.publish", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            table.shard(tmp_path, CONFIG, seed=1)
    expected = kit.hashes(table.shard(tmp_path / "whole", CONFIG, seed=2))
    assert kit.hashes(table.shard(tmp_path, CONFIG, seed=2)) == expected


def test_the_former_shards_stay_until_the_new_are_whole(kit, tmp_path, monkeypatch):
    """A run that fails leaves the shards of the last one as they were; success replaces them."""
    first, second = kit.make(900), kit.make(900, seed=1)
    before = first.shard(tmp_path, CONFIG)
    with monkeypatch.context() as patch:
        _stop_at(patch, "shards")
        with pytest.raises(KeyboardInterrupt):
            second.shard(tmp_path, CONFIG)
    assert ShardManifest.read(tmp_path / "shards") == before
    after = second.shard(tmp_path, CONFIG)
    assert ShardManifest.read(tmp_path / "shards") == after != before
    assert verify(after, StoreFolder.at(tmp_path / "shards"), LocalEngine(1)) == ()


def test_remains_of_a_killed_run_are_not_committed(kit, tmp_path):
    """Files that a killed run left among the finished shards do not become part of the output."""
    table = kit.make(900)
    made = tmp_path / "work" / "shards"
    made.mkdir(parents=True)
    (made / ".shard-00000.profile.json.0123.tmp").write_text("half")
    (made / "shard-00077.parquet").write_text("of another plan")
    manifest = table.shard(tmp_path, CONFIG)
    named = {name for shard in manifest.shards for name in (shard.file.path, shard.profile)}
    assert {path.name for path in (tmp_path / "shards").iterdir()} == {*named, "manifest.json"}


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 1 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting a small tmpfs needs root")
    yield disk
    # Busy means that a file was left open: let go of the mount, then fail.
    if subprocess.run(["umount", str(disk)]).returncode:
        subprocess.run(["umount", "-l", str(disk)], check=True)
        pytest.fail("a file on the disk was left open")


def test_a_full_disk_is_a_storage_error(kit, small_disk):
    """No space: StorageFailed (exit 74) that names the file; with space the run goes on."""
    table = kit.make(9000, parts=6)
    filler = small_disk / "filler"
    filler.write_bytes(bytes(600_000))
    with pytest.raises(StorageFailed, match="No space left") as caught:
        table.shard(small_disk, CONFIG)
    assert str(small_disk) in caught.value.fields["path"]
    assert "disk space" in caught.value.remedy
    assert not (small_disk / "shards").exists()
    assert list((small_disk / "work").glob("*.json"))
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    manifest = table.shard(small_disk, CONFIG)
    assert verify(manifest, StoreFolder.at(small_disk / "shards"), LocalEngine(1)) == ()
