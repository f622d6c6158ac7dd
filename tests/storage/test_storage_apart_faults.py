"""A whole job over a bucket: each object is fetched once, and what breaks on the way is mended."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import pytest

from tidemill.errors import StorageFailed
from tidemill.pipeline import Quiet
from tidemill.storage import PublishedNames, Workspace, object_key, open_store
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


@pytest.fixture(scope="module")
def bucket(seaweed, new_bucket) -> str:
    """One for all: each takes seven volumes of the server's."""
    return new_bucket(seaweed)


@pytest.fixture
def there(drafted, proxy, bucket, tmp_path) -> Path:
    """A workspace with its rows in a bucket behind the proxy; nothing has run."""
    root = tmp_path / "ws"
    shutil.copytree(drafted, root)
    path, url = root / "params.yaml", f"s3://{bucket}/{tmp_path.name}/lake"
    path.write_text(f"{path.read_text()}\nstorage: {{url: '{url}'}}\n")
    return root


def small_files(root: Path) -> dict[str, str]:
    """The hashes of manifests, models and reports; rows are named by the manifests."""
    found = output_hashes(root)
    return {
        name: sha256
        for name, sha256 in found.items()
        if not name.endswith((".parquet", ".profile.json", "contents.json"))
    }


class Counting(Quiet):
    """Which requests each stage made."""

    def __init__(self, proxy):
        self.proxy, self.seen, self.stages = proxy, 0, {}

    def stage_finished(self, run):
        passed = list(self.proxy.passed)
        self.stages[run.stage], self.seen = passed[self.seen :], len(passed)


def sent(requests) -> dict[str, list[tuple[int, int]]]:
    """By object, the ranges of its bytes that came to this machine: first and end."""
    found = defaultdict(list)
    for one in requests:
        if one.method == "GET" and "?" not in one.path and one.status < 300 and one.size:
            first = int(re.match(r"(?:bytes=(\d+)-)?", one.range)[1] or 0)
            found[one.path.partition("/lake/")[2]].append((first, first + one.size))
    return {key: sorted(ranges) for key, ranges in found.items()}


def held(there: Path) -> None:
    """Whatever the workspace's folders name is in the store, with its hash."""
    names = [PublishedNames.read(folder.parent).names for folder in there.rglob("contents.json")]
    assert len(names) == 3
    store = open_store(Workspace.at(there).store())
    for sha256 in {sha256 for each in names for sha256 in each.values()}:
        assert store.sha256(object_key(sha256)) == sha256


def test_a_second_trial_or_epoch_asks_for_no_bytes(there, here, proxy):
    """Of no object a byte comes to this machine twice, whatever stages, trials and epochs."""
    counting = Counting(proxy)
    run_here(there, observer=counting)
    twice = {
        key: ranges
        for key, ranges in sent(proxy.passed).items()
        if any(one[1] > other[0] for one, other in pairwise(ranges))
    }
    assert twice == {}
    matrices = re.compile(r"work/\w+/work/reduced/.*\.[xy]")
    asked = {stage: sent(requests) for stage, requests in counting.stages.items()}
    assert sum(bool(matrices.match(key)) for key in asked["tune"]) > 3
    assert not [key for key in asked["train"] if matrices.match(key)]
    assert small_files(there) == here
    learnt = json.loads((there / "models/candidate/training.json").read_text())
    assert learnt["iterations"] == EPOCHS
    studied = json.loads((there / "models/params.json").read_text())
    assert studied["trials"] == TRIALS, studied


def test_what_breaks_on_the_way_changes_no_byte(there, here, proxy):
    """A server that fails again and again, is slow, breaks off and loses answers to commits."""
    proxy.breaks("lost", "PUT", "/claims/", times=EVER, every=2)
    proxy.breaks("error", "PUT", times=EVER, every=9)
    proxy.breaks("hung", "PUT", times=EVER, every=23)
    proxy.breaks("error", "HEAD", times=EVER, every=8)
    proxy.breaks("torn", "GET", times=EVER, every=5)
    proxy.breaks("error", "GET", times=EVER, every=7)
    proxy.breaks("slow", "GET", times=EVER, every=11, pause=0.01)
    run_here(there)
    broken = Counter(one.fault for one in proxy.passed)
    assert {"lost", "error", "hung", "torn", "slow"} <= broken.keys(), broken
    assert broken[None] < 15 * broken.total() / 16, broken
    assert [one.fault for one in proxy.passed if "/claims/" in one.path].count("lost") > 0
    proxy.mends()
    assert small_files(there) == here
    held(there)


def test_credentials_that_expire_on_the_way_cost_nothing_that_was_done(there, here, proxy):
    """The run says so and what to do; the next one goes on, to the same bytes."""
    done: set[str] = set()
    for method, part, every in (
        ("PUT", "/parts/", 3),
        ("PUT", "/claims/", 1),
        ("GET", "/reduced/", 1),
    ):
        proxy.breaks("expired", method, part, times=EVER, every=every)
        with pytest.raises(StorageFailed, match="ExpiredToken") as caught:
            run_here(there)
        assert "credentials" in caught.value.remedy
        assert (there / "data" / "validated").exists() == (part == "/reduced/")
        scans = scanned(proxy)
        proxy.mends()
        assert len({*done, *scans}) == len(done) + len(scans)
        done.update(scans)
        assert (len(done) == 2) == (part == "/parts/")
    run_here(there)
    assert small_files(there) == here
    held(there)


def scanned(proxy) -> list[str]:
    """The scans of splits that were written."""
    return [
        one.path
        for one in proxy.passed
        if one.method == "PUT" and one.status == 200 and "/parts/" in one.path
    ]
