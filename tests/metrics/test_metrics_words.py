"""What people call a figure: the same in sentences and in the dashboard."""

from __future__ import annotations

import re
from pathlib import Path

from tidemill.metrics import HIGHER_IS_BETTER, IN_WORDS

FORMAT = Path("monitoring/tidemill_monitor/dashboard/static/js/format.js")


def test_every_figure_has_a_name_in_words():
    """And no name is given to what is no figure."""
    assert set(IN_WORDS) == {*HIGHER_IS_BETTER, "bias"}


def test_the_dashboard_calls_figures_as_sentences_do():
    """Its own table names them alike; what it leaves out reads the same without its underscores."""
    script = (Path(__file__).parents[2] / FORMAT).read_text()
    table = re.search(r"const NAMES = {(.*?)};", script, re.DOTALL)[1]
    names = dict(re.findall(r'(\w+): "([^"]*)"', table))
    lower = re.search(r"const LOWER = new Set\(\[(.*?)\]\)", script)[1]

    assert {m: names.get(m, m.replace("_", " ")) for m in IN_WORDS} == IN_WORDS
    assert set(re.findall(r'"(\w+)"', lower)) == {m for m, up in HIGHER_IS_BETTER.items() if not up}
