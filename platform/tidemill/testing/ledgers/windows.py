# ruff: noqa: S101 - these are tests
"""Windows: listed in pages, judged, moved to files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidemill.ledger import FindingRow, PerformanceRow, RecordMissing, WindowKey
from tidemill.schema import Verdict
from tidemill.testing.ledgers.opening import HOUR, MINUTE, NOW, Open, Opening
from tidemill.testing.traffic import event_batch, label_batch

__all__ = ["WindowsContract"]


class WindowsContract(Opening):
    """Windows: listed in pages, judged, moved to files."""

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
            window.id, verdict=Verdict.HARMLESS_DRIFT, sentence="x moved", findings=first, at=NOW
        )
        assert ledger.windows.unjudged() == []
        assert [f.feature for f in ledger.findings.of(window.id, flagged=True)] == ["x"]
        assert str(ledger.findings.of(window.id)[1].value) == "nan"
        ledger.labels.append(label_batch([("a", "no")]))
        ledger.settle()
        assert [w.id for w in ledger.windows.unjudged()] == [window.id], "labels came"
        figures = [PerformanceRow("f1", 0.4, 0.5, 0.45, 0.55, 1)]
        judged = ledger.windows.judge(
            window.id,
            verdict=Verdict.CONFIRMED_HARM,
            sentence="f1 fell",
            findings=[_finding("zone", 0.1, True)],
            performance=figures,
            summary={"usual_rows": 2},
            at=NOW,
        )
        assert judged == ledger.windows.get(window.id)
        assert (judged.verdict, judged.findings_flagged) == (Verdict.CONFIRMED_HARM, 1)
        assert judged.performance == tuple(figures)
        assert judged.summary == {"usual_rows": 2}
        (point,) = ledger.findings.history("zone")
        assert (point.window_id, point.value, point.test) == (window.id, 0.1, "psi")
        assert [p.feature for p in ledger.findings.matrix("psi")] == ["zone"]
        assert ledger.findings.history("x") == []

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


def _finding(feature: str, value: float, flagged: bool) -> FindingRow:
    return FindingRow(0, "drift", feature, "psi", value, 0.2, None, flagged, f"{feature}: psi")
