"""The contract of bucket rules: ours and another's keep it, each bad one fails its clause."""

from __future__ import annotations

import json
import textwrap
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tidemill.bucket_rules import BUCKET_RULES
from tidemill.config import params_schema, read_params
from tidemill.engines import LocalEngine
from tidemill.errors import ConfigError, UsageError
from tidemill.sharding import locate, verify
from tidemill.storage import ShardManifest, StoreFolder
from tidemill.testing.bad_bucket_rules import BAD_BUCKET_RULES
from tidemill.testing.bucket_rules import BucketRuleContract

OUTSIDE = Path(__file__).parent / "outside"
RECIPE = Path(__file__).parents[2] / "CONTRIBUTING.md"
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
SOURCE = "dataset: {source: a, target: y, time: t}\n"


@pytest.fixture(autouse=True)
def no_rule_from_elsewhere(monkeypatch):
    """Each test begins with tidemill's own rules, and leaves none."""
    monkeypatch.setattr(BUCKET_RULES, "_opened", {})


@pytest.fixture
def outside(monkeypatch):
    """A small package with a rule is installed, with its metadata."""
    monkeypatch.syspath_prepend(str(OUTSIDE))


class TestHash(BucketRuleContract):
    """Equal ranges of hashes keep the contract."""

    rule = "hash"


class TestRange(BucketRuleContract):
    """Ranges of a column keep the contract."""

    rule = "range"


class TestTime(BucketRuleContract):
    """Stretches of time keep the contract."""

    rule = "time"


def recipe() -> dict[str, Any]:
    """What the recipe for a bucket rule defines, by name."""
    text = RECIPE.read_text().partition("## A strategy of sharding")[2].partition("\n## ")[0]
    defined: dict[str, Any] = {}
    code = text.partition("```python\n")[2].partition("```")[0]
    exec(textwrap.dedent(code), defined)
    return defined


@pytest.mark.usefixtures("outside")
class TestRecipe(recipe()["TestWeekdays"]):
    """The rule of another package, opened by its entry point's name, keeps the contract."""


def test_every_clause_has_a_bad_rule():
    """No test of the suite stands without a rule that must fail it."""
    clauses = {name for name in vars(BucketRuleContract) if name.startswith("test_")}
    assert clauses == set(BAD_BUCKET_RULES)


@pytest.mark.parametrize("clause", BAD_BUCKET_RULES)
def test_a_bad_rule_fails_its_clause(clause):
    """Each clause is held by a test that notices when it is broken."""
    bad = BAD_BUCKET_RULES[clause]
    suite = BucketRuleContract()
    suite.rule = f"{bad.__module__}:{bad.__name__}"
    with pytest.raises((AssertionError, UsageError, IndexError)):
        getattr(suite, clause)()


@pytest.mark.usefixtures("outside")
def test_it_is_a_setting_like_any_other():
    """By name and by address; what it wants is checked; the schema for editors has the name."""
    assert tuple(BUCKET_RULES) == ("hash", "range", "time", "weekday")
    for name in ("weekday", "tidemill_weekdays:WeekdayBuckets"):
        text = f"sharding: {{strategy: '{name}'}}"
        assert read_params(f"{SOURCE}{text}").sharding.strategy == name
        with pytest.raises(ConfigError, match=f"{name} needs dataset.time"):
            read_params(f"{SOURCE.replace(', time: t', '')}{text}")
    with pytest.raises(ConfigError, match="did you mean 'weekday'"):
        read_params(f"{SOURCE}sharding: {{strategy: weekdays}}")
    assert '"weekday"' in json.dumps(params_schema()["$defs"]["ShardingConfig"])


def test_what_is_no_rule_is_refused():
    """An address that leads to something else."""
    with pytest.raises(UsageError, match="it lacks wants"):
        BUCKET_RULES["builtins:dict"]()


@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize("time", [True, False], ids=["by time", "by hash"])
def test_shards_are_made_read_and_verified_by_it(kit, tmp_path, time):
    """The rule of another package goes through all that ours do; each shard has its days."""
    table = kit.make(1500)
    holdout = {"by": "time"} if time else {"by": "hash"}
    config = {"strategy": "weekday", "shards": 12, "holdout": holdout}
    manifest = table.shard(tmp_path, config)
    folder = tmp_path / "shards"
    assert ShardManifest.read(folder) == manifest
    assert manifest.strategy == "weekday"
    assert verify(manifest, StoreFolder.at(folder), LocalEngine(1)) == ()
    assert sorted(chain(*kit.role_rows(manifest, folder).values())) == list(range(1500))
    for shard, rows in zip(manifest.shards, kit.rows_by_shard(manifest, folder), strict=True):
        firsts = manifest.boundaries[shard.role.value]
        last = dict(zip(firsts, [*firsts[1:], None], strict=True))[firsts[shard.bucket]]
        mine = DAYS[DAYS.index(firsts[shard.bucket]) : DAYS.index(last) if last else 7]
        assert {moment.strftime("%a") for moment in rows["started_at"].to_pylist()} <= {*mine}
    found = locate(manifest, StoreFolder.at(folder), "ride-0-17")
    assert found is not None
    broken = kit.replace(
        manifest, strategy="time", boundaries=dict.fromkeys(manifest.boundaries, ())
    )
    assert verify(broken, StoreFolder.at(folder), LocalEngine(1)) != ()


class Careless:
    """Deals rows to buckets by their hash; what goes wrong is said by subclasses."""

    wants, sampled, monotone = "hash", False, False

    def fit(self, sample, buckets, physical):
        return tuple(map(str, range(buckets)))

    def count(self, boundaries):
        return len(boundaries)

    def bucket(self, values, boundaries, physical):
        return (values.to_numpy() % len(boundaries)).astype(np.int64)

    def explain(self, column):
        return column


class LosingRule(Careless):
    def bucket(self, *told):
        return super().bucket(*told) - 1


class BeyondRule(Careless):
    def bucket(self, *told):
        return super().bucket(*told) + 1


class ShortRule(Careless):
    def bucket(self, *told):
        return super().bucket(*told)[:1]


class HalfRule(Careless):
    def bucket(self, *told):
        return super().bucket(*told) / 2


class NumbersRule(Careless):
    def fit(self, sample, buckets, physical):
        return tuple(range(buckets))


class ManyRule(Careless):
    def fit(self, sample, buckets, physical):
        return super().fit(sample, buckets + 1, physical)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (LosingRule, "gave a row bucket -1 of"),
        (BeyondRule, "gave a row bucket"),
        (ShortRule, r"gave \(1,\) int64 for"),
        (HalfRule, "float64 for"),
        (NumbersRule, "no texts"),
        (ManyRule, "were asked for"),
    ],
)
def test_a_rule_that_loses_rows_is_refused(kit, tmp_path, monkeypatch, rule, said):
    """What a rule answers is looked at: a row without a bucket would be in no shard."""
    monkeypatch.setitem(BUCKET_RULES._opened, "its:Rule", rule)
    with pytest.raises(ConfigError, match=said) as caught:
        kit.make(200).shard(tmp_path, {"strategy": "its:Rule", "shards": 6})
    assert "its:Rule" in str(caught.value)


def test_a_careful_rule_passes(kit, tmp_path, monkeypatch):
    """The one that those break is none of them."""
    monkeypatch.setitem(BUCKET_RULES._opened, "its:Rule", Careless)
    manifest = kit.make(200).shard(tmp_path, {"strategy": "its:Rule", "shards": 6})
    assert sum(shard.file.rows for shard in manifest.shards) == 200
