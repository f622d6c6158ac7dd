# ruff: noqa: S101 - these are tests
"""What every store of the ledger must do: inherit :class:`LedgerContract`, supply ``url``."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tidemill.errors import Busy, DataRefused, ServiceUnavailable, UsageError
from tidemill.ledger import (
    Decision,
    DecisionOpen,
    EventBatch,
    FindingRow,
    IdempotencyConflict,
    Key,
    Ledger,
    LedgerInUse,
    NewMessage,
    Performance,
    QueueFull,
    RecordMissing,
    Request,
    Session,
    WindowKey,
    WrongState,
    back_off_seconds,
    folding,
    labelling,
)
from tidemill.ledger.writer import Writer
from tidemill.testing.traffic import (
    FIRST_MOMENT,
    CountingFolding,
    event_batch,
    hold_writer,
    label_batch,
    window_counts,
)

__all__ = ["LedgerContract", "fire_decision"]

Open = Callable[..., Ledger]
NOW = dt.datetime(2026, 6, 1, 12, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)
HOUR = dt.timedelta(hours=1)


@dataclass
class Clock:
    """A clock that stands until it is moved."""

    now: dt.datetime = NOW

    def __call__(self) -> dt.datetime:
        """The present."""
        return self.now


class LedgerContract:
    """The contract of ``tidemill.ledger.Ledger``, whatever the database.

    A subclass named ``Test...`` supplies a fixture ``url`` with the address of an empty store.
    """

    @pytest.fixture
    def clock(self) -> Clock:
        """The clock of the ledgers that ``opened`` opens."""
        return Clock()

    @pytest.fixture
    def opened(self, url: str, clock: Clock) -> Iterator[Open]:
        """Opens the store; what is still open at the end is closed."""
        ledgers: list[Ledger] = []

        def open_(**settings: Any) -> Ledger:
            given = {"folding": CountingFolding(), "fold_seconds": 0.01, "clock": clock}
            ledgers.append(Ledger.open(url, **{**given, **settings}))
            return ledgers[-1]

        yield open_
        for ledger in ledgers:
            ledger.close()

    # Events

    def test_an_id_is_stored_once(self, opened: Open) -> None:
        """Repeated within a batch, across batches and after reopening: the first counts."""
        ledger = opened()
        first = ledger.events.append(event_batch(["a", "b", "a", "c", "b"]))
        assert (first.accepted, first.duplicates, first.first_seq) == (3, (2, 4), 0)
        again = ledger.events.append(event_batch(["c", "d", "a"]))
        assert (again.accepted, again.duplicates, again.first_seq) == (1, (0, 2), 3)
        ledger.close()
        ledger = opened()
        third = ledger.events.append(event_batch(["d", "e"]))
        assert (third.accepted, third.duplicates) == (1, (0,))
        ledger.settle()
        rows = ledger.events.recent()
        assert rows is not None
        assert rows["event_id"].to_pylist() == ["a", "b", "c", "d", "e"]
        assert rows["position"].to_pylist() == [0, 1, 2, 3, 4]

    def test_ids_are_known_in_segments(self, opened: Open) -> None:
        """Ids that left memory, in small and merged segments, are duplicates; new ones are not."""
        ledger = opened(flush_ids=100, folding=None)
        for batch in range(40):
            ledger.events.append(event_batch([f"{batch}-{i}" for i in range(60)]))
        ledger._keeper.tidy()
        health = ledger.health()
        assert health.ids == 2400
        assert 1 <= health.segments < 10, "eight small segments become one"
        assert health.memory_ids < 200
        for batch in range(40):
            ids = [f"{batch}-{i}" for i in range(60)] + [f"new-{batch}"]
            receipt = ledger.events.append(event_batch(ids))
            assert receipt.duplicates == tuple(range(60))
        ledger.close()
        ledger = opened(flush_ids=100, folding=None)
        receipt = ledger.events.append(event_batch(["7-59", "39-0", "nobody"]))
        assert receipt.duplicates == (0, 1)

    def test_one_of_many_rivals_wins(self, opened: Open) -> None:
        """The same ids from eight threads at once are stored once."""
        ledger = opened()
        ids = [f"e{i}" for i in range(200)]
        with ThreadPoolExecutor(8) as pool:
            batches = [event_batch(ids) for _ in range(24)]
            receipts = list(pool.map(ledger.events.append, batches))
        assert sum(receipt.accepted for receipt in receipts) == 200
        assert sum(len(receipt.duplicates) for receipt in receipts) == 23 * 200
        ledger.settle()
        assert sum(counts["rows"] for counts in window_counts(ledger).values()) == 200

    def test_waiting_batches_share_a_commit(self, opened: Open) -> None:
        """What queues up while a commit is written is written together."""
        ledger = opened(folding=None)
        commits: list[frozenset[str]] = []
        ledger.on_commit(commits.append)
        release = hold_writer(ledger)
        futures = [ledger.events.submit(event_batch([f"e{i}"])) for i in range(50)]
        release.set()
        assert [future.result(30).first_seq for future in futures] == list(range(50))
        assert len([topics for topics in commits if "events" in topics]) == 1

    def test_a_slow_fold_counts_once(self, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
        """A commit of the folder that outlasts a request's patience is waited for, not redone."""
        monkeypatch.setattr(Writer.call, "__kwdefaults__", {"timeout": 0.2})
        ledger = opened()
        with _stalled(monkeypatch, folding, "store_window_parts"):
            ledger.events.append(event_batch(["a", "b"], request=Request("s", "1", b"1")))
            ledger.events.append(event_batch(["a", "b", "c"]))
            ledger.events.append(event_batch(["a"]))
        ledger.settle()
        with _stalled(monkeypatch, labelling, "store_label_parts"):
            ledger.labels.append(label_batch([("a", "yes"), ("b", "no")]))
        ledger.settle()
        _counted_once(ledger, rows=3, duplicates=3, labelled=2)

    def test_a_fold_of_unknown_end_counts_once(
        self, opened: Open, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where a commit landed and failed to say so, only what came since is folded."""
        ledger = opened(fold_seconds=0.2)
        wait, folder = ledger._writer.wait, ledger._folder
        failed: list[Any] = []
        assert folder is not None

        def lose(future: Any, timeout: float | None) -> Any:
            value = wait(future, timeout)
            if len(failed) < 4 and threading.current_thread() is folder._thread:
                failed.append(value)
                number = len(failed)
                ids = [f"n{number}", "a"] if number < 3 else ["a"]
                ledger.events.submit(event_batch(ids)).result(30)
                raise ServiceUnavailable("gone", remedy="again")
            return value

        monkeypatch.setattr(ledger._writer, "wait", lose)
        ledger.events.append(event_batch(["a", "b"]))
        ledger.events.append(event_batch(["a"]))
        ledger.labels.append(label_batch([("a", "yes"), ("b", "no")]))
        ledger.settle()
        ledger.settle()
        assert len(failed) == 4
        _counted_once(ledger, rows=4, duplicates=5, labelled=2)

    def test_labels_of_unknown_end_count_once(
        self, opened: Open, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The same for labels, where the folder read the mark before they landed."""
        ledger = opened()
        ledger.events.append(event_batch(["a", "b"]))
        ledger.settle()
        parts = labelling._parts
        landed: list[int] = []

        def landing(connection: Any, fold: Any, done: int, upto: int) -> Any:
            found = parts(connection, fold, done, upto)
            if not landed:
                landed.append(upto)
                labelling.fold_labels(ledger._store, ledger._writer, fold, upto)
            return found

        monkeypatch.setattr(labelling, "_parts", landing)
        ledger.labels.append(label_batch([("a", "yes"), ("b", "no")]))
        ledger.settle()
        assert landed == [2]
        _counted_once(ledger, rows=2, duplicates=0, labelled=2)

    @pytest.mark.parametrize("how", ["in python", "in the database"])
    def test_a_failing_batch_fails_alone(self, opened: Open, how: str) -> None:
        """Jobs of one commit that fail, however they do it, take no other with them."""
        ledger = opened(folding=None)
        ledger.events.append(event_batch(["a"], request=Request("s", "k", b"one")))
        release = hold_writer(ledger)
        good = [ledger.events.submit(event_batch([f"g{i}"])) for i in range(3)]
        conflict = ledger.events.submit(event_batch(["x"], request=Request("s", "k", b"two")))
        broken = ledger._writer.submit(_breaks if how == "in python" else _breaks_the_transaction)
        good += [ledger.events.submit(event_batch([f"h{i}"])) for i in range(3)]
        release.set()
        assert [future.result(30).accepted for future in good] == [1] * 6
        with pytest.raises(IdempotencyConflict):
            conflict.result(30)
        assert broken.exception(30) is not None
        assert ledger.notes.get("half") is None, "what a failed job wrote is gone"
        assert ledger.events.totals(NOW).rows == 7
        assert ledger.events.append(event_batch(["x", "g0"])).duplicates == (1,)

    def test_the_queue_is_bounded(self, opened: Open) -> None:
        """Beyond its bytes the ledger asks to come back, and takes the same again later."""
        ledger = opened(folding=None, queue_bytes=40_000)
        release = hold_writer(ledger)
        futures, refused = [], None
        for number in range(1000):
            try:
                futures.append(ledger.events.submit(event_batch([f"e{number}"])))
            except QueueFull as error:
                refused = (number, error)
                break
        assert refused is not None
        assert refused[1].retry_after >= 1
        assert ledger._writer.held_bytes <= 40_000
        release.set()
        assert [future.result(30).accepted for future in futures] == [1] * len(futures)
        assert ledger.events.append(event_batch([f"e{refused[0]}"])).accepted == 1

    def test_nobody_waits_for_ever(self, opened: Open) -> None:
        """After its timeout a caller is told to come back; what it gave up is not written."""
        ledger = opened(folding=None)
        release = hold_writer(ledger)
        with pytest.raises(Busy):
            ledger.events.append(event_batch(["late"]), timeout=0.05)
        release.set()
        assert ledger.events.append(event_batch(["late"])).accepted == 1

    @pytest.mark.parametrize("column", ["event_id", "at", "prediction"])
    def test_unfit_tables_are_refused(self, opened: Open, column: str) -> None:
        """A batch without its columns is refused before it reaches the store."""
        good = event_batch(["a"])
        bad = EventBatch(good.table.drop_columns([column]), 1)
        with pytest.raises(DataRefused, match=column):
            opened().events.append(bad)

    @pytest.mark.parametrize("micros", [-(2**63) + 1, 2**63 - 1])
    def test_impossible_times_are_refused(self, opened: Open, micros: int) -> None:
        """Times that no calendar has are refused by name, and no other batch suffers."""
        import pyarrow as pa

        ledger, good = opened(), event_batch(["a"])
        at = pa.array([micros], pa.timestamp("us"))
        with pytest.raises(DataRefused, match="'at'"):
            ledger.events.append(EventBatch(good.table.set_column(1, "at", at), 1))
        assert ledger.events.append(good).accepted == 1

    def test_requests_are_answered_again(self, opened: Open) -> None:
        """The same key and body gets the first answer, another body an error; also together."""
        ledger = opened()
        request = Request("events:7", "key-1", b"digest", b'{"errors": []}')
        first = ledger.events.append(event_batch(["a", "b", "a"], request=request))
        again = ledger.events.append(event_batch(["a", "b", "a"], request=request))
        assert (first.replayed, again.replayed) == (False, True)
        assert (again.accepted, again.duplicates, again.answer) == (2, (2,), b'{"errors": []}')
        other = Request("events:8", "key-1", b"digest")
        assert not ledger.events.append(event_batch(["c"], request=other)).replayed
        with pytest.raises(IdempotencyConflict):
            ledger.requests.find("events:7", "key-1", b"changed")
        stored = ledger.requests.find("events:7", "key-1", b"digest")
        assert stored is not None
        assert (stored.kind, stored.receipt()) == ("events", again)
        with ThreadPoolExecutor(8) as pool:
            mine = Request("events:7", "key-2", b"d")
            batches = [event_batch([f"r{i}"], request=mine) for i in range(8)]
            receipts = list(pool.map(ledger.events.append, batches))
        assert sum(not receipt.replayed for receipt in receipts) == 1
        assert ledger.events.totals(NOW).rows == 4

    def test_totals_and_recent_rows(self, opened: Open, clock: Clock) -> None:
        """Counts by time and version; the newest rows of a version, newest last."""
        ledger = opened()
        assert ledger.events.recent() is None
        ledger.events.append(event_batch(["a", "b"]))
        clock.now += dt.timedelta(minutes=30)
        ledger.events.append(event_batch(["c"], model_version=2))
        totals = ledger.events.totals(clock.now + MINUTE / 2)
        assert (totals.rows, totals.rows_last_hour, totals.rows_last_minute) == (3, 3, 1)
        assert totals.by_version == {1: 2, 2: 1}
        assert totals.last_received_at == clock.now
        assert ledger.events.totals(clock.now + 2 * HOUR).rows_last_hour == 0
        ledger.events.append(event_batch(["d", "e"], model_version=1))
        rows = ledger.events.recent(3, model_version=1)
        assert rows is not None
        assert rows["event_id"].to_pylist() == ["b", "d", "e"]

    # Windows

    def test_a_window_is_the_fold_of_its_parts(self, opened: Open) -> None:
        """Whatever the batches, every row is in exactly one window, in at most 64 parts."""
        ledger = opened(fold_seconds=0)
        for number in range(70):
            ids = [f"{number}-{i}" for i in range(3)]
            x = [number, 0.5, 1]
            ledger.events.append(event_batch(ids, step=40 * MINUTE, x=x))
            ledger.settle()
        counts = window_counts(ledger)
        assert [counts[key]["rows"] for key in sorted(counts)] == [140, 70]
        assert sum(found["x"] for found in counts.values()) == sum(range(70)) + 1.5 * 70
        for window in ledger.windows.list():
            assert len(ledger.windows.parts(window.id).profile) <= 64
            assert window.rows == counts[1, window.sequence]["rows"]

    def test_small_batches_are_packed(self, opened: Open) -> None:
        """Rows that were folded together lie together, under the numbers they had."""
        ledger = opened(fold_seconds=60)
        ledger.settle()  # what opening begins with is over
        for i in range(20):
            ledger.events.append(event_batch([f"e{i}"], x=[float(i)]))
        ledger.settle()
        with ledger._store.read() as connection:
            rows = connection.exec_driver_sql("SELECT first_seq, rows FROM batches").fetchall()
        assert [tuple(row) for row in rows] == [(0, 20)]
        ledger.labels.append(label_batch([("e7", "no"), ("e19", "yes")]))
        found = [row for batch in ledger.events.labelled() for row in batch.to_pylist()]
        assert [(row["event_id"], row["x"], row["truth"]) for row in found] == [
            ("e7", 7.0, "no"),
            ("e19", 19.0, "yes"),
        ]

    def test_what_was_not_folded_is_folded_after_reopening(self, opened: Open) -> None:
        """Rows and notes that an earlier process stored reach their windows once."""
        ledger = opened(folding=None)
        for number in range(5):
            ledger.events.append(event_batch([f"{number}-a", f"{number}-b"], intake=b"n"))
        ledger.events.append(event_batch(["0-a"]))
        ledger.events.append(event_batch([], intake=b"all refused"))
        ledger.labels.append(label_batch([("3-a", "yes")]))
        ledger.close()
        for _ in range(2):
            ledger = opened()
            ledger.settle()
            (counts,) = window_counts(ledger).values()
            (notes,) = window_counts(ledger, "intake").values()
            (figures,) = window_counts(ledger, "figures").values()
            assert counts["rows"] == 10
            assert notes == {"duplicates": 1, "intake": ["n"] * 5 + ["all refused"], "requests": 7}
            assert figures == {"rows": 1, "right": 1}
            ledger.close()

    def test_late_rows_are_counted_and_not_folded(self, opened: Open) -> None:
        """A closed window takes no rows; its labels are still folded."""
        ledger = opened()
        ledger.events.append(event_batch(["a", "b"]))
        ledger.settle()
        (window,) = ledger.windows.open()
        closed = ledger.windows.close(window.id, NOW)
        assert (closed.state, closed.closed_at) == ("closed", NOW)
        assert ledger.windows.close(window.id, NOW + HOUR).closed_at == NOW
        ledger.events.append(event_batch(["c"]))
        ledger.labels.append(label_batch([("a", "yes"), ("c", "no")]))
        ledger.settle()
        window = ledger.windows.get(window.id)
        assert (window.rows, window.late_rows, window.labelled_rows) == (2, 1, 2)
        assert window_counts(ledger, "figures")[1, window.sequence] == {"rows": 2, "right": 1}

    def test_rows_that_cannot_be_folded_are_set_aside(self, opened: Open) -> None:
        """One bad batch is stored, counted and in no window; the others are folded."""
        folding = _Picky()
        ledger = opened(folding=folding, fold_seconds=60)
        ledger.settle()
        for name in ("good", "poison", "better"):
            ledger.events.append(event_batch([name], x=[13.0 if name == "poison" else 1.0]))
        ledger.settle()
        assert [found["rows"] for found in window_counts(ledger).values()] == [2]
        assert ledger.health().set_aside_rows == 1
        assert ledger.events.append(event_batch(["poison"])).duplicates == (0,)

    def test_windows_are_listed_in_pages(self, opened: Open) -> None:
        """Newest first, page after page, by state, segment, version and verdict."""
        ledger = opened()
        ids = [f"e{i}" for i in range(10)]
        ledger.events.append(event_batch(ids, step=HOUR))
        ledger.events.append(event_batch(["other"], model_version=2))
        ledger.settle()
        seen, before = [], None
        while page := ledger.windows.list(limit=4, before=before):
            seen += page
            before = page[-1].id
        assert len(seen) == 11
        starts = [window.start for window in seen]
        assert starts == sorted(starts, reverse=True)
        assert [w.model_version for w in ledger.windows.list(model_version=2)] == [2]
        ledger.windows.close(seen[0].id, NOW)
        assert [w.id for w in ledger.windows.list(state="closed")] == [seen[0].id]
        assert ledger.windows.list(segment="zone=a") == []
        assert ledger.windows.find(seen[0].key) == ledger.windows.get(seen[0].id)
        assert ledger.windows.find(WindowKey(9, 9)) is None
        with pytest.raises(RecordMissing):
            ledger.windows.get(10_000)

    def test_judgements_replace_each_other(self, opened: Open) -> None:
        """Verdict, findings and figures of a window are those of the last judgement."""
        ledger = opened()
        ledger.events.append(event_batch(["a", "b"]))
        ledger.settle()
        (window,) = ledger.windows.list()
        assert ledger.windows.unjudged() == []
        ledger.windows.close(window.id, NOW)
        assert [w.id for w in ledger.windows.unjudged()] == [window.id]
        first = [_finding("x", 0.3, True), _finding("zone", float("nan"), False)]
        ledger.windows.judge(
            window.id, verdict="harmless drift", sentence="x moved", findings=first, at=NOW
        )
        assert ledger.windows.unjudged() == []
        assert [f.feature for f in ledger.findings.of(window.id, flagged=True)] == ["x"]
        assert str(ledger.findings.of(window.id)[1].value) == "nan"
        ledger.labels.append(label_batch([("a", "no")]))
        ledger.settle()
        assert [w.id for w in ledger.windows.unjudged()] == [window.id], "labels came"
        figures = [Performance("f1", 0.4, 0.5, 0.45, 0.55, 1)]
        judged = ledger.windows.judge(
            window.id,
            verdict="confirmed harm",
            sentence="f1 fell",
            findings=[_finding("zone", 0.1, True)],
            performance=figures,
            summary={"usual_rows": 2},
            at=NOW,
        )
        assert judged == ledger.windows.get(window.id)
        assert (judged.verdict, judged.findings_flagged) == ("confirmed harm", 1)
        assert judged.performance == tuple(figures)
        assert judged.summary == {"usual_rows": 2}
        (point,) = ledger.findings.history("zone")
        assert (point.window_id, point.value, point.test) == (window.id, 0.1, "psi")
        assert [p.feature for p in ledger.findings.matrix("psi")] == ["zone"]
        assert ledger.findings.history("x") == []

    # Labels

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
        assert [row["event_id"] for row in _rows(ledger)] == ["a1", "a2", "c1"]

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
        before = _rows(ledger, through=mark)
        ledger.labels.append(label_batch([(name, "no") for name in ids[60:20:-1]]))
        assert _rows(ledger, through=mark) == before
        after = _rows(ledger, after=mark)
        assert [row["event_id"] for row in before] == ids[10:40]
        assert [row["event_id"] for row in after] == ids[40:61]
        assert {row["truth"] for row in after} == {"no"}
        assert ledger.labels.count(after=mark) == len(after)
        assert [r["x"] for r in _rows(ledger, model_version=2)] == list(range(50, 61))
        assert _rows(ledger, batch_rows=7) == before + after

    # Alerts, decisions, outbox

    def test_one_incident_for_a_key(self, opened: Open) -> None:
        """Raised again it is counted, told once; resolved, the next is a new one."""
        ledger = opened(folding=None)
        told: dict[str, Any] = {
            "rule": "r",
            "severity": "warning",
            "title": "feed\x00broken",
            "at": NOW,
        }
        message = NewMessage("webhook", "ops", {"text": "broken"})
        with ThreadPoolExecutor(8) as pool:
            raised = list(
                pool.map(lambda _: ledger.alerts.raise_("k", **told, messages=[message]), range(16))
            )
        assert sum(new for _, new in raised) == 1
        alert = ledger.alerts.find_open("k")
        assert alert is not None
        assert (alert.count, alert.state, alert.title) == (16, "open", "feed\ufffdbroken")
        assert ledger.outbox.counts()["pending"] == 1
        seen = ledger.alerts.acknowledge(alert.id, note="looking", at=NOW + MINUTE)
        assert (seen.state, seen.acknowledged_at) == ("acknowledged", NOW + MINUTE)
        assert ledger.alerts.open_count() == 1
        over = ledger.alerts.resolve_key("k", at=NOW + HOUR, messages=[message])
        assert over is not None
        assert (over.state, over.note) == ("resolved", "looking")
        assert ledger.alerts.resolve_key("k", at=NOW) is None
        with pytest.raises(WrongState):
            ledger.alerts.resolve(alert.id, at=NOW)
        with pytest.raises(WrongState):
            ledger.alerts.acknowledge(alert.id, at=NOW)
        again, new = ledger.alerts.raise_("k", **told, detail={"n": 2})
        assert new
        assert again.id != alert.id
        assert [a.id for a in ledger.alerts.list(state="open")] == [again.id]
        assert [a.id for a in ledger.alerts.list(before=again.id)] == [alert.id]

    def test_one_open_decision_for_a_champion(self, opened: Open) -> None:
        """However many ask at once, one decision fires, with its message in the same commit."""
        ledger = opened(folding=None)

        def fire(_: int) -> bool:
            try:
                fire_decision(ledger)
            except DecisionOpen as error:
                return error.decision_id != 1
            return True

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(fire, range(24))) == 1
        (decision,) = ledger.decisions.list()
        assert (decision.state, decision.attempt, decision.open) == ("approved", 1, True)
        (message,) = ledger.outbox.list()
        assert (message.key, message.payload) == ("1-1", {"decision_id": 1, "attempt": 1})
        assert fire_decision(ledger, champion_version=4).open
        assert not fire_decision(ledger, action="suppress").open, "these are recorded and closed"

    def test_open_decisions_are_all_listed(self, opened: Open) -> None:
        """Those without an end, oldest first, of every model or of one, however many."""
        ledger = opened(folding=None)
        asked = [fire_decision(ledger, champion_version=n, needs_approval=True) for n in range(60)]
        other = fire_decision(ledger, model="fares")
        fire_decision(ledger, action="hold")
        ledger.decisions.reject(asked[7].id, at=NOW)
        still = [decision.id for decision in asked if decision is not asked[7]]
        assert [d.id for d in ledger.decisions.open_ones("rides")] == still
        assert [d.id for d in ledger.decisions.open_ones()] == [*still, other.id]
        assert ledger.decisions.open_ones("none") == []

    def test_decision_and_message_commit_together(self, opened: Open) -> None:
        """Where the message cannot be made there is no decision either."""
        ledger = opened(folding=None)

        def broken(_: Decision) -> NewMessage:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fire_decision(ledger, message=broken)
        assert ledger.decisions.list() == []
        assert fire_decision(ledger).id >= 1

    def test_a_decision_goes_its_way(self, opened: Open) -> None:
        """Approved, launched, started, failed, tried again, finished; each report counts once."""
        ledger = opened(folding=None)
        asked = fire_decision(ledger, needs_approval=True)
        assert asked.state == "awaiting approval"
        assert ledger.outbox.list() == []
        approved = ledger.decisions.approve(asked.id, note="go", at=NOW, message=_to_prefect)
        assert (approved.state, approved.note) == ("approved", "go")
        with pytest.raises(WrongState):
            ledger.decisions.approve(asked.id, at=NOW, message=_to_prefect)
        assert len(ledger.outbox.list()) == 1
        run: dict[str, Any] = {"flow_run_id": "r1", "flow_run_url": "http://prefect/r1"}
        assert ledger.decisions.launched(asked.id, attempt=1, at=NOW, **run).flow_run_id == "r1"
        report = ledger.decisions.report
        assert report(asked.id, attempt=1, state="started", at=NOW).state == "started"
        failed = report(asked.id, attempt=1, state="failed", at=NOW, outcome={"why": "oom"})
        assert (failed.state, failed.outcome, failed.open) == ("failed", {"why": "oom"}, False)
        again = ledger.decisions.retry(asked.id, at=NOW, message=_to_prefect)
        assert (again.state, again.attempt, again.open) == ("approved", 2, True)
        assert {m.key for m in ledger.outbox.list()} == {f"{asked.id}-1", f"{asked.id}-2"}
        with pytest.raises(WrongState, match="superseded"):
            report(asked.id, attempt=1, state="finished", at=NOW)
        done: dict[str, Any] = {
            "attempt": 2,
            "state": "finished",
            "challenger_version": 8,
            "promoted": True,
        }
        finished = report(asked.id, at=NOW + HOUR, **done)
        assert (finished.challenger_version, finished.promoted) == (8, True)
        assert finished.closed_at == NOW + HOUR
        assert report(asked.id, at=NOW + 2 * HOUR, **done) == finished
        with pytest.raises(WrongState):
            report(asked.id, attempt=2, state="started", at=NOW)
        assert ledger.decisions.current("rides", 3) is None
        assert [d.id for d in ledger.decisions.past("rides", NOW - HOUR)] == [asked.id]

    def test_rejected_and_given_up(self, opened: Open) -> None:
        """Both are ends; what has failed is not tried again beside an open one."""
        ledger = opened(folding=None)
        first = fire_decision(ledger, needs_approval=True)
        assert ledger.decisions.reject(first.id, note="no", at=NOW).state == "rejected"
        second = fire_decision(ledger)
        assert ledger.decisions.fail(second.id, outcome={"dead": True}, at=NOW).state == "failed"
        third = fire_decision(ledger)
        with pytest.raises(DecisionOpen):
            ledger.decisions.retry(second.id, at=NOW)
        with pytest.raises(WrongState):
            ledger.decisions.retry(first.id, at=NOW)
        assert ledger.decisions.current("rides", 3) == third
        with pytest.raises(RecordMissing):
            ledger.decisions.get(99)

    def test_messages_are_leased(self, opened: Open) -> None:
        """One worker has a message until its lease ends; then another may, and the first not."""
        ledger = opened(folding=None)
        ledger.outbox.add(NewMessage("prefect", "p", {}, key="1-1"), at=NOW)
        assert ledger.outbox.add(NewMessage("prefect", "p", {}, key="1-1"), at=NOW) is None
        ledger.outbox.add(NewMessage("webhook", "w", {}, due_at=NOW + HOUR), at=NOW)
        with ThreadPoolExecutor(6) as pool:
            claims = list(pool.map(lambda _: ledger.outbox.claim(at=NOW), range(12)))
        (message,) = [message for claim in claims for message in claim]
        assert (message.attempts, message.state) == (1, "leased")
        assert ledger.outbox.claim(at=NOW + MINUTE / 2) == []
        (later,) = ledger.outbox.claim(at=NOW + 2 * MINUTE, kinds=["prefect"])
        assert (later.id, later.attempts) == (message.id, 2)
        assert not ledger.outbox.finish(message, at=NOW), "its lease is lost"
        assert ledger.outbox.finish(later, at=NOW)
        assert ledger.outbox.get(message.id).state == "done"
        assert ledger.outbox.counts() == {"pending": 1, "leased": 0, "done": 1, "dead": 0}

    def test_messages_back_off_and_die(self, opened: Open) -> None:
        """Each failure waits longer, with jitter; the last is dead until it is replayed."""
        ledger = opened(folding=None)
        ledger.outbox.add(NewMessage("webhook", "w", {"n": 1}, max_attempts=3), at=NOW)
        at = NOW
        for attempt in (1, 2, 3):
            (message,) = ledger.outbox.claim(at=at)
            failed = ledger.outbox.fail(message, error="HTTP 500", at=at)
            waits = (failed.due_at - at).total_seconds()
            assert waits == pytest.approx(back_off_seconds(message.id, attempt), abs=1e-5)
            assert 2**attempt / 2 <= waits <= 2**attempt
            at += dt.timedelta(hours=2)
        assert (failed.state, failed.last_error) == ("dead", "HTTP 500")
        assert ledger.outbox.claim(at=at) == []
        assert ledger.outbox.replay(at=at) == 1
        (message,) = ledger.outbox.claim(at=at)
        assert ledger.outbox.fail(message, error="gone", at=at, permanent=True).state == "dead"
        assert ledger.outbox.replay([12345], at=at) == 0

    # Keys and notes

    def test_keys_sessions_and_notes(self, opened: Open) -> None:
        """What lets people in survives reopening, and ends when it should."""
        ledger = opened()
        key = ledger.keys.add(Key("k1", b"\x00digest", ("ingest", "read"), "app", NOW))
        ledger.sessions.add(Session(b"cookie", "k1", "csrf", NOW, NOW + HOUR))
        ledger.notes.put_many({"a/b": {"x": [1, None]}, "a/c": 2, "d": "half \ud83d"}, NOW)
        ledger.notes.put("a/c", 3, NOW)
        ledger.keys.touch("k1", NOW + MINUTE)
        ledger.close()
        ledger = opened()
        stored = ledger.keys.get("k1")
        assert stored is not None
        assert (stored.digest, stored.scopes) == (key.digest, key.scopes)
        assert stored.last_used_at == NOW + MINUTE
        assert ledger.keys.get("k2") is None
        assert ledger.sessions.get(b"cookie", NOW) is not None
        assert ledger.sessions.get(b"cookie", NOW + HOUR) is None
        assert ledger.notes.get("a/b") == {"x": [1, None]}
        assert ledger.notes.get("d") == "half ?"
        assert ledger.notes.keys("a/") == ["a/b", "a/c"]
        ledger.notes.delete("a/b")
        assert ledger.notes.get("a/b") is None
        assert ledger.keys.revoke("k1", NOW)
        assert not ledger.keys.revoke("k1", NOW)
        assert ledger.keys.count() == 0
        assert ledger.sessions.get(b"cookie", NOW) is None, "a revoked key's sessions end"

    # Care

    def test_pruning_forgets_old_rows_only(self, opened: Open, clock: Clock) -> None:
        """Old events, their labels and ids go; windows, totals and newer rows stay."""
        ledger = opened(flush_ids=20)
        ledger.events.append(event_batch([f"old{i}" for i in range(30)]))
        ledger.labels.append(label_batch([("old1", "yes"), ("never", "no")]))
        clock.now += 10 * HOUR
        ledger.events.append(event_batch([f"new{i}" for i in range(30)], at=FIRST_MOMENT + HOUR))
        ledger.labels.append(label_batch([("new2", "no")]))
        ledger.settle()
        ledger.events.append(event_batch(["one more"], at=FIRST_MOMENT + HOUR))
        ledger.settle()
        pruned = ledger.prune(clock.now - HOUR)
        assert (pruned.rows, pruned.labels, pruned.pending) == (30, 1, 1), pruned
        assert ledger.prune(clock.now - HOUR).rows == 0
        assert [row["event_id"] for row in _rows(ledger)] == ["new2"]
        assert ledger.events.totals(clock.now).rows == 61
        assert [counts["rows"] for counts in window_counts(ledger).values()] == [31, 30]
        receipt = ledger.labels.append(label_batch([("new3", "yes"), ("old5", "yes")]))
        assert receipt.matched == 1
        assert receipt.pending + len(receipt.expired) == 1
        assert ledger.events.append(event_batch(["new4", "one more"])).duplicates == (0, 1)

    def test_windows_move_to_parquet(self, opened: Open, tmp_path: Path) -> None:
        """The file holds the window's rows with the truths that are known; again: the same."""
        import pyarrow.parquet as pq

        ledger = opened()
        ids = [f"e{i}" for i in range(12)]
        ledger.events.append(event_batch(ids, step=10 * MINUTE, x=range(12)))
        ledger.labels.append(label_batch([("e2", "yes"), ("e8", "no")]))
        ledger.settle()
        later, first = ledger.windows.list()
        address = ledger.windows.archive(first.id, str(tmp_path / "archive"))
        assert ledger.windows.get(first.id).archived_url == address
        path = Path(address.removeprefix("file://"))
        table = pq.read_table(path)
        assert table["event_id"].to_pylist() == ids[:6]
        assert table["x"].to_pylist() == [float(i) for i in range(6)]
        assert table["truth"].to_pylist() == [None, None, "yes", None, None, None]
        assert ledger.windows.archive(first.id, (tmp_path / "archive").as_uri()) == address
        ledger.windows.archive(later.id, str(tmp_path / "archive"))
        assert len(list(tmp_path.rglob("*.parquet"))) == 2
        assert list(tmp_path.rglob("*.part")) == []

    def test_a_second_writer_is_refused(self, opened: Open, url: str) -> None:
        """One writes; others may read, and take over when it has gone."""
        ledger = opened()
        ledger.events.append(event_batch(["a"]))
        with pytest.raises(LedgerInUse):
            opened()
        with Ledger.open(url, writable=False) as reader:
            assert reader.events.totals(NOW).rows == 1
            with pytest.raises(UsageError):
                reader.notes.put("x", 1, NOW)
        ledger.close()
        with pytest.raises(Busy):
            ledger.notes.put("x", 1, NOW)
        assert opened().events.append(event_batch(["a"])).duplicates == (0,)

    def test_those_who_listen_hear_what_changed(self, opened: Open) -> None:
        """Every commit names its topics, until nobody listens any more."""
        ledger = opened()
        heard: list[frozenset[str]] = []
        end = ledger.on_commit(heard.append)
        ledger.events.append(event_batch(["a"]))
        ledger.alerts.raise_("k", rule="r", severity="info", title="t", at=NOW)
        ledger.settle()
        assert {"events", "alerts", "windows"} <= frozenset().union(*heard)
        end()
        heard.clear()
        ledger.notes.put("x", 1, NOW)
        assert heard == []


class _Picky(CountingFolding):
    def events(self, stretch: Any) -> Any:
        if 13.0 in stretch.table["x"].to_pylist():
            raise ZeroDivisionError("13")
        return super().events(stretch)


@contextmanager
def _stalled(patch: pytest.MonkeyPatch, module: Any, name: str) -> Iterator[None]:
    """The first call of a function that stores parts takes a second and a half."""
    real, begun = getattr(module, name), threading.Event()

    def stall(commit: Any, parts: Any) -> Any:
        if not begun.is_set():
            begun.set()
            time.sleep(1.5)
        return real(commit, parts)

    patch.setattr(module, name, stall)
    yield
    assert begun.wait(30)


def _counted_once(ledger: Ledger, *, rows: int, duplicates: int, labelled: int) -> None:
    (window,) = ledger.windows.list()
    (profile,) = window_counts(ledger).values()
    (intake,) = window_counts(ledger, "intake").values()
    (figures,) = window_counts(ledger, "figures").values()
    assert ledger.events.totals(NOW).rows == rows
    assert (window.rows, profile["rows"], intake["duplicates"]) == (rows, rows, duplicates)
    assert (window.labelled_rows, figures["rows"]) == (labelled, labelled)


def _breaks(commit: Any) -> None:
    commit.connection.exec_driver_sql(
        "INSERT INTO notes (key, value, updated_at) VALUES ('half', '1', 0)"
    )
    raise ZeroDivisionError


def _breaks_the_transaction(commit: Any) -> None:
    commit.connection.exec_driver_sql(
        "INSERT INTO notes (key, value, updated_at) VALUES ('half', '1', 0)"
    )
    commit.connection.exec_driver_sql("SELECT * FROM no_such_table")


def _rows(ledger: Ledger, **limits: Any) -> list[dict[str, Any]]:
    return [row for batch in ledger.events.labelled(**limits) for row in batch.to_pylist()]


def _finding(feature: str, value: float, flagged: bool) -> FindingRow:
    return FindingRow(0, "drift", feature, "psi", value, 0.2, None, flagged, f"{feature}: psi")


def _to_prefect(decision: Decision) -> NewMessage:
    return NewMessage(
        "prefect",
        "retrain-on-drift",
        {"decision_id": decision.id, "attempt": decision.attempt},
        key=f"{decision.id}-{decision.attempt}",
    )


def fire_decision(ledger: Ledger, **changes: Any) -> Decision:
    """Open a decision that fires, with a message to the orchestrator."""
    given = {
        "model": "rides",
        "champion_version": 3,
        "reason": "confirmed harm in 2 of 3 windows",
        "evidence": {"windows": [1, 2]},
        "at": NOW,
        "message": _to_prefect,
    }
    return ledger.decisions.open(**{**given, **changes})
