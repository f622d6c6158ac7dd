"""Change detection on the error stream: whether the model's errors have grown.

A window with few labels cannot accuse; many such windows in a row can. The stream is fed with
the means of batches of labelled rows, so it costs nothing a row.

Why Page-Hinkley and not ADWIN: ADWIN's bound has a term of the order 1 / (values fed), so on means
of batches it needs about as many *batches* as it would need rows. Page-Hinkley sums how far each
mean lies above the usual, in its own standard errors: what a batch says is not lost.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from tidemill.drift.findings import Finding
from tidemill.drift.performance.estimate import PerformanceModel
from tidemill.metrics import Figures, RegressionFigures, in_words
from tidemill.schema import Task

if TYPE_CHECKING:
    from river.drift import PageHinkley

__all__ = ["RISE", "Change", "ErrorStream", "error_of"]

RISE = 0.1
"""Growth of the mean error, as a share of it, that is worth a finding."""

_BATCH_ROWS = 50
_MOST_PARTS = 20
_KEPT = 1000
# A growth by one standard error of 50 rows is found after some 24 of them. By chance: measured
# four times in 12 million independent rows of which a tenth are errors.
_THRESHOLD, _ALLOWANCE = 12.0, 0.5
_ANCHOR = 30
_CLIP = 3.0


@dataclass(frozen=True, slots=True)
class Change:
    """The errors have grown, and have not come back since.

    Parameters
    ----------
    before, after : float
        Mean error until the change began, and since.
    rows : int
        Labelled rows since it began, as near as can be told.
    """

    before: float
    after: float
    rows: int

    @property
    def rise(self) -> float:
        """Growth as a share of the error before."""
        return self.after / self.before - 1.0 if self.before > 0 else math.inf

    def to_json(self) -> dict[str, Any]:
        """A JSON document of its fields."""
        return asdict(self)

    def finding(self, error: str = "mean error") -> Finding:
        """The change as a finding; flagged from a growth of a tenth on."""
        detail = (
            f"{in_words(error)} rose from {self.before:.4g} to {self.after:.4g} over the last "
            f"{self.rows:,} labelled rows"
        )
        return Finding(
            "change", "", "page_hinkley", self.rise, RISE, None, self.rise >= RISE, detail
        )


class _Batch(NamedTuple):
    rows: int
    mean: float
    deviation: float

    @classmethod
    def read(cls, values: Sequence[float]) -> Self:
        """Of a document; it had no deviations once."""
        rows, mean, *rest = values
        return cls(int(rows), float(mean), float(rest[0]) if rest else 0.0)

    def joined(self, other: Self) -> Self:
        """Both batches as one, as noisy as the noisier."""
        rows = self.rows + other.rows
        mean = (self.rows * self.mean + other.rows * other.mean) / rows
        return type(self)(rows, mean, max(self.deviation, other.deviation))


class ErrorStream:
    """Follows the mean error of labelled rows; a change stands until the errors come back.

    Errors: squared error of the probabilities for classifiers (the Brier score: bounded, and
    it notices both wrong answers and false confidence), absolute error for regression.

    Each batch counts by its distance from the held-out error in standard errors (noise of its
    rows, its own where that is larger, and spread of the held-out blocks), in parts of about 50
    rows, at most 20, clipped at three: a batch makes a change by as many rows, not by one. River's
    Page-Hinkley test sums what lies more than half a standard error above the running mean, which
    starts at the held-out error.

    Parameters
    ----------
    expected, noise, spread : float
        Mean error on held-out rows; its standard error on one row; its standard deviation
        between blocks beyond that. From :meth:`of`.

    Notes
    -----
    Deterministic: the state is a function of what was fed. At most 1,000 means are kept; then
    neighbours among the older half are joined. Memory O(1,000).

    >>> stream = ErrorStream(expected=0.1, noise=0.2, spread=0.0)
    >>> any(stream.feed(50, 0.1) for _ in range(20))
    False
    >>> found = [stream.feed(50, 0.25) for _ in range(8)]
    >>> next(i for i, change in enumerate(found) if change)
    5
    """

    def __init__(self, expected: float, noise: float, spread: float) -> None:
        self.expected, self.noise, self.spread = expected, noise, spread
        self._fed: list[_Batch] = []
        self._pending = _Batch(0, 0.0, 0.0)
        self._start()

    @classmethod
    def of(cls, quality: PerformanceModel) -> Self:
        """The stream of a champion that was just promoted; nothing is fed yet."""
        name = error_name(quality.task)
        return cls(
            quality.figures[name],
            quality.noise[name],
            quality.variation.spread_of(name, _BATCH_ROWS),
        )

    @property
    def change(self) -> Change | None:
        """The change that stands, if one does."""
        return None if self._began is None else self._told(self._began)

    def feed(self, rows: int, mean: float, deviation: float = 0.0) -> Change | None:
        """Take note of a batch; return the change if this batch proved it.

        Batches below 50 rows wait for more. A mean that is not finite is left out.

        Parameters
        ----------
        rows : int
        mean : float
            Mean error of the rows.
        deviation : float
            Its standard error on one of these rows. It counts where it is larger than that of
            the held-out rows: one wrong truth is no growth.
        """
        if rows <= 0 or not math.isfinite(mean):
            return None
        self._pending = self._pending.joined(_Batch(rows, float(mean), float(deviation)))
        if self._pending.rows < _BATCH_ROWS:
            return None
        stood = self._began is not None
        batch, self._pending = self._pending, _Batch(0, 0.0, 0.0)
        self._take(batch)
        if len(self._fed) > _KEPT:
            self._coarsen()
        return self.change if not stood else None

    def to_json(self) -> dict[str, Any]:
        """A JSON document: what was fed, to be replayed."""
        return {
            "expected": self.expected,
            "noise": self.noise,
            "spread": self.spread,
            "fed": [list(batch) for batch in self._fed],
            "pending": list(self._pending),
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote; the stream goes on as if it had never stopped."""
        stream = cls(document["expected"], document["noise"], document["spread"])
        stream._replay([_Batch.read(batch) for batch in document["fed"]])
        pending = document["pending"]
        if len(pending) == 2:  # rows and sum: before there were deviations
            pending = [pending[0], pending[1] / max(pending[0], 1)]
        stream._pending = _Batch.read(pending)
        return stream

    def _start(self) -> None:
        self._began: int | None = None
        self._down: PageHinkley | None = None
        self._watch()

    def _watch(self) -> None:
        """Look out for growth, from here on."""
        self._up = _page_hinkley("up", 0.0)
        self._sum, self._low_at, self._since = 0.0, len(self._fed), 0

    def _take(self, batch: _Batch) -> None:
        self._fed.append(batch)
        parts = max(1, min(batch.rows // _BATCH_ROWS, _MOST_PARTS))
        noise = max(self.noise, batch.deviation)
        error = math.hypot(noise / math.sqrt(batch.rows), self.spread)
        floor = 1e-9 * max(abs(self.expected), 1e-9)
        step = (batch.mean - self.expected) / (math.sqrt(parts) * max(error, floor))
        for _ in range(parts):
            self._step(min(max(step, -_CLIP), _CLIP))

    def _step(self, step: float) -> None:
        if self._down is not None:
            _update(self._down, step)
            if self._down.drift_detected:
                self._began = self._down = None
                self._watch()
            return
        self._sum, self._since = self._sum + step, self._since + 1
        _update(self._up, step)
        if self._up.drift_detected:
            self._began = min(self._low_at, len(self._fed) - 1)
            self._down = _page_hinkley("down", self._sum / self._since)
        elif self._sum < _ALLOWANCE * self._since:
            # Page's rule: where the sum falls below zero, the growth cannot have begun before.
            self._sum, self._low_at, self._since = 0.0, len(self._fed), 0

    def _told(self, began: int) -> Change:
        before, after = self._fed[:began], self._fed[began:]
        return Change(
            before=_mean(before) if before else self.expected,
            after=_mean(after),
            rows=sum(batch.rows for batch in after),
        )

    def _coarsen(self) -> None:
        old, new = self._fed[: _KEPT // 2], self._fed[_KEPT // 2 :]
        joined = [a.joined(b) for a, b in zip(old[::2], old[1::2], strict=True)]
        self._replay([*joined, *new])

    def _replay(self, fed: Sequence[_Batch]) -> None:
        self._fed = []
        self._start()
        for batch in fed:
            self._take(batch)


def error_of(figures: Figures) -> tuple[int, float, float]:
    """Rows, mean error and its deviation, for :meth:`ErrorStream.feed`.

    Squared error of the probabilities for classifiers, which is bounded (no deviation is told);
    absolute error for regression.
    """
    if not figures.count:
        return 0, math.nan, 0.0
    if isinstance(figures, RegressionFigures):
        mean = figures.absolute_error_sum / figures.count
        squares = figures.squared_error_sum / figures.count
        return figures.count, mean, math.sqrt(max(squares - mean * mean, 0.0))
    return figures.count, figures.squared_error_sum / figures.count, 0.0


def error_name(task: Task) -> str:
    """Name of the figure that the stream follows."""
    return "mae" if task is Task.REGRESSION else "brier"


def _mean(batches: Sequence[_Batch]) -> float:
    return sum(b.rows * b.mean for b in batches) / sum(b.rows for b in batches)


def _update(detector: PageHinkley, value: float) -> None:
    detector.update(value)  # type: ignore[no-untyped-call]


def _page_hinkley(mode: str, usual: float) -> PageHinkley:
    """River's test, its running mean started firmly at ``usual``."""
    from river.drift import PageHinkley

    detector = PageHinkley(min_instances=_ANCHOR, delta=_ALLOWANCE, threshold=_THRESHOLD, mode=mode)
    for _ in range(_ANCHOR):
        _update(detector, usual)
    return detector
