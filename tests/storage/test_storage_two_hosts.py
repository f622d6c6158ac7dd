"""A cluster whose workers are on two machines: one of them sees the bucket and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tidemill.storage import hash_file
from tidemill.storage.published_names import PublishedNames
from tidemill.testing.workspaces import QUICK

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

BIN = Path(sys.executable).parent
FIRST, SECOND = "10.231.77.1", "10.231.77.2"
KEYS = "[default]\naws_access_key_id = tide\naws_secret_access_key = mill-secret\n"
IDENTITY = {
    "name": "tide",
    "credentials": [{"accessKey": "tide", "secretKey": "mill-secret"}],
    "actions": ["Admin", "Read", "Write", "List"],
}
FILL = """
import sys, time, boto3
from pathlib import Path
client = boto3.client("s3", region_name="us-east-1")
for _ in range(200):
    try:
        client.create_bucket(Bucket="lake")
        for file in Path(sys.argv[1]).iterdir():
            client.upload_file(str(file), "lake", f"raw/{file.name}")
        break
    except Exception as exc:
        print(exc, flush=True)
        time.sleep(0.5)
else:
    sys.exit("the store did not come up")
"""
UNSEEN = 'mount --make-rprivate / && mount -t tmpfs none "$1" && shift && exec "$@"'


class Host:
    """A machine with an address, a folder and keys of its own; ``unseen`` is another one's disk."""

    def __init__(self, name: str, address: str, folder: Path, unseen: Path | None = None) -> None:
        self.name, self.address, self.folder, self._unseen = name, address, folder, unseen
        for each in ("tmp", "cache"):
            (folder / each).mkdir(parents=True)
        (folder / "keys").write_text(KEYS)
        self.environment = {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "HOME": str(folder),
            "TMPDIR": str(folder / "tmp"),
            "TIDEMILL_CACHE_DIR": str(folder / "cache"),
            "TIDEMILL_WORKERS": "2",
            "OMP_WAIT_POLICY": "PASSIVE",
            "AWS_SHARED_CREDENTIALS_FILE": str(folder / "keys"),
            "AWS_ENDPOINT_URL_S3": f"http://{FIRST}:8333",
        }

    def command(self, *words: str) -> list[str]:
        inside = ["ip", "netns", "exec", self.name]
        if self._unseen:
            inside += ["unshare", "-m", "sh", "-ec", UNSEEN, "sh", str(self._unseen)]
        return [*inside, *words]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
        )

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{Path(words[0]).name}-{words[1]}.log").open("wb") as log:
            return subprocess.Popen(
                self.command(*words),
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def hosts(tmp_path) -> Iterator[tuple[Host, Host]]:
    """Two machines and a wire between them."""
    if os.getuid() or not (shutil.which("ip") and shutil.which("unshare")):
        pytest.skip("two machines are made by root with ip (iproute2) and unshare")
    names = [f"tide-{os.getpid()}-{end}" for end in "ab"]
    ip("netns", "add", names[0])
    ip("netns", "add", names[1])
    try:
        ip("-n", names[0], "link", "add", "wire", "type", "veth", "peer", "wire", "netns", names[1])
        for name, address in zip(names, (FIRST, SECOND), strict=True):
            ip("-n", name, "address", "add", f"{address}/24", "dev", "wire")
            for link in ("lo", "wire"):
                ip("-n", name, "link", "set", link, "up")
        first = Host(names[0], FIRST, tmp_path / "first")
        yield first, Host(names[1], SECOND, tmp_path / "second", unseen=tmp_path / "first")
    finally:
        for name in names:
            ip("netns", "delete", name)


@pytest.fixture
def cluster(hosts) -> Iterator[tuple[Host, Host]]:
    """On the first a store with the source, a scheduler and a worker; on the second a worker."""
    first = hosts[0]
    (first.folder / "s3.json").write_text(json.dumps({"identities": [IDENTITY]}))
    (first.folder / "weed").mkdir()
    weed = ["weed", "server", "-s3", "-s3.port=8333", "-s3.config=s3.json", "-dir=weed"]
    weed += [f"-ip={FIRST}", "-ip.bind=0.0.0.0", "-volume.max=20", "-master.telemetry=false"]
    worker = ["dask", "worker", f"tcp://{FIRST}:8786", "--nthreads=1", "--no-dashboard"]
    started = [
        first.start(*weed, "-s3.port.iceberg=0", "-s3.port.lance=0"),
        first.start("dask", "scheduler", f"--host={FIRST}", "--port=8786", "--no-dashboard"),
        *(one.start(*worker, f"--local-directory={one.folder / 'dask'}") for one in hosts),
    ]
    try:
        made = first.run("tidemill", "sample", "--output", "raw", "--rows", "6000", "--months", "3")
        assert made.returncode == 0, made.stderr
        filled = first.run(sys.executable, "-c", FILL, "raw")
        assert filled.returncode == 0, filled.stdout + filled.stderr
        yield hosts
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(60)


def drafted(host: Host, name: str, *settings: str) -> Path:
    words = ["init", name, "--source", "s3://lake/raw", "--target", "cancelled"]
    words += ["--time", "requested_at", "--key", "ride_id"]
    own = (*QUICK, "ingestion.batch_rows=700", "tuning.workers=2", *settings)
    done = host.run("tidemill", *words, *(f"--set={one}" for one in own))
    assert done.returncode == 0, done.stderr
    return host.folder / name


def left(root: Path) -> dict[str, str]:
    """The hash of each file of data, models and reports; of what lies apart, by its name."""
    files = (file for top in ("data", "models", "reports") for file in (root / top).rglob("*"))
    found = {str(file.relative_to(root)): hash_file(file) for file in files if file.is_file()}
    for name in [name for name in found if name.endswith("/contents.json")]:
        del found[name]
        folder = (root / name).parent
        for each, sha256 in PublishedNames.read(folder).names.items():
            found[str((folder / each).relative_to(root))] = sha256
    return {name: each for name, each in found.items() if name != "reports/summary.json"}


def test_a_worker_that_sees_the_bucket_alone_does_its_share(cluster):
    """The main job over both machines leaves the bytes of one; without the bucket it is refused."""
    first, second = cluster
    engine = f"dask://{FIRST}:8786"
    here = drafted(first, "here")
    alone = first.run("tidemill", "run", "--direct", "-w", str(here))
    assert alone.returncode == 0, alone.stderr
    assert second.run("ls", str(here)).returncode != 0
    there = drafted(first, "there", "storage.url=s3://lake/tidemill")
    begun = time.time()
    done = first.run("tidemill", "run", "--direct", "--engine", engine, "-w", str(there))
    assert done.returncode == 0, done.stderr
    assert left(there) == left(here)
    assert len(left(here)) > 40
    copies = [file for file in (second.folder / "cache").rglob("*") if file.is_file()]
    assert copies
    assert all(file.stat().st_mtime >= begun for file in copies)
    apart = drafted(first, "apart")
    refused = first.run("tidemill", "run", "--direct", "--engine", engine, "-w", str(apart))
    assert refused.returncode == 74, refused.stderr
