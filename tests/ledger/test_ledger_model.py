"""Any order of events, labels, crashes and reopenings gives what a plain dict gives."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tidemill.ledger import Ledger
from tidemill.testing.traffic import (
    CountingFolding,
    empty_store,
    event_batch,
    hold_writer,
    label_batch,
    window_counts,
)

IDS = st.integers(0, 60).map(lambda n: f"e{n}")
BATCHES = st.lists(st.lists(IDS, max_size=12), min_size=1, max_size=4)
LABELS = st.lists(st.tuples(IDS, st.sampled_from(["yes", "no"])), max_size=10)


class LedgerMachine(RuleBasedStateMachine):
    """A ledger of small segments beside a dict of events, labels and labels that wait."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        (self.folder / "ledger.db").write_bytes(empty_store())
        self.copies = 0
        self.events: dict[str, int] = {}
        self.labels: dict[str, str] = {}
        self.pending: dict[str, str] = {}
        self.open()

    def open(self) -> None:
        # Folding runs when it is asked for: a crash leaves rows that are not folded.
        self.ledger = Ledger.open(
            f"sqlite:///{self.folder / 'ledger.db'}",
            folding=CountingFolding(),
            fold_seconds=3600,
            fold_rows=10**9,
            flush_ids=7,
        )

    @rule(batches=BATCHES, version=st.integers(1, 2))
    def append_together(self, batches: list[list[str]], version: int) -> None:
        """Batches that share a commit: each sees those before it."""
        release = hold_writer(self.ledger)
        futures = [
            self.ledger.events.submit(event_batch(ids, model_version=version)) for ids in batches
        ]
        release.set()
        for ids, future in zip(batches, futures, strict=True):
            duplicates = []
            for row, name in enumerate(ids):
                if name in self.events:
                    duplicates.append(row)
                    continue
                self.events[name] = version
                if name in self.pending:
                    self.labels[name] = self.pending.pop(name)
            receipt = future.result(30)
            assert receipt.duplicates == tuple(duplicates)
            assert receipt.accepted == len(ids) - len(duplicates)

    @rule(labels=LABELS)
    def label(self, labels: list[tuple[str, str]]) -> None:
        """Labels of events that came, that come later, and that were labelled before."""
        matched, pending, repeated, conflicts = 0, 0, 0, []
        for row, (name, truth) in enumerate(labels):
            known = self.labels.get(name, self.pending.get(name))
            if known is not None:
                repeated += known == truth
                conflicts += [row] if known != truth else []
            elif name in self.events:
                self.labels[name] = truth
                matched += 1
            else:
                self.pending[name] = truth
                pending += 1
        receipt = self.ledger.labels.append(label_batch(labels))
        assert (receipt.matched, receipt.pending) == (matched, pending)
        assert (receipt.repeated, receipt.conflicts) == (repeated, tuple(conflicts))

    @rule()
    def fold(self) -> None:
        self.ledger.settle()

    @rule()
    def tidy(self) -> None:
        self.ledger._keeper.tidy()

    @rule()
    def reopen(self) -> None:
        self.ledger.close()
        self.open()

    @rule()
    def crash(self) -> None:
        """What is on the disk at this moment is all that the next process finds."""
        self.copies += 1
        copy = self.folder.with_name(f"{self.folder.name}-{self.copies}")
        copy.mkdir()
        for suffix in ("", "-wal"):
            shutil.copy(f"{self.folder / 'ledger.db'}{suffix}", copy)
        self.ledger.close()
        shutil.rmtree(self.folder)
        self.folder = copy
        self.open()

    @invariant()
    def labels_wait(self) -> None:
        if hasattr(self, "ledger"):
            assert self.ledger.labels.pending() == len(self.pending)

    def teardown(self) -> None:
        if not hasattr(self, "ledger"):
            return
        try:
            self.compare()
        finally:
            self.ledger.close()
            shutil.rmtree(self.folder)

    def compare(self) -> None:
        self.ledger.settle()
        counts = window_counts(self.ledger)
        assert sum(found["rows"] for found in counts.values()) == len(self.events)
        for (version, _), found in counts.items():
            assert found["rows"] == list(self.events.values()).count(version)
        figures = window_counts(self.ledger, "figures").values()
        assert sum(found["rows"] for found in figures) == len(self.labels)
        assert sum(found["right"] for found in figures) == list(self.labels.values()).count("yes")
        rows = [row for batch in self.ledger.events.labelled() for row in batch.to_pylist()]
        assert {row["event_id"]: row["truth"] for row in rows} == self.labels
        assert len(rows) == len(self.labels)
        names = [row["event_id"] for row in rows]
        assert names == [name for name in self.events if name in self.labels]


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(
    max_examples=settings.default.max_examples // 8,
    stateful_step_count=14,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
