# ruff: noqa: S101 - these are tests
"""The folder: every stored row is in one window, once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tidemill.errors import ServiceUnavailable
from tidemill.ledger import Ledger, LeftOut, Request, event_folding, label_folding
from tidemill.ledger.fold_splitting import fold_halves
from tidemill.ledger.writer import Writer
from tidemill.testing.ledgers.opening import HOUR, MINUTE, NOW, Open, Opening
from tidemill.testing.traffic import (
    FIRST_MOMENT,
    CountingFolding,
    event_batch,
    label_batch,
    window_counts,
)

__all__ = ["FoldingContract"]


class FoldingContract(Opening):
    """The folder: every stored row is in one window, once."""

    def test_a_slow_fold_counts_once(self, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
        """A commit of the folder that outlasts a request's patience is waited for, not redone."""
        monkeypatch.setattr(Writer.call, "__kwdefaults__", {"timeout": 0.2})
        ledger = opened()
        with _stalled(monkeypatch, event_folding, "store_window_parts"):
            ledger.events.append(event_batch(["a", "b"], request=Request("s", "1", b"1")))
            ledger.events.append(event_batch(["a", "b", "c"]))
            ledger.events.append(event_batch(["a"]))
        ledger.settle()
        with _stalled(monkeypatch, label_folding, "store_label_parts"):
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
        parts = label_folding._parts
        landed: list[int] = []

        def landing(connection: Any, fold: Any, done: int, upto: int) -> Any:
            found = parts(connection, fold, done, upto)
            if not landed:
                landed.append(upto)
                label_folding.fold_labels(ledger._database, ledger._writer, fold, upto)
            return found

        monkeypatch.setattr(label_folding, "_parts", landing)
        ledger.labels.append(label_batch([("a", "yes"), ("b", "no")]))
        ledger.settle()
        assert landed == [2]
        _counted_once(ledger, rows=2, duplicates=0, labelled=2)

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
        with ledger._database.read() as connection:
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
        """A closed window takes no rows, and no labels of what came late; the others it does."""
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
        assert (window.rows, window.late_rows, window.labelled_rows) == (2, 1, 1)
        assert window_counts(ledger, "figures")[1, window.sequence] == {"rows": 1, "right": 1}
        assert ledger.left_out() == LeftOut(rows=0, labels=0, late_labels=1)
        learnt = [
            row["event_id"] for batch in ledger.events.labelled() for row in batch.to_pylist()
        ]
        assert learnt == ["a", "c"]

    def test_lateness_is_kept_with_the_rows(self, opened: Open) -> None:
        """Of a batch that is late in part, packed with others, opened again: row by row."""
        ledger = opened(fold_seconds=60)
        ledger.settle()
        ledger.events.append(event_batch(["first"]))
        ledger.settle()
        (window,) = ledger.windows.open()
        ledger.windows.close(window.id, NOW)
        ledger.events.append(event_batch(["in1"], at=FIRST_MOMENT + HOUR))
        ledger.events.append(event_batch(["late1", "late2", "in2"], step=30 * MINUTE))
        ledger.events.append(event_batch(["late3"]))
        ledger.settle()
        ids = ["first", "in1", "late1", "late2", "in2", "late3"]
        with ledger._database.read() as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM batches").scalar() == 2
        ledger.close()
        ledger = opened(fold_seconds=60)
        ledger.labels.append(label_batch([(name, "yes") for name in ids]))
        ledger.settle()
        assert ledger.left_out().late_labels == 3
        found = window_counts(ledger, "figures")
        assert {key[1] - window.sequence: n["rows"] for key, n in found.items()} == {0: 1, 1: 2}

    def test_a_request_says_which_events_it_sent_again(self, opened: Open) -> None:
        """With the time and place of each, of whatever version, also after opening again."""
        folding = _Listening()
        ledger = opened(folding=None)
        ledger.events.append(event_batch(["a", "b"], step=HOUR))
        ledger.events.append(event_batch(["c"], model_version=2, at=FIRST_MOMENT + 5 * HOUR))
        again = ["b", "new", "new", "c", "b"]
        ledger.events.append(event_batch(again, model_version=3, at=FIRST_MOMENT + 9 * HOUR))
        ledger.close()
        ledger = opened(folding=folding)
        ledger.settle()
        ledger.events.append(event_batch(["a", "x"], at=FIRST_MOMENT + 9 * HOUR))
        ledger.events.append(event_batch(["x"], at=FIRST_MOMENT + 9 * HOUR))
        ledger.settle()
        assert folding.heard == [(1, 1), (1, 1), (2, 5), (3, 9), (1, 0), (1, 9)]

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

    def test_a_bad_row_costs_one_row(self, opened: Open) -> None:
        """In one request: the rows beside it are folded, and what the request said besides."""
        ledger = opened(folding=_Picky(), fold_seconds=60)
        ledger.settle()
        ledger.events.append(event_batch(["first"]))
        ids = [f"e{i}" for i in range(40)]
        x = [13.0 if i in (7, 31) else 1.0 for i in range(40)]
        ledger.events.append(event_batch([*ids, "first"], x=[*x, 1.0], intake=b"n"))
        ledger.labels.append(label_batch([(i, "no" if i == "e9" else "yes") for i in ids]))
        ledger.settle()
        (counts,) = window_counts(ledger).values()
        (notes,) = window_counts(ledger, "intake").values()
        (figures,) = window_counts(ledger, "figures").values()
        assert (counts["rows"], counts["x"]) == (39, 39.0)
        assert (notes["duplicates"], notes["intake"]) == (1, ["n"])
        assert figures == {"rows": 39, "right": 39}
        assert ledger.left_out() == LeftOut(rows=2, labels=1)

    def test_rows_of_which_none_can_be_folded_are_given_up_in_time(self) -> None:
        """The calls are bounded: what is left is set aside whole, and counted."""
        found = fold_halves(lambda start, stop: [1 // (start * stop * 0)], 1000, max_calls=50)
        assert (found.parts, found.lost_rows) == ([], 1000)


class _Listening(CountingFolding):
    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple[int, int]] = []

    def events(self, stretch: Any) -> Any:
        for repeated in stretch.repeated:
            for version, rows in repeated:
                moments = rows["at"].to_pylist()
                hours = [(at - FIRST_MOMENT.replace(tzinfo=None)) // HOUR for at in moments]
                self.heard += [(version, hour) for hour in hours]
        return super().events(stretch)


class _Picky(CountingFolding):
    def events(self, stretch: Any) -> Any:
        if 13.0 in stretch.table["x"].to_pylist():
            raise ZeroDivisionError("13")
        return super().events(stretch)

    def labels(self, table: Any, model_version: int) -> Any:
        if "no" in table["truth"].to_pylist():
            raise ZeroDivisionError("no")
        return super().labels(table, model_version)


@contextmanager
def _stalled(patch: pytest.MonkeyPatch, module: Any, name: str) -> Iterator[None]:
    """The first call of a function that stores parts takes twice a caller's patience."""
    real, begun = getattr(module, name), threading.Event()

    def stall(commit: Any, parts: Any) -> Any:
        if not begun.is_set():
            begun.set()
            time.sleep(0.4)
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
