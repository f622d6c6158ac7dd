# ruff: noqa: S101 - these are tests
"""Labels: they find their events, whichever comes first."""

from __future__ import annotations

from tidemill.ledger import Request
from tidemill.testing.ledgers.opening import Open, Opening, rows_of
from tidemill.testing.traffic import event_batch, hold_writer, label_batch, window_counts

__all__ = ["LabelsContract"]


class LabelsContract(Opening):
    """Labels: they find their events, whichever comes first."""

    def test_labels_find_their_events(self, opened: Open) -> None:
        """Early, late, repeated and conflicting labels: the first truth stays, counted once."""
        ledger = opened()
        early = ledger.labels.append(label_batch([("b", "yes"), ("b", "yes"), ("b", "no")]))
        assert (early.pending, early.repeated, early.conflicts) == (1, 1, (2,))
        assert ledger.labels.pending() == 1
        ledger.events.append(event_batch(["a", "b"]))
        assert ledger.labels.pending() == 0
        late = ledger.labels.append(
            label_batch([("a", "no"), ("b", "yes"), ("a", "no"), ("b", "no"), ("z", "no")])
        )
        assert (late.matched, late.pending, late.repeated) == (1, 1, 2)
        assert late.conflicts == (3,)
        ledger.settle()
        (figures,) = window_counts(ledger, "figures").values()
        assert figures == {"rows": 2, "right": 1}
        assert [w.labelled_rows for w in ledger.windows.list()] == [2]
        ledger.close()
        ledger = opened()
        assert ledger.labels.pending() == 1
        assert ledger.labels.append(label_batch([("z", "yes")])).conflicts == (0,)
        ledger.events.append(event_batch(["z"]))
        assert ledger.labels.count() == 3

    def test_labels_and_events_that_cross_meet(self, opened: Open) -> None:
        """Labels that were looked up before their event was stored find it all the same."""
        ledger = opened(flush_ids=5)
        release = hold_writer(ledger)
        first = ledger.events.submit(event_batch([f"a{i}" for i in range(9)]))
        early = ledger.labels.submit(label_batch([("a1", "yes"), ("c1", "no")]))
        # Its group moves the first events from memory into a segment.
        second = ledger.events.submit(event_batch([f"c{i}" for i in range(9)]))
        later = ledger.labels.submit(label_batch([("a2", "yes"), ("a1", "no"), ("c1", "no")]))
        release.set()
        assert (first.result(30).accepted, second.result(30).accepted) == (9, 9)
        assert (early.result(30).matched, early.result(30).pending) == (1, 1)
        receipt = later.result(30)
        assert (receipt.matched, receipt.conflicts, receipt.repeated) == (1, (1,), 1)
        assert ledger.health().segments == 1
        assert [row["event_id"] for row in rows_of(ledger)] == ["a1", "a2", "c1"]

    def test_labels_find_events_in_segments(self, opened: Open) -> None:
        """The numbers of rows survive flushing, merging and packing."""
        ledger = opened(flush_ids=50)
        for batch in range(30):
            ids = [f"{batch}-{i}" for i in range(20)]
            ledger.events.append(event_batch(ids, x=[batch * 100 + i for i in range(20)]))
        ledger.settle()
        ledger._keeper.tidy()
        wanted = [(f"{batch}-{(batch * 7) % 20}", "yes") for batch in range(29, -1, -1)]
        assert ledger.labels.append(label_batch(wanted)).matched == 30
        rows = [row for batch in ledger.events.labelled() for row in batch.to_pylist()]
        assert [row["event_id"] for row in rows] == [name for name, _ in wanted[::-1]]
        assert [row["x"] for row in rows] == [b * 100 + (b * 7) % 20 for b in range(30)]

    def test_numbers_are_truths_too(self, opened: Open) -> None:
        """Truths of a regression are numbers, compared exactly."""
        ledger = opened()
        ledger.events.append(event_batch(["a", "b"]))
        assert ledger.labels.append(label_batch([("a", 0.1), ("b", 2.0)])).matched == 2
        again = ledger.labels.append(label_batch([("a", 0.1), ("b", 2.0000001)]))
        assert (again.repeated, again.conflicts) == (1, (1,))
        (batch,) = ledger.events.labelled()
        assert batch["truth"].to_pylist() == [0.1, 2.0]

    def test_labels_without_events_are_bounded(self, opened: Open) -> None:
        """Too many labels without events are refused row by row."""
        ledger = opened()
        ledger.labels.pending_limit = 3
        receipt = ledger.labels.append(label_batch([(f"e{i}", "yes") for i in range(5)]))
        assert (receipt.pending, receipt.refused) == (3, (3, 4))
        ledger.events.append(event_batch(["e0"]))
        assert ledger.labels.append(label_batch([("e4", "yes")])).pending == 1

    def test_label_requests_are_answered_again(self, opened: Open) -> None:
        """Idempotency keys hold for labels."""
        ledger = opened()
        request = Request("labels:1", "k", b"d", b"answer")
        ledger.events.append(event_batch(["a"]))
        first = ledger.labels.append(label_batch([("a", "x"), ("b", "y")], request))
        again = ledger.labels.append(label_batch([("a", "x"), ("b", "y")], request))
        assert (again.replayed, again.matched, again.pending) == (True, 1, 1)
        assert (first.replayed, first.answer) == (False, b"answer")

    def test_labelled_rows_are_the_same_twice(self, opened: Open) -> None:
        """Rows between two marks are a fixed set: nothing is learnt twice."""
        ledger = opened()
        ids = [f"e{i}" for i in range(100)]
        ledger.events.append(event_batch(ids[:50], x=range(50)))
        ledger.events.append(event_batch(ids[50:], model_version=2, x=range(50, 100)))
        ledger.labels.append(label_batch([(name, "yes") for name in ids[10:40]]))
        mark = ledger.labels.mark()
        before = rows_of(ledger, through=mark)
        ledger.labels.append(label_batch([(name, "no") for name in ids[60:20:-1]]))
        assert rows_of(ledger, through=mark) == before
        after = rows_of(ledger, after=mark)
        assert [row["event_id"] for row in before] == ids[10:40]
        assert [row["event_id"] for row in after] == ids[40:61]
        assert {row["truth"] for row in after} == {"no"}
        assert ledger.labels.count(after=mark) == len(after)
        assert [r["x"] for r in rows_of(ledger, model_version=2)] == list(range(50, 61))
        assert rows_of(ledger, batch_rows=7) == before + after
