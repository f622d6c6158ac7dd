"""When a retraining fires, and everything that keeps it from firing."""

import itertools
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.config import RetrainingConfig
from tidemill.decisions import BUDGET_DAYS, Decision, History, PastDecision, WindowFact, decide

T0 = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
POLICY = RetrainingConfig(windows=2, of=3, min_labels=1000, cooldown_seconds=86_400)
WORDS = {
    "h": "healthy",
    "b": "broken feed",
    "d": "harmless drift",
    "s": "suspected harm",
    "c": "confirmed harm",
    "-": None,
}


def windows(letters, version=3, labelled=500, start=T0):
    """One closed window a letter, an hour apart; ``.`` after a letter: without labels."""
    found = []
    for i, letter in enumerate(letters.replace(".", "")):
        found.append(WindowFact(f"w{i}", start + (i + 1) * HOUR, WORDS[letter], labelled, version))
    return tuple(found)


def history(letters, *, decisions=(), labelled_rows=5000, version=3, **made):
    return History(version, windows(letters, **made), tuple(decisions), labelled_rows)


def fired(at, *, version=3, state="finished", closed=None, name="d1"):
    return PastDecision(name, version, "fire", state, at, closed)


def now(history):
    return history.windows[-1].closed_at if history.windows else T0


@pytest.mark.parametrize(
    ("letters", "action"),
    [
        ("", "hold"),
        ("h", "hold"),
        ("c", "hold"),
        ("cc", "fire"),
        ("chc", "fire"),
        ("cch", "fire"),
        ("chhc", "hold"),
        ("ss", "hold"),
        ("dd", "hold"),
        ("cb", "hold"),
        ("ccb", "fire"),
        ("ccbbb", "fire"),
        ("hhbb", "hold"),
        ("cbc", "fire"),
        ("cbbbbc", "fire"),
        ("bbb", "hold"),
        ("c-c", "fire"),
        ("cc-", "fire"),
        ("--", "hold"),
    ],
)
def test_k_of_n(letters, action):
    """Two of the last three windows that can tell; broken and unconcluded ones are left out."""
    asked = history(letters)
    assert decide(asked, POLICY, now(asked)).action == action


def test_suspected_harm_counts_where_it_is_wanted():
    """With ``on: suspected harm`` windows without labels speak too."""
    policy = POLICY.model_copy(update={"on": "suspected harm"})
    asked = history("sc", labelled=0)
    assert decide(asked, policy, now(asked)).action == "fire"
    assert decide(asked, POLICY, now(asked)).action == "hold"


def test_windows_whose_labels_are_to_come_neither_accuse_nor_acquit():
    """Late labels: two harmed windows fire although newer ones cannot tell yet."""
    told, silent = windows("cc"), windows("hhhhh", labelled=0, start=T0 + 5 * HOUR)
    asked = History(3, told + silent, (), 5000)
    assert decide(asked, POLICY, now(asked)).action == "fire"


def test_windows_of_others_are_no_evidence():
    """Segments and windows that another version answered do not count."""
    other = History(4, windows("ccc", version=3), (), 5000)
    assert decide(other, POLICY, now(other)).action == "hold"
    parts = tuple(
        WindowFact(w.window_id, w.closed_at, w.verdict, w.labelled_rows, 3, "zone=a")
        for w in windows("ccc")
    )
    assert decide(History(3, parts, (), 5000), POLICY, T0 + 4 * HOUR).action == "hold"


@pytest.mark.parametrize(
    ("change", "policy", "block", "word"),
    [
        ({"labelled_rows": 999}, {}, "labels", "999 of 1,000"),
        ({}, {"enabled": False}, "disabled", "enabled"),
        ({}, {"monthly_budget": 0}, "budget", "0 of 0"),
        ({"decisions": [fired(T0 - 30 * HOUR, closed=T0 - HOUR)]}, {}, "cool-down", "pause"),
        ({"decisions": [fired(T0 - HOUR, version=2, closed=T0)]}, {}, "cool-down", "pause"),
        (
            {"decisions": [fired(T0 - 2 * HOUR, state="rejected", closed=T0)]},
            {},
            "cool-down",
            "pause",
        ),
        ({"decisions": [fired(T0, state="started")]}, {"cooldown_seconds": 0}, "open decision",
         "d1"),
        (
            {"decisions": [fired(T0 - i * 48 * HOUR, closed=T0 - i * 48 * HOUR, name=str(i))
                           for i in range(1, 9)]},
            {},
            "budget",
            "8 of 8",
        ),
    ],
)  # fmt: skip
def test_what_suppresses_says_why(change, policy, block, word):
    """Evidence enough, and something says no: a suppression that names it, in one sentence."""
    asked = history("cc", **change)
    decision = decide(asked, POLICY.model_copy(update=policy), now(asked))
    assert decision.action == "suppress"
    assert decision.evidence["blocked_by"] == [block]
    assert word in decision.reason
    assert decision.reason.startswith("confirmed harm in 2 of the last 2 windows")


def test_a_rejected_retraining_costs_no_budget():
    """Nothing was retrained: it pauses, and is not counted."""
    refused = [fired(T0 - 48 * HOUR, closed=T0 - 47 * HOUR, state="rejected")]
    policy = POLICY.model_copy(update={"monthly_budget": 1, "cooldown_seconds": 3600})
    assert decide(history("cc", decisions=refused), policy, T0 + 3 * HOUR).action == "fire"
    carried_out = [fired(T0 - 48 * HOUR, closed=T0 - 47 * HOUR)]
    asked = history("cc", decisions=carried_out)
    assert decide(asked, policy, T0 + 3 * HOUR).evidence["blocked_by"] == ["budget"]


def test_all_that_blocks_is_named():
    """The sentence names the first, the evidence all."""
    asked = history("cc", labelled_rows=0, decisions=[fired(T0, state="started")])
    decision = decide(asked, POLICY.model_copy(update={"enabled": False}), now(asked))
    assert decision.evidence["blocked_by"] == ["open decision", "disabled", "labels", "cool-down"]


def test_a_fire_carries_its_evidence():
    """Windows, rows and champion are named; the evidence is plain JSON; approval is asked for."""
    asked = history("hcc")
    decision = decide(asked, POLICY.model_copy(update={"approval": True}), now(asked))
    assert decision.action == "fire"
    assert decision.needs_approval
    assert decision.evidence["harmed"] == ["w1", "w2"]
    assert decision.evidence["windows"] == ["w0", "w1", "w2"]
    assert "champion 3" in decision.reason
    assert "5,000 labelled rows" in decision.reason
    assert json.loads(json.dumps(decision.evidence)) == decision.evidence


def test_a_broken_newest_window_says_whose_matter_it_is():
    """Without harm in windows that were whole: the data's owner is named, not the model."""
    decision = decide(history("chb"), POLICY, now(history("chb")))
    assert decision.action == "hold"
    assert "broken feed" in decision.reason
    assert "owner" in decision.reason


def test_a_broken_window_stands_in_no_way():
    """Harm was confirmed by windows that were whole: one that breaks after them changes nothing."""
    asked, whole = history("ccbb"), history("cc")
    broken, without = (decide(h, POLICY, now(asked)) for h in (asked, whole))
    assert broken == without
    assert broken.evidence["windows"] == ["w0", "w1"]


def test_rows_that_must_not_teach_are_counted_and_said():
    """They do not count towards min_labels, and both sentences name them."""
    windows_of = windows("cc")
    enough = decide(History(3, windows_of, (), 5000, 800), POLICY, T0 + 3 * HOUR)
    assert enough.action == "fire"
    assert enough.evidence["left_out_rows"] == 800
    assert "5,000 labelled rows to learn from (800 more are left out" in enough.reason
    few = decide(History(3, windows_of, (), 200, 800), POLICY, T0 + 3 * HOUR)
    assert few.evidence["blocked_by"] == ["labels"]
    assert "200 of 1,000 labelled rows to learn from (800 more are left out" in few.reason


def test_an_open_decision_about_another_version_stands_in_the_way():
    """Rows go to one at a time; the reason names what is under way."""
    opened = fired(T0 - 40 * 24 * HOUR, version=2, state="started")
    asked = history("ccc", decisions=[opened])
    decision = decide(asked, POLICY, now(asked))
    assert decision.action == "suppress"
    assert decision.evidence["blocked_by"] == ["open decision"]
    assert "about champion 2 is open" in decision.reason


def test_a_fire_that_was_superseded_counts_for_nothing():
    """Neither its pause nor the budget, and its windows may be seen again."""
    never = [
        fired(T0 + 3 * HOUR, version=3, state="superseded", closed=T0 + 3 * HOUR, name=f"d{i}")
        for i in range(POLICY.monthly_budget + 1)
    ]
    asked = history("ccc", decisions=never)
    assert decide(asked, POLICY, now(asked)).action == "fire"


def test_a_retraining_that_a_person_stopped_does_not_fire_again_at_once():
    """Its windows have been seen, its pause is kept and the budget counts it, as any failure."""
    stopped = fired(T0 + 3 * HOUR, state="stopped", closed=T0 + 4 * HOUR)
    asked = history("ccc", decisions=[stopped])
    free = POLICY.model_copy(update={"cooldown_seconds": 0})
    assert decide(asked, free, T0 + 5 * HOUR).action == "hold"
    again = history("cccccc", decisions=[stopped])
    assert decide(again, POLICY, now(again)).evidence["blocked_by"] == ["cool-down"]
    dear = free.model_copy(update={"monthly_budget": 1})
    assert decide(again, dear, now(again)).evidence["blocked_by"] == ["budget"]


def test_the_same_windows_are_not_evidence_twice():
    """After a retraining that changed nothing, only new windows can fire again."""
    free = POLICY.model_copy(update={"cooldown_seconds": 0})
    ended = fired(T0 + 3 * HOUR, closed=T0 + 4 * HOUR)
    asked = history("ccc", decisions=[ended])
    assert decide(asked, free, T0 + 5 * HOUR).action == "hold"
    newer = windows("cc", start=T0 + 5 * HOUR)
    again = History(3, asked.windows + newer, (ended,), 5000)
    assert decide(again, free, T0 + 8 * HOUR).action == "fire"


# A month of windows: what happens to a champion, hour by hour, under any policy.
LETTERS = st.text("hbdsc-", min_size=1, max_size=120)
POLICIES = st.builds(
    RetrainingConfig,
    enabled=st.just(True),
    on=st.sampled_from(["confirmed harm", "suspected harm"]),
    windows=st.integers(1, 3),
    of=st.integers(3, 5),
    min_labels=st.integers(100, 2000),
    cooldown_seconds=st.integers(0, 72).map(lambda hours: hours * 3600),
    monthly_budget=st.integers(0, 4),
    approval=st.booleans(),
)
# How each retraining goes: hours until it ends, and whether it brings a new champion.
ENDS = st.lists(
    st.tuples(st.integers(0, 30), st.sampled_from(["finished", "promoted", "failed", "rejected"])),
    min_size=1,
    max_size=12,
)


def play(letters, policy, ends, labels):
    """Let hours pass: each closes a window, asks, and lives with the answer; returns all said."""
    version, facts, past, running, said = 1, [], [], {}, []
    for hour, letter in enumerate(letters):
        at = T0 + hour * HOUR
        for name, (ended, state) in list(running.items()):
            if ended <= at:
                past = [
                    fired(d.opened_at, version=d.champion_version, state=state, closed=ended,
                          name=name) if d.id == name else d
                    for d in past
                ]  # fmt: skip
                version += state == "promoted"
                del running[name]
        facts.append(WindowFact(f"w{hour}", at, WORDS[letter], 300, version))
        asked = History(version, tuple(facts), tuple(past), labels)
        decision = decide(asked, policy, at)
        said.append((at, letter, asked, decision))
        if decision.action == "fire":
            name = f"d{hour}"
            past.append(fired(at, version=version, state="started", name=name))
            hours, state = ends[len(past) % len(ends)]
            running[name] = (at + (hours + 1) * HOUR, state)
    return said


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(LETTERS, POLICIES, ENDS, st.integers(0, 3000))
def test_invariants_over_any_month(letters, policy, ends, labels):
    """No two fires in a cool-down, none over budget, from broken windows, or beside an open one."""
    said = play(letters, policy, ends, labels)
    fires = [(at, d, asked) for at, _, asked, d in said if d.action == "fire"]
    pause = timedelta(seconds=policy.cooldown_seconds)
    for (before, _, _), (after, _, _) in itertools.pairwise(fires):
        assert after - before >= pause
    for at, decision, asked in fires:
        verdicts = {w.window_id: w.verdict for w in asked.windows}
        seen = [verdicts[name] for name in decision.evidence["windows"]]
        assert "broken feed" not in seen
        harmed = [verdicts[name] for name in decision.evidence["harmed"]]
        assert len(harmed) >= policy.windows
        assert set(harmed) <= {"confirmed harm", policy.on}
        assert labels >= policy.min_labels
        assert not [d for d in asked.decisions if d.is_open]
        month = [
            d for d in asked.decisions
            if at - d.opened_at < timedelta(days=BUDGET_DAYS) and d.state != "rejected"
        ]  # fmt: skip
        assert len(month) < policy.monthly_budget
    for _, _, _, decision in said:
        assert decision.reason
        assert (decision.action == "suppress") == bool(decision.evidence["blocked_by"])
        assert decision.needs_approval == (decision.action == "fire" and policy.approval)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(LETTERS, POLICIES, ENDS)
def test_broken_windows_neither_accuse_nor_acquit(letters, policy, ends):
    """At every hour of any month: without the broken windows, the same is done for the same."""
    for at, _, asked, decision in play(letters, policy, ends, 3000):
        whole = tuple(w for w in asked.windows if w.verdict != "broken feed")
        without = decide(replace(asked, windows=whole), policy, at)
        assert without.action == decision.action
        assert without.evidence == decision.evidence


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(LETTERS, POLICIES, st.integers(1, 40))
def test_asking_again_after_a_fire_changes_nothing(letters, policy, more):
    """While the decision is open, no answer fires, however often and late it is asked."""
    asked = history(letters, version=1)
    at = now(asked)
    first = decide(asked, policy, at)
    assert decide(asked, policy, at) == first
    if first.action != "fire":
        return
    opened = fired(at, version=1, state="awaiting approval")
    later = windows("c" * more, version=1, start=at)
    for facts in (asked.windows, asked.windows + later):
        again = History(1, facts, (opened,), asked.labelled_rows)
        for days in (0, 1, 31, 365):
            assert decide(again, policy, at + timedelta(days=days)).action != "fire"


def test_decisions_are_values():
    """Two decisions of the same history are equal: nothing hides in them."""
    asked = history("cc")
    assert decide(asked, POLICY, now(asked)) == decide(asked, POLICY, now(asked))
    assert Decision("hold", "because") == Decision("hold", "because")
