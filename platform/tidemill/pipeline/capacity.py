"""What a table of a size costs: hours of workers and of the driver, requests to a store apart."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from tidemill.errors import UsageError
from tidemill.learners import DISTRIBUTED, LEARNERS, SHARD_ENSEMBLE, strategies_of
from tidemill.storage import inputs_a_piece, most_opens

__all__ = ["MEASURED", "Capacity", "StageNeed", "StageRate", "TableRates", "capacity_for"]

_STAGES = ("ingest", "shard", "reduce", "train", "evaluate", "refit")
_SPREAD = frozenset({"averaged", SHARD_ENSEMBLE, DISTRIBUTED})
"""Strategies whose fits are items of the engine."""
_ONE_CORE = frozenset({"incremental"})
"""Strategies whose steps each begin where the one before ended: a second core is of no use."""
_PART = 8 << 20
"""Bytes that one request of an upload sends."""


@dataclass(frozen=True, slots=True)
class StageRate:
    """What a stage costs, as it was measured.

    Parameters
    ----------
    cpu_seconds : float
        Of one core, a million rows.
    reads, writes : (float, float)
        Requests a source file, and a shard; opens of pieces and parts of uploads are counted apart.
    sent_bytes : float
        To the store, a row.
    """

    cpu_seconds: float
    reads: tuple[float, float] = (0.0, 0.0)
    writes: tuple[float, float] = (0.0, 0.0)
    sent_bytes: float = 0.0


@dataclass(frozen=True, slots=True)
class TableRates:
    """What was measured of a kind of table.

    Parameters
    ----------
    source_bytes, shard_bytes, piece_bytes : float
        A row, in the source, in its shard, and in the piece between.
    features : int
    manifest_bytes : float
        A shard, of what the workspace holds of it and reads whole.
    stages : mapping of str to StageRate
        By the names of :data:`tidemill.pipeline.STAGES`; ``LEARNER train`` and ``LEARNER refit``
        are those stages with that learner.
    """

    source_bytes: float
    shard_bytes: float
    piece_bytes: float
    features: int
    manifest_bytes: float
    stages: Mapping[str, StageRate]


MEASURED = TableRates(
    source_bytes=195.5,
    shard_bytes=58.4,
    piece_bytes=168.0,
    features=30,
    manifest_bytes=821,
    stages={
        "ingest": StageRate(9.4, (30.2, 0.0), (12.0, 0.0), 90.0),
        "shard": StageRate(4.1, (20.0, 30.8), (4.0, 10.0), 231.0),
        "reduce": StageRate(1.1, (0.0, 1.9)),
        "lightgbm train": StageRate(23.3, (0.0, 7.8), (0.0, 4.5), 150.0),
        "sgd train": StageRate(5.0, (0.0, 7.8), (0.0, 4.5), 150.0),
        "evaluate": StageRate(6.9, (0.0, 6.4), (0.0, 1.8)),
        "lightgbm refit": StageRate(25.8, (0.0, 9.5), (0.0, 6.0), 150.0),
        "sgd refit": StageRate(6.4, (0.0, 9.5), (0.0, 6.0), 150.0),
    },
)
"""Of the sample (33 columns of CSV): what benchmarks/capacity.py found."""


@dataclass(frozen=True, slots=True)
class StageNeed:
    """A stage's share: CPU hours, hours on the clock, requests; on the driver or the workers."""

    stage: str
    cpu_hours: float
    hours: float
    reads: int
    writes: int
    driver: bool


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a run needs.

    Parameters
    ----------
    rows, shards, files : int
    opens : int
        Of pieces, at most; among the reads of ``shard``.
    piece_bytes : int
        Of the largest piece, which waits on the disk of the worker that writes it.
    manifest_bytes : int
        What the driver reads whole.
    fit_bytes : int
        What the learner's fit holds beside a block: in the driver, or in each worker where it is
        spread.
    stages : tuple of StageNeed
    """

    rows: int
    files: int
    shards: int
    opens: int
    piece_bytes: int
    manifest_bytes: int
    fit_bytes: int
    stages: tuple[StageNeed, ...]

    @property
    def hours(self) -> float:
        """On the clock, one stage after the other."""
        return sum(one.hours for one in self.stages)

    @property
    def reads(self) -> int:
        """Requests that read."""
        return sum(one.reads for one in self.stages)

    @property
    def writes(self) -> int:
        """Requests that write, copy, list or delete."""
        return sum(one.writes for one in self.stages)


def capacity_for(
    source_bytes: int,
    *,
    files: int,
    workers: int,
    driver_cores: int,
    shard_mb: int = 128,
    learner: str = "lightgbm",
    strategy: str = "boosted",
    rates: TableRates = MEASURED,
) -> Capacity:
    """Reckon what the main job needs for a source, without a search.

    Parameters
    ----------
    source_bytes : int
        Of all its files, uncompressed.
    files : int
        Each is read by one worker.
    workers : int
        Processes of one core each.
    driver_cores : int
        Cores for the fit; one is used by ``incremental``, whose steps follow each other.
    shard_mb : int
        ``sharding.shard_mb``.
    learner, strategy : str
        As in ``training``; ``rates`` has the learner's stages.

    Raises
    ------
    UsageError
        If a number is not positive, the learner was not measured, or lacks the strategy.

    Notes
    -----
    Every stage is taken to grow with rows, files and shards as it was measured, and to spread
    over workers without loss; no more workers are of use than a stage has files or shards. A fit
    that is spread is taken to cost what the learner's fit on one machine costs, which is the
    driver's, with the passes that prepare it; ``distributed`` has a rank in each worker.
    """
    counts = {"files": files, "workers": workers, "driver_cores": driver_cores}
    _check_counts({"source_bytes": source_bytes, **counts, "shard_mb": shard_mb})
    _check_learner(learner, strategy, rates)
    rows = max(1, round(source_bytes / rates.source_bytes))
    shards = math.ceil(rows * rates.shard_bytes / (shard_mb << 20))
    opens = most_opens(files, shards)
    fit_cores = 1 if strategy in _ONE_CORE else driver_cores
    parts = 1
    if strategy in _SPREAD:
        parts = min(workers, shards) if strategy == DISTRIBUTED else shards

    def need(stage: str) -> StageNeed:
        name = f"{learner} {stage}" if stage in ("train", "refit") else stage
        rate = rates.stages[name]
        cpu_hours = rows / 1e6 * rate.cpu_seconds / 3600
        at_once = min(workers, files if stage == "ingest" else shards)
        driver = name != stage and strategy not in _SPREAD
        reads, writes = (
            files * a_file + shards * a_shard for a_file, a_shard in (rate.reads, rate.writes)
        )
        return StageNeed(
            stage,
            cpu_hours,
            cpu_hours / (fit_cores if driver else at_once),
            round(reads) + (opens if stage == "shard" else 0),
            round(writes + rows * rate.sent_bytes / _PART),
            driver,
        )

    return Capacity(
        rows=rows,
        files=files,
        shards=shards,
        opens=opens,
        piece_bytes=round(rows * rates.piece_bytes / files * inputs_a_piece(files)),
        manifest_bytes=round(shards * rates.manifest_bytes),
        fit_bytes=LEARNERS[learner]().needed_bytes(strategy, -(-rows // parts), rates.features, 1),
        stages=tuple(map(need, _STAGES)),
    )


def _check_counts(counts: Mapping[str, int]) -> None:
    for name, count in counts.items():
        if count < 1:
            raise UsageError(
                f"{name} is {count}, and nothing can be reckoned of that",
                remedy=f"give {name} a number of at least 1",
                **{name: count},
            )


def _check_learner(learner: str, strategy: str, rates: TableRates) -> None:
    """Before anything is reckoned; a learner that is known need not have been measured."""
    measured = sorted(name.removesuffix(" train") for name in rates.stages if " train" in name)
    if learner not in measured:
        raise UsageError(
            f"what {learner!r} costs was not measured",
            remedy=f"name one of: {', '.join(measured)}; or give rates with the stages "
            f"'{learner} train' and '{learner} refit'",
            learner=learner,
            available=tuple(measured),
        )
    if strategy not in (able := strategies_of(learner)):
        raise UsageError(
            f"{learner} has no strategy {strategy!r}",
            remedy=f"name one of: {', '.join(able)}",
            strategy=strategy,
            available=able,
        )
