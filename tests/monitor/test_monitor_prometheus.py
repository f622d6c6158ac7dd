from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tidemill.testing.worlds import START, World
from tidemill_monitor.testing import watched

FOLDER = Path(__file__).parents[2] / "monitoring"
NAME = re.compile(r"tidemill_monitor_[a-z_]+")


def rules() -> list[dict]:
    document = YAML(typ="safe").load(FOLDER / "prometheus-rules.yaml")
    return [rule for group in document["groups"] for rule in group["rules"]]


def panels() -> list[dict]:
    return json.loads((FOLDER / "grafana-dashboard.json").read_text())["panels"]


@pytest.fixture(scope="module")
def exposed(tmp_path_factory) -> str:
    """What the service's registry says after a tick on traffic."""
    world = World(seed=5, blocks=4)
    with watched(tmp_path_factory.mktemp("figures"), {1: world.reference()}) as station:
        station.send(world.traffic(1000, at=START, wrong=0.8), labels=True)
        station.send(world.traffic(1, at=START.replace(hour=3)))
        station.tick()
        return station.service.meters.text().decode()


def expressions() -> list[str]:
    shown = [target["expr"] for panel in panels() for target in panel["targets"]]
    return [rule["expr"] for rule in rules()] + shown


@pytest.mark.parametrize("expression", expressions())
def test_every_figure_that_is_asked_for_is_exposed(exposed, expression):
    """A renamed figure would leave a rule silent for ever."""
    families = set(re.findall(r"^# TYPE (\S+) ", exposed, re.MULTILINE))
    for name in NAME.findall(expression):
        plain = re.sub(r"_(bucket|sum|count)$", "", name)
        assert {plain, plain.removesuffix("_total"), name} & families, name
    assert expression.count("(") == expression.count(")")


def test_rules_say_what_to_do():
    """Each has a severity, a summary and a description; names are unique."""
    found = rules()
    assert len({rule["alert"] for rule in found}) == len(found) > 10
    for rule in found:
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"]


def test_the_dashboard_fits_grafanas_grid():
    """No two panels overlap, none is wider than the page, ids are unique."""
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        cells = {
            (place["x"] + i, place["y"] + j) for i in range(place["w"]) for j in range(place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in panels()}) == len(panels())


def test_the_figures_follow_the_windows(exposed):
    """The newest verdict is confirmed harm, and the lines of the figure are there."""
    value = {
        name: float(re.search(rf"^tidemill_monitor_{name} (\S+)$", exposed, re.MULTILINE)[1])
        for name in ("last_verdict", "performance", "performance_held", "performance_harm")
    }

    assert value["last_verdict"] == 4
    assert value["performance"] < value["performance_harm"] < value["performance_held"]
    assert 'tidemill_monitor_verdicts_total{verdict="confirmed harm"} 1.0' in exposed
