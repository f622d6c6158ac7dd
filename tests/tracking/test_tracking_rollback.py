"""Rollback: the champion of before serves again, if it still is what it was."""

from __future__ import annotations

import json
import re

import pytest

from tidemill.errors import ModelMissing, ModelUntrusted
from tidemill.tracking import Registry, fetch_reference, promotion_of, roll_back


@pytest.fixture(scope="module")
def made(make_place, tmp_path_factory):
    """A store whose champion, version 2, replaced version 1; each has a reference."""
    folder = tmp_path_factory.mktemp("two")
    place = make_place(folder)
    registry = Registry(place.tracker())
    for version, each in ((1, place), (2, place.another(2))):
        reference = folder / f"{version}" / "reference.json"
        reference.parent.mkdir()
        reference.write_text(json.dumps({"of": version}))
        assert each.register(key=f"run-{version}", reference=[reference]) == version
        before = registry.champion("rides")
        registry.promote(
            "rides", version, replaces=before and before.version, evidence={"roc_auc": version}
        )
    return place


@pytest.fixture
def two(made, tmp_path):
    """A copy of it."""
    return made.copied(tmp_path)


def test_the_version_before_serves_again(two, tmp_path):
    """The alias moves back, the reference is that version's, and the reason is kept."""
    done = roll_back(two.tracker(), "rides", reason="complaints")
    assert (done.version, done.before) == (1, 2)
    registry = Registry(two.tracker())
    assert registry.champion("rides").version == 1
    folder = fetch_reference(two.uri, "rides", 1, tmp_path / "fetched")
    assert json.loads((folder / "reference.json").read_text()) == {"of": 1}
    gone = registry.versions("rides")[1]
    assert json.loads(gone.tags["tidemill.rolled_back"]) == {"reason": "complaints", "to": 1}
    assert promotion_of(gone)["replaces"] == 1


def test_before_the_first_there_is_none(two):
    """The first champion replaced nobody: nothing changes and the error says so."""
    roll_back(two.tracker(), "rides")
    with pytest.raises(ModelMissing, match="none before version 1"):
        roll_back(two.tracker(), "rides")
    assert Registry(two.tracker()).champion("rides").version == 1


def test_without_a_champion_there_is_nothing_to_roll_back(place):
    """A model that only has a challenger has nothing to go back to."""
    place.register()
    with pytest.raises(ModelMissing, match="no champion"):
        roll_back(place.tracker(), "rides")


def test_a_champion_made_by_hand_names_the_way_back(two):
    """Nobody recorded whom it replaced: the remedy moves the alias, as typed, and it serves."""
    client = two.tracker().client()
    place = two.another(3)
    place.register(key="run-3")
    client.set_registered_model_alias("rides", "champion", "3")
    with pytest.raises(ModelMissing, match=r"version 3 .* by hand") as caught:
        roll_back(two.tracker(), "rides")
    (typed,) = re.findall(r"client\.set_registered_model_alias\([^)]*\)", caught.value.remedy)
    assert "versions 1, 2" in caught.value.remedy
    eval(typed.replace("NUMBER", "1"), {"client": client})  # what a person would type
    assert Registry(two.tracker()).champion("rides").version == 1


def test_the_version_before_was_deleted(two):
    """It is said so: training again is not the only way back."""
    client = two.tracker().client()
    client.delete_model_version("rides", "1")
    with pytest.raises(ModelMissing, match="replaced version 1, which is not in the registry"):
        roll_back(two.tracker(), "rides")
    assert Registry(two.tracker()).champion("rides").version == 2


def test_it_can_be_promoted_and_rolled_back_again(two):
    """Back, forth and back: each promotion notes whom it replaced."""
    registry = Registry(two.tracker())
    roll_back(two.tracker(), "rides")
    registry.promote("rides", 2, replaces=1, evidence={})
    assert roll_back(two.tracker(), "rides").version == 1


@pytest.mark.parametrize("pattern", ["**/model.skops", "**/reference/reference.json"])
def test_a_version_that_cannot_serve_is_not_put_back(two, pattern):
    """Its model or reference was changed in the store: the present champion stays."""
    for path in two.root.glob(f"mlartifacts/{pattern}"):
        path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(ModelUntrusted):
        roll_back(two.tracker(), "rides")
    assert Registry(two.tracker()).champion("rides").version == 2
