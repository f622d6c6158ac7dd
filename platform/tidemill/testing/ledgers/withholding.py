# ruff: noqa: S101 - these are tests
"""Rows that may teach: counted and read alike, the same at every call."""

from __future__ import annotations

from tidemill.ledger import Ledger, Span, Take, owed_after, takes_of
from tidemill.schema import Verdict
from tidemill.testing.ledgers.decisions import fire_decision
from tidemill.testing.ledgers.opening import HOUR, NOW, Open, Opening
from tidemill.testing.traffic import event_batch, label_batch

__all__ = ["WithholdingContract"]


class WithholdingContract(Opening):
    """Rows that may teach: counted and read alike, the same at every call."""

    def test_rows_of_broken_windows_are_left_out_and_owed(self, opened: Open) -> None:
        """Those of a broken feed, and where asked those of windows that nobody judged yet."""
        ledger = opened()
        no = Verdict.BROKEN_FEED
        _hours(ledger, {0: Verdict.HEALTHY, 1: no, 2: no, 3: Verdict.HARMLESS_DRIFT})
        broken, unknown = (ledger.windows.untaught(waiting=waiting) for waiting in (False, True))
        assert len(broken) == 1, "neighbours are one span"
        assert len(unknown) == 2
        through = ledger.labels.mark()
        first = takes_of((0, through), [], unknown)
        assert _ids(ledger, first) == {"h0-0", "h0-1", "h0-2", "h3-0", "h3-1", "h3-2"}
        fired = fire_decision(
            ledger, labels=(0, through), evidence={"takes": [take.to_json() for take in first]}
        )
        # The feed is whole by a person's word: what was left out goes to the next decision.
        for window in ledger.windows.list(verdict=Verdict.BROKEN_FEED):
            ledger.windows.judge(
                window.id, verdict=Verdict.HARMLESS_DRIFT, sentence="", findings=[], at=NOW
            )
        held = ledger.decisions.get(fired.id)
        assert _ids(ledger, held.takes) == _ids(ledger, first), "the same at every call"
        owed = ledger.decisions.owed(held.model)
        ledger.decisions.report(fired.id, attempt=1, state="finished", at=NOW)
        later = takes_of((through, through), owed, ledger.windows.untaught(waiting=True))
        assert _ids(ledger, later) == {f"h{hour}-{i}" for hour in (1, 2) for i in range(3)}
        still = {f"h4-{i}" for i in range(3)}
        assert _ids(ledger, owed_after(later)) == still, "its window is open"

    def test_a_decision_of_an_older_release_holds_all_its_numbers(self, opened: Open) -> None:
        """Without takes in its evidence nothing was left out, and nothing is owed."""
        ledger = opened()
        _hours(ledger, {0: Verdict.BROKEN_FEED})
        fired = fire_decision(ledger, labels=(0, ledger.labels.mark()))
        assert fired.takes == (Take(0, ledger.labels.mark()),)
        assert ledger.decisions.owed(fired.model) == []

    def test_rows_are_counted_by_place_as_by_time(self, opened: Open) -> None:
        """Windows by count cut batches too; a span of another version cuts none."""
        ledger = opened()
        _hours(ledger, {})
        through = ledger.labels.mark()
        assert ledger.labels.taken([Take(0, through)]) == through == 15
        for spans, rows in (
            ((Span(1, "count", 2, 7),), 5),
            ((Span(1, "count", 0, 1), Span(1, "count", 14, 90)), 2),
            ((Span(2, "count", 0, 90),), 0),
        ):
            assert ledger.labels.taken([Take(0, through, within=(spans,))]) == rows
            assert ledger.labels.taken([Take(0, through, without=spans)]) == through - rows
            assert len(_ids(ledger, [Take(0, through, within=(spans,))])) == rows


def _hours(ledger: Ledger, verdicts: dict[int, str]) -> None:
    """Five hours of three labelled rows, two batches; those with a verdict are judged."""
    ids = [f"h{hour}-{i}" for hour in range(5) for i in range(3)]
    ledger.events.append(event_batch(ids[:8], step=HOUR / 3))
    begin = event_batch(ids[:1]).table["at"][0].as_py()
    ledger.events.append(
        event_batch(ids[8:], at=begin.replace(tzinfo=NOW.tzinfo) + 8 * HOUR / 3, step=HOUR / 3)
    )
    ledger.labels.append(label_batch([(name, "yes") for name in ids]))
    ledger.settle()
    for hour, window in enumerate(ledger.windows.list()[::-1]):
        if hour in verdicts:
            ledger.windows.close(window.id, NOW)
            said = {"verdict": verdicts[hour], "sentence": "", "findings": []}
            ledger.windows.judge(window.id, at=NOW, **said)  # type: ignore[arg-type]


def _ids(ledger: Ledger, takes: list[Take] | tuple[Take, ...]) -> set[str]:
    """Ids of the rows of takes; each once, and as many as are counted."""
    batches = ledger.events.taken(takes)
    found = [name for batch in batches for name in batch.column("event_id").to_pylist()]
    assert len(found) == len(set(found)) == ledger.labels.taken(takes)
    return set(found)
