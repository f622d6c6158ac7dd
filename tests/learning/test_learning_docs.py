"""The tables of docs/learning.md and params.schema.json say what the learners say."""

import json
from pathlib import Path

import pytest

from tidemill.config import params_schema
from tidemill.contracts import Parameter
from tidemill.learners import LEARNERS
from tidemill.schema import Task

ROOT = Path(__file__).parents[2]
YES = {True: "yes", False: "no"}


def rows_of_learners():
    """One a learner."""
    told = "learner, strategies, MB for 10M rows x 30, missing values, scaled, goes on, can follow"
    yield tuple(told.split(", "))
    for name, kind in LEARNERS.items():
        needed = [kind().needed_bytes(way, 10**7, 30, 1) / 2**20 for way in kind.strategies]
        yield (
            f"`{name}`",
            ", ".join(f"`{way}`" for way in kind.strategies),
            ", ".join(f"{mb:,.0f}" for mb in needed),
            "learns from them" if kind.takes_missing else "refuses them",
            "wanted" if kind.wants_scaled else "all the same",
            YES[kind.continues],
            "; ".join(", ".join(kind.metrics.get(task, ("none",))) for task in Task),
        )


def rows_of_parameters(name):
    """One a parameter."""
    yield "parameter", "default", "may be", "also", "searched"
    for parameter, one in LEARNERS[name].parameters.items():
        yield (
            f"`{parameter}`",
            json.dumps(one.default)
            + ("" if one.rare is None else f"; rare: {json.dumps(one.rare)}"),
            one.values,
            ", ".join(f"`{alias}`" for alias in one.aliases),
            searched(one),
        )


def searched(one: Parameter) -> str:
    """Where a search looks, and for which tasks where not for all."""
    if not one.search:
        return ""
    if "choices" in one.search:
        where = ", ".join(map(str, one.search["choices"]))
    else:
        where = f"{one.search['low']:g} to {one.search['high']:g}"
        where += ", evenly in the logarithm" if one.search.get("log") else ""
    return where if len(one.searched) == len(Task) else f"{where}; {', '.join(one.searched)}"


def table(rows):
    """A table in Markdown."""
    head, *others = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([head, "|" + "---|" * (head.count("|") - 1), *others])


@pytest.mark.parametrize("name", ["", *LEARNERS])
def test_the_page_has_the_learners_own_facts(name):
    """A table that differs is to be replaced by the one that the message shows."""
    wanted = table(rows_of_parameters(name) if name else rows_of_learners())
    assert wanted in (ROOT / "docs" / "learning.md").read_text(), (
        f"docs/learning.md lacks\n{wanted}"
    )


def test_the_schema_for_editors_is_that_of_the_settings():
    """params.schema.json is what ``tidemill init`` writes."""
    assert json.loads((ROOT / "params.schema.json").read_text()) == params_schema()
