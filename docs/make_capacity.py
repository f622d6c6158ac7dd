"""Writes the tables of docs/capacity.md: ``python docs/make_capacity.py``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tidemill.pipeline.capacity import Capacity, capacity_for

PAGE = Path(__file__).resolve().parent / "capacity.md"
_MADE = re.compile(
    r"(<!-- made by docs/make_capacity.py -->\n\n).*?(\n\n<!-- until here -->)", re.S
)
TB = 10**12
FITS = (
    ("lightgbm", "boosted"),
    ("lightgbm", "shard_ensemble"),
    ("sgd", "incremental"),
    ("sgd", "averaged"),
)


@dataclass(frozen=True)
class Case:
    """A source and the machines for it."""

    name: str
    source_bytes: int
    files: int
    workers: int
    driver_cores: int
    shard_mb: int

    def need(
        self, learner: str = "sgd", strategy: str = "averaged", shard_mb: int | None = None
    ) -> Capacity:
        """What it needs, with other fits and shards too."""
        return capacity_for(
            self.source_bytes,
            files=self.files,
            workers=self.workers,
            driver_cores=self.driver_cores,
            shard_mb=shard_mb or self.shard_mb,
            learner=learner,
            strategy=strategy,
        )


CASES = (
    Case("1 TB", TB, 4_000, 16, 16, 128),
    Case("100 TB", 100 * TB, 100_000, 256, 64, 1024),
)


def page(text: str) -> str:
    """The page's text with its tables as they are now."""
    return _MADE.sub(lambda found: found[1] + tables() + found[2], text)


def tables() -> str:
    """All of them, in Markdown."""
    return "\n\n".join([_source(), *map(_stages, CASES), _shards(), _fits()])


def _source() -> str:
    rows = [
        f"| {case.name} | {case.need().rows / 1e9:,.1f} | {case.files:,} of "
        f"{case.source_bytes / case.files / 1e6:,.0f} MB | {case.workers} | {case.driver_cores} | "
        f"{case.shard_mb:,} | {case.need().shards:,} |"
        for case in CASES
    ]
    head = "| source | rows, billions | files | workers | cores of the driver | shard_mb | shards |"
    return "\n".join([head, "|---|---|---|---|---|---|---|", *rows])


def _stages(case: Case) -> str:
    need = case.need()
    rows = [
        f"| {one.stage} | {'driver' if one.driver else 'workers'} | {one.cpu_hours:,.1f} | "
        f"{one.hours:,.1f} | {one.reads / 1e6:,.2f} | {one.writes / 1e6:,.2f} |"
        for one in need.stages
    ]
    total = sum(one.cpu_hours for one in need.stages)
    rows.append(
        f"| all | | {total:,.0f} | {need.hours:,.1f} | {need.reads / 1e6:,.2f} | "
        f"{need.writes / 1e6:,.2f} |"
    )
    head = f"| {case.name} | on | CPU hours | hours | reads, millions | writes, millions |"
    return "\n".join([head, "|---|---|---|---|---|---|", *rows])


def _shards() -> str:
    rows = []
    for case in CASES:
        for shard_mb in (128, 512, 1024):
            need = case.need(shard_mb=shard_mb)
            figures = (need.opens, need.reads, need.writes)
            millions = " | ".join(f"{one / 1e6:,.1f}" for one in figures)
            rows.append(
                f"| {case.name} | {shard_mb:,} | {need.shards:,} | "
                f"{need.manifest_bytes / 1e6:,.1f} | {millions} | {need.piece_bytes / 1e9:,.0f} |"
            )
    head = "| source | shard_mb | shards | manifests, MB | opens of pieces, millions "
    head += "| reads, millions | writes, millions | a piece, GB |"
    return "\n".join([head, "|---|---|---|---|---|---|---|---|", *rows])


def _fits() -> str:
    rows = []
    for case in CASES:
        for learner, strategy in FITS:
            need = case.need(learner, strategy)
            fits = [one for one in need.stages if one.stage in ("train", "refit")]
            where = "the driver" if fits[0].driver else "each worker"
            rows.append(
                f"| {case.name} | {learner} | {strategy} | {where} | "
                f"{_memory(need.fit_bytes)} | {sum(one.cpu_hours for one in fits):,.0f} | "
                f"{sum(one.hours for one in fits):,.1f} |"
            )
    head = "| source | learner | strategy | memory is of | memory | CPU hours, train and refit "
    head += "| hours |"
    return "\n".join([head, "|---|---|---|---|---|---|---|", *rows])


def _memory(fit_bytes: int) -> str:
    """Beside the block that each fit holds: nothing to speak of, or so many GB."""
    return "one block" if fit_bytes < 1e6 else f"{fit_bytes / 1e9:,.2f} GB"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
