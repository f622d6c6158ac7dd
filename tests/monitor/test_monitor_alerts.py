from __future__ import annotations

import datetime as dt
import itertools

import pytest
from pydantic import ValidationError

from tidemill.config.monitoring import AlertRule, AlertsConfig, Silence
from tidemill_monitor.watching.incidents import (
    Told,
    ended,
    incident,
    is_over,
    sees_beginning,
    silent_until,
)

NOW = dt.datetime(2026, 11, 20, 12, 0, tzinfo=dt.UTC)
WORDS = {
    "H": "healthy",
    "B": "broken feed",
    "D": "harmless drift",
    "S": "suspected harm",
    "C": "confirmed harm",
}
# One window that denies it ends their trouble; the rules below wait for two in a row, the default.
BROKEN = AlertRule(name="broken", on=("broken feed",), severity="critical", calm=1)
HARM = AlertRule(name="harm", on=("confirmed harm",), calm=1)
SUSPECTED = AlertRule(name="suspected", on=("suspected harm",), windows=2, calm=1)
DAMPED = {rule.name: rule.model_copy(update={"calm": 2}) for rule in (BROKEN, HARM, SUSPECTED)}


def told(text: str) -> list[Told]:
    """Windows 1, 2, ... by the first letters of their verdicts; lower case: without labels."""
    return [
        Told(number, WORDS[letter.upper()], f"window {number}", letter.isupper())
        for number, letter in enumerate(text, start=1)
    ]


@pytest.mark.parametrize(
    ("rule", "windows", "key"),
    [
        (BROKEN, "", None),
        (BROKEN, "hhh", None),
        (BROKEN, "hb", "broken//2"),
        (BROKEN, "bbhbb", "broken//4"),
        (BROKEN, "bbh", None),
        (SUSPECTED, "hs", None),
        (SUSPECTED, "hss", "suspected//2"),
        (SUSPECTED, "shs", None),
        (SUSPECTED, "sbs", "suspected//1"),
        (SUSPECTED, "Cs", "suspected//1"),
        (SUSPECTED, "sC", None),
        (HARM, "HC", "harm//2"),
        (HARM, "HChhss", "harm//2"),
        (HARM, "HCbh", "harm//2"),
        (HARM, "HCHh", None),
        (HARM, "HCDC", "harm//4"),
    ],
)
def test_a_rule_finds_one_incident_in_a_run_of_verdicts(rule, windows, key):
    """The key names the run's first window; windows that cannot speak break no run."""
    found = incident(rule, "", told(windows))

    assert (found and found.key) == key


def test_an_incident_stays_the_same_while_its_run_goes_on():
    """However often it is looked for, and however long the run: one key."""
    keys = {incident(BROKEN, "city=x", told("hb" + "b" * n)).key for n in range(30)}

    assert keys == {"broken/city=x/2"}


@pytest.mark.parametrize(
    ("rule", "windows", "over"),
    [
        (BROKEN, "bh", True),
        (BROKEN, "bs", True),
        (BROKEN, "bb", False),
        (BROKEN, "", False),
        (HARM, "C", False),
        (HARM, "Ch", False),
        (HARM, "Cs", False),
        (HARM, "Cb", False),
        (HARM, "CH", True),
        (HARM, "CD", True),
        (HARM, "h", False),
        (SUSPECTED, "ssh", True),
        (SUSPECTED, "ssC", False),
        (SUSPECTED, "ssb", False),
        (SUSPECTED, "ssCh", True),
    ],
)
def test_an_incident_is_over_when_a_window_that_can_speak_says_so(rule, windows, over):
    """Confirmed harm needs labels to end; a broken feed ends no harm."""
    assert is_over(rule, told(windows)) is over


@pytest.mark.parametrize(
    ("rule", "windows", "seen"),
    [
        (BROKEN, "", False),
        (BROKEN, "bb", False),
        (BROKEN, "hbb", True),
        (BROKEN, "h", True),
        (HARM, "hhh", False),
        (HARM, "CChh", False),
        (HARM, "HCh", True),
        (HARM, "H", True),
    ],
)
def test_the_beginning_of_a_run_is_seen_when_a_window_before_it_spoke(rule, windows, seen):
    """Until then the run may have begun before the windows that were read."""
    assert sees_beginning(rule, told(windows)) is seen


@pytest.mark.parametrize("rule", [BROKEN, HARM, SUSPECTED, *DAMPED.values()])
def test_what_is_over_is_found_at_once_as_it_is_one_window_after_the_other(rule):
    """However many windows are judged between two looks: the same incidents, in order."""
    for verdicts in itertools.product("HBChs", repeat=5):
        windows, one_by_one, now = told("".join(verdicts)), [], None
        for seen in range(1, len(windows) + 1):
            found = incident(rule, "", windows[:seen])
            if now is None:
                now = found
            elif is_over(rule, windows[:seen]):
                one_by_one.append(now.key)
                now = None
        at_once = [run.incident.key for run in ended(rule, "", windows, whole=True)]
        assert at_once == one_by_one, verdicts
        known = [run.incident.key for run in ended(rule, "", windows)]
        assert known == [key for key in at_once if key in known]


def test_the_newest_sentence_is_told():
    """What people read is about the newest window of the run."""
    assert incident(BROKEN, "", told("hbb")).sentence == "window 3"


def test_a_silence_covers_its_time_and_rules():
    """From its start, up to its end; all rules unless it names some; times without zone are UTC."""
    hour = dt.timedelta(hours=1)
    named = Silence(start=NOW, end=NOW + hour, rules=("harm",))
    plain = Silence(start=(NOW - hour).replace(tzinfo=None), end=NOW.replace(tzinfo=None))

    assert silent_until([named], "harm", NOW) == NOW + hour
    assert silent_until([named], "broken", NOW) == NOW
    assert silent_until([named], "harm", NOW + hour) == NOW + hour
    assert silent_until([plain], "broken", NOW) == NOW
    assert silent_until([plain], "broken", NOW - hour) == NOW
    assert silent_until([], "harm", NOW) == NOW
    assert silent_until([named, plain], "harm", NOW - hour) == NOW + hour, "one after the other"


@pytest.mark.parametrize(
    ("name", "windows", "key", "over", "seen"),
    [
        ("broken", "hhbhb", "broken//3", False, True),
        ("broken", "hhbhbh", None, False, True),
        ("broken", "hhbhbhh", None, True, True),
        ("broken", "bhbhb", "broken//1", False, False),
        ("broken", "bhhb", "broken//4", False, True),
        ("broken", "h", None, False, False),
        ("harm", "HHCHChH", None, False, True),
        ("harm", "HHCHhH", None, True, True),
        ("suspected", "hhshs", None, False, True),
        ("suspected", "hhsshss", "suspected//3", False, True),
    ],
)
def test_a_verdict_that_flaps_is_one_incident(name, windows, key, over, seen):
    """It is over when as many windows in a row deny it as the rule asks for."""
    rule = DAMPED[name]
    assert AlertRule(name="x", on=("broken feed",)).calm == 2
    found = incident(rule, "", told(windows))

    assert (found and found.key) == key
    assert is_over(rule, told(windows)) is over
    assert sees_beginning(rule, told(windows)) is seen


CHANNEL = {"name": "desk", "kind": "webhook", "url": "https://x.example/", "secret_env": "S"}
RULE = {"name": "harm", "on": ["confirmed harm"]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"channels": [CHANNEL, {**CHANNEL, "url": "https://y.example/"}]},
            "'desk' more than once",
        ),
        ({"rules": [RULE, {**RULE, "on": ["broken feed"]}]}, "'harm' more than once"),
        ({"rules": [{**RULE, "channels": ["desk", "desk"]}]}, "'desk' more than once"),
        ({"rules": [{**RULE, "channels": ["dusk"]}]}, "'dusk', which"),
        ({"silences": [{"start": NOW, "end": NOW, "rules": ["harn"]}]}, "nothing would be silent"),
        (
            {"silences": [{"start": NOW, "end": "2026-11-20T12:30:00+02:00"}]},
            "nothing would be silent",
        ),
        (
            {"silences": [{"start": NOW, "end": NOW + dt.timedelta(hours=1), "rules": ["harn"]}]},
            "'harn', which",
        ),
    ],
)
def test_alerts_that_cannot_mean_what_they_say_are_refused(change, said):
    """Names twice, names of nothing, silences that end before they begin: when they are read."""
    with pytest.raises(ValidationError, match=said):
        AlertsConfig.model_validate({"channels": [CHANNEL], "rules": [RULE], **change})
