"""The words that comments of params.yaml offer are those that the settings take."""

from __future__ import annotations

import enum
import re
from importlib.resources import files
from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest
from dvc.utils.serialize import parse_yaml

from tidemill.bucket_rules import BUCKET_RULES
from tidemill.config import Params
from tidemill.formats import FORMATS
from tidemill.learners import LEARNERS, strategies
from tidemill.searchers import SAMPLERS

PORTS = {
    "dataset.format": FORMATS,
    "sharding.strategy": BUCKET_RULES,
    "tuning.sampler": SAMPLERS,
    "training.learner": LEARNERS,
}
HERE = Path(__file__).parents[2]
PAGES = {
    "template": files("tidemill").joinpath("params.template.yaml").read_text(encoding="utf-8"),
    "workspace": (HERE / "params.yaml").read_text(encoding="utf-8"),
    "kubernetes": (HERE / "kubernetes/example/workspace/params.yaml").read_text(encoding="utf-8"),
}


def offered(text):
    """By setting, the words of a comment that is a list of them and nothing more."""
    found, above = {}, []
    for line in text.splitlines():
        setting = re.match(r"( *)(\w+):", line)
        if setting is None:
            continue
        depth = len(setting[1]) // 2
        above = [*above[:depth], setting[2]]
        words = re.search(r"# (\w+(?:, \w+)+)$", line)
        if words:
            found[".".join(above)] = set(words[1].split(", "))
    return found


def words_of(annotation):
    """The literals and members of a type."""
    if get_origin(annotation) is Literal:
        return set(get_args(annotation))
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return {member.value for member in annotation}
    return set().union(*map(words_of, get_args(annotation)))


def taken(setting):
    """What a setting takes: names of a port that come with tidemill, or the words of its type."""
    if setting in PORTS:
        return {name for name in PORTS[setting] if PORTS[setting][name] in PORTS[setting].ours()}
    if setting == "training.strategy":
        return set(strategies())
    model, parts = Params, setting.split(".")
    for part in parts[:-1]:
        model = model.model_fields[part].annotation
    return words_of(model.model_fields[parts[-1]].annotation) - {"auto"}


@pytest.mark.parametrize("page", PAGES)
def test_comments_offer_what_settings_take(page):
    """All of it, and nothing else."""
    found = offered(PAGES[page])
    assert {*PORTS, "training.strategy", "dataset.task", "reduction.impute"} <= found.keys()
    assert found == {setting: taken(setting) for setting in found}


def test_sections_that_are_offered_in_comments_are_yaml_to_dvc_too():
    """Whoever takes the sign of the comment away has a params.yaml that all of us read."""
    text = re.sub(r"^# (?=\w+: \{)", "", PAGES["template"], flags=re.MULTILINE)
    read = parse_yaml(text, "params.yaml")
    assert read.keys() - parse_yaml(PAGES["template"], "params.yaml").keys() == {"storage"}
    assert read["storage"] == {"url": "s3://BUCKET/PREFIX"}
