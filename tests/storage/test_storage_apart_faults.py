"""A whole job over a bucket: each object is fetched once, and what breaks on the way is mended."""

from __future__ import annotations

import shutil
from collections import defaultdict
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tidemill.config import set_params
from tidemill.errors import StorageFailed
from tidemill.pipeline import Quiet
from tidemill.storage import ShardManifest, Workspace
from tidemill.testing.shells import plain_shell
from tidemill.testing.workspaces import output_hashes, run_here, small_workspace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

EVER = 1_000_000
TRIALS, EPOCHS = 3, 4
SETTINGS = (
    "ingestion.batch_rows=700",
    "reduction.impute=mean",
    "reduction.encode=one_hot",
    "reduction.scale=standard",
    "training.learner=sgd",
    f"training.params={{max_epochs: {EPOCHS}, patience: {EPOCHS}}}",
    f"tuning.trials={TRIALS}",
    "tuning.space={alpha: {low: 1.0e-6, high: 1.0e-3, log: true}}",
)
TUNE_ON = ("tune", "train", "evaluate", "refit", "register")
TOLD = ("reports/summary.json", "contents.json")


@pytest.fixture
def cache(tmp_path):
    """This machine has fetched nothing yet, and what it fetches lies there."""
    with plain_shell(TIDEMILL_CACHE_DIR=str(tmp_path / "cache")):
        yield tmp_path / "cache"


@pytest.fixture
def proxy(seaweed_proxy, cache):
    """Between this machine and the server: it breaks nothing yet, and has seen nothing."""
    del cache
    seaweed_proxy.mends()
    yield seaweed_proxy
    seaweed_proxy.mends()


@pytest.fixture(scope="module")
def drafted(tmp_path_factory) -> Path:
    """A workspace in which nothing has run; take a copy."""
    return small_workspace(tmp_path_factory.mktemp("drafted") / "ws", settings=SETTINGS)


@pytest.fixture(scope="module")
def here(drafted, tmp_path_factory) -> dict[str, str]:
    """What a run leaves with its rows in its own folder."""
    root = tmp_path_factory.mktemp("here") / "ws"
    shutil.copytree(drafted, root)
    with plain_shell():
        run_here(root)
    return small_files(root)


@pytest.fixture
def there(drafted, proxy, seaweed, new_bucket, tmp_path) -> Path:
    """A workspace with its rows in a bucket behind the proxy; nothing has run."""
    root = tmp_path / "ws"
    shutil.copytree(drafted, root)
    path = root / "params.yaml"
    path.write_text(f"{path.read_text()}\nstorage: {{url: 's3://{new_bucket(seaweed)}/lake'}}\n")
    return root


def small_files(root: Path) -> dict[str, str]:
    """The hashes of manifests, models and reports; rows are named by the manifests."""
    found = output_hashes(root)
    return {
        name: sha256
        for name, sha256 in found.items()
        if not name.endswith((".parquet", *TOLD)) and not name.endswith(".profile.json")
    }


class Counting(Quiet):
    """Bytes of objects that each stage asks for."""

    def __init__(self, proxy):
        self.proxy, self.stages = proxy, {}

    def stage_finished(self, run):
        before = sum(count for _, count in self.stages.values())
        passed = list(self.proxy.passed)
        asked = [one.size for one in passed[before:] if one.method == "GET" and one.status < 300]
        self.stages[run.stage] = (sum(asked), len(passed) - before)


def fetched(proxy) -> dict[str, int]:
    """By object, the bytes that were sent of it."""
    found = defaultdict(int)
    for one in proxy.passed:
        if one.method == "GET" and "?" not in one.path and one.status < 300:
            found[urlsplit(one.path).path.partition("/lake/")[2]] += one.size
    return dict(found)


def test_a_second_trial_or_epoch_asks_for_no_bytes(there, proxy):
    """Of the rows each object comes to this machine once, whatever stages, trials and epochs."""
    counting = Counting(proxy)
    run_here(there, observer=counting)
    print(counting.stages)
    for key, size in sorted(fetched(proxy).items()):
        print(size, key)
    assert 0
