"""What a refit on all rows is worth: rolling origins on the dated sets, ``full`` beside ``none``.

A set is a row of pieces in time. At each origin a fresh workspace learns the pieces before it, with
the default's hold-out (the newest fifth, and a tenth of the rest for validation) and few trials.
Both models that it leaves are scored on the pieces that come next, which neither ever saw: the
judged one is what ``training.refit: none`` serves, the serving one what ``full`` does. The pair
differs in nothing else. The figures do not depend on how busy the machine is; the seconds are
those of the CPU, of the stage ``refit`` alone.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from benchmarks.table import Line, line
from sklearn.pipeline import Pipeline

from tidemill.config import load_params
from tidemill.contracts import Engine
from tidemill.drafting import init_workspace
from tidemill.engines import LocalEngine
from tidemill.features import encode_target
from tidemill.ingestion import list_source, read_split
from tidemill.learning import predict_scores
from tidemill.metrics import HIGHER_IS_BETTER, figures_of, in_words
from tidemill.pipeline import Quiet, run_stage
from tidemill.profiling import fold
from tidemill.schema import TableSchema
from tidemill.settings import Settings
from tidemill.storage import Workspace
from tidemill.tracking import open_candidate

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
TRIALS = 4
WORKERS = int(os.environ.get("TIDEMILL_BENCH_WORKERS") or os.cpu_count() or 1)
STAGES = ("look", "ingest", "shard", "reduce", "tune", "train", "refit")
"""What makes both models: evaluate and register would only tell of them."""

Figures = dict[str, float]


@dataclass(frozen=True)
class Dated:
    """A set in time.

    Parameters
    ----------
    pieces : callable
        From the unpacked archive to files in the order of time.
    first, step : int
        Pieces before the first origin; pieces from one to the next, which are what is scored.
    metric : str
        The set's figure, by which is tuned.
    aims : mapping
        Per figure that is told the mean gain and the share of better origins aimed at: what such
        pairs gave outside tidemill; where nothing is known, no loss and one half.
    ranges : mapping
        Columns' least and largest values: rows beyond are refused, before and after the origin.
    """

    name: str
    archive: str
    pieces: Callable[[Path], Sequence[Path]]
    first: int
    step: int
    target: str
    metric: str
    aims: dict[str, tuple[float, float]]
    settings: tuple[str, ...]
    time: str | None = None
    key: str | None = None
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)


def _elec2(folder: Path) -> Sequence[Path]:
    """Twentieths of the half-hours: its date is normalised, its order is that of time."""
    header, *rows = (folder / "elec2" / "elec2.csv").read_text().splitlines(keepends=True)
    places = [folder / "pieces" / f"{i:02d}.csv" for i in range(20)]
    if not places[0].parent.exists():
        places[0].parent.mkdir()
        for i, place in enumerate(places):
            part = rows[len(rows) * i // 20 : len(rows) * (i + 1) // 20]
            place.write_text("".join([header, *part]))
    return places


def _days(folder: Path) -> Sequence[Path]:
    return sorted(folder.glob("fraud_daily/daily_parquet/*.parquet"))


def _months(folder: Path) -> Sequence[Path]:
    return sorted(folder.glob("taxi_yellow/raw/*.csv"))


_WINDOWS = ("CUSTOMER_ID", "TERMINAL_ID")
SETS = (
    # date and nswprice give the answer away.
    Dated(
        "elec2",
        "elec2.tar.gz",
        _elec2,
        first=10,
        step=1,
        target="class",
        metric="roc_auc",
        aims={"roc_auc": (0.803 - 0.735, 9 / 10)},
        settings=("dataset.drop=[date, nswprice]", "sharding.holdout.by=order"),
    ),
    # The counts of 7 and 30 days grow while the simulation warms up, and would name the day.
    Dated(
        "fraud",
        "fraud_daily_d000_044.tar",
        _days,
        first=30,
        step=3,
        target="TX_FRAUD",
        metric="average_precision",
        aims={"average_precision": (0.0, 1 / 2), "roc_auc": (0.897 - 0.884, 4 / 5)},
        time="TX_DATETIME",
        key="TRANSACTION_ID",
        settings=(
            "dataset.drop=[TX_FRAUD_SCENARIO, CUSTOMER_ID, TERMINAL_ID, "
            "TX_TIME_SECONDS, TX_TIME_DAYS, "
            + ", ".join(f"{who}_NB_TX_{d}DAY_WINDOW" for who in _WINDOWS for d in (7, 30))
            + "]",
            *(
                f"dataset.derive.TIMES_{d}DAY_AVERAGE="
                f"TX_AMOUNT / nullif(CUSTOMER_ID_AVG_AMOUNT_{d}DAY_WINDOW, 0)"
                for d in (7, 30)
            ),
        ),
    ),
    # Whatever is known only when the ride is over is left out.
    Dated(
        "taxi",
        "taxi_yellow_2018_2019.tar.gz",
        _months,
        first=6,
        step=1,
        target="minutes",
        metric="r2",
        aims={"r2": (0.0, 1 / 2)},
        time="pickup_datetime",
        settings=(
            "dataset.derive.minutes=date_diff('second', pickup_datetime, dropoff_datetime) / 60",
            "dataset.drop=[dropoff_datetime, fare_amount, extra, mta_tax, tip_amount, "
            "tolls_amount, improvement_surcharge, total_amount, congestion_surcharge]",
            "dataset.types={vendor_id: categorical, rate_code_id: categorical, "
            "payment_type: categorical, pickup_location_id: categorical, "
            "dropoff_location_id: categorical}",
        ),
        ranges={"minutes": (1.0, 180.0), "trip_distance": (0.01, 100.0)},
    ),
)


def measure(folder: Path) -> dict[str, Any]:
    """Every origin of every set; those that stand in ``folder`` already are not run again."""
    jobs = [(dated, origin) for dated in SETS for origin in _origins(dated, folder / dated.name)]
    with ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as pool:
        found = list(pool.map(_measure_origin, *zip(*jobs, strict=True), repeat(folder)))
    of = {dated.name: [one for one in found if one["set"] == dated.name] for dated in SETS}
    return {
        "trials": TRIALS,
        "cpu_seconds": sum(one["cpu_seconds"] for one in found),
        "sets": {dated.name: _summary(dated, of[dated.name]) for dated in SETS},
    }


def lines(found: dict[str, Any]) -> list[Line]:
    """The lines of the table."""
    told = []
    for dated in SETS:
        summary = found["sets"][dated.name]
        of = len(summary["origins"])
        for name, (gain, wins) in dated.aims.items():
            measured, what = summary["figures"][name], f"{dated.name}: {in_words(name)}"
            told += [
                line(f"{what}, full less none", measured["gain"], gain, least=True),
                line(f"  better, of {of} origins", measured["wins"], wins * of, least=True),
            ]
    return told


def _origins(dated: Dated, place: Path) -> range:
    """Unpack the set; the pieces before each of its origins."""
    place.mkdir(exist_ok=True)
    with tarfile.open(DATA / dated.archive) as archive:
        archive.extractall(place, filter="data")
    return range(dated.first, len(dated.pieces(place)) - dated.step + 1, dated.step)


def _measure_origin(dated: Dated, origin: int, folder: Path) -> dict[str, Any]:
    place = folder / dated.name
    receipt = place / f"found-{origin:02d}.json"
    if not receipt.exists():
        work = place / f"origin-{origin:02d}"
        shutil.rmtree(work, ignore_errors=True)
        pieces = dated.pieces(place)
        _link(pieces[:origin], work / "before")
        _link(pieces[origin : origin + dated.step], work / "next")
        # One store a process: to make one costs more than most of the stages.
        settings = Settings(
            workers=1, MLFLOW_TRACKING_URI=f"sqlite:///{folder / f'mlflow-{os.getpid()}.db'}"
        )
        with LocalEngine(1) as engine:
            found = _pair(dated, work, settings, engine)
        receipt.write_text(json.dumps({"set": dated.name, "origin": pieces[origin].stem} | found))
        shutil.rmtree(work)
    return dict(json.loads(receipt.read_text()))


def _link(pieces: Sequence[Path], folder: Path) -> None:
    folder.mkdir(parents=True)
    for piece in pieces:
        os.link(piece, folder / piece.name)


def _pair(dated: Dated, work: Path, settings: Settings, engine: Engine) -> dict[str, Any]:
    """Both models of one origin on the same rows."""
    workspace = Workspace.at(work / "workspace")
    assignments = [f"dataset.name={dated.name}", f"tuning.trials={TRIALS}", *dated.settings]
    assignments += [f"{section}.metric={dated.metric}" for section in ("tuning", "evaluation")]
    init_workspace(
        workspace,
        source=str(work / "before"),
        target=dated.target,
        time=dated.time,
        key=dated.key,
        assignments=assignments,
        engine=engine,
    )
    _decide(workspace, dated.ranges)
    seconds, facts = {}, {}
    for stage in STAGES:
        started = time.process_time()
        run = run_stage(stage, workspace, settings=settings, engine=engine, observer=Quiet())
        seconds[stage], facts[stage] = time.process_time() - started, run.result.facts
    left = open_candidate(workspace.serving / "model")
    schema = TableSchema.from_json(left.metadata["schema"])
    rows = pa.concat_tables(_rows(workspace, work / "next", schema, dated.ranges, engine))
    return {
        "rows_next": rows.num_rows,
        "rows_learnt": {"none": facts["train"]["rows"], "full": facts["refit"]["rows"]},
        "rounds": {"none": facts["train"]["iterations"], "full": facts["refit"]["iterations"]},
        "none": _figures(left.judged, rows, schema),
        "full": _figures(left.pipeline, rows, schema),
        "refit_cpu_seconds": seconds["refit"],
        "cpu_seconds": sum(seconds.values()),
    }


def _decide(workspace: Workspace, ranges: dict[str, tuple[float, float]]) -> None:
    """Add ranges to the drafted suite, as a user would by hand."""
    path = workspace.root / "expectations" / "suite.json"
    suite = json.loads(path.read_text())
    suite["expectations"] += [
        {
            "type": "expect_column_values_to_be_between",
            "kwargs": {"column": column, "min_value": low, "max_value": high},
            "severity": "critical",
        }
        for column, (low, high) in ranges.items()
    ]
    path.write_text(json.dumps(suite))


def _rows(
    workspace: Workspace,
    source: Path,
    schema: TableSchema,
    ranges: dict[str, tuple[float, float]],
    engine: Engine,
) -> Iterator[pa.Table]:
    """The rows that came next, read as the models read theirs."""
    dataset = load_params(workspace.root).dataset.model_copy(update={"source": str(source)})
    listing = list_source(dataset, workspace.root, engine)
    for split in listing.splits:
        for batch in read_split(split, schema, dataset, listing, workspace.root, batch_rows=65_536):
            kept = pc.is_valid(batch.table[schema.target.name])
            for column, (low, high) in ranges.items():
                value = batch.table[column]
                inside = pc.and_(pc.greater_equal(value, low), pc.less_equal(value, high))
                kept = pc.and_(kept, pc.fill_null(inside, True))
            yield batch.table.filter(kept)


def _figures(pipeline: Pipeline, rows: pa.Table, schema: TableSchema) -> Figures:
    reducer, learner = pipeline[0], pipeline[-1]
    partials = [
        figures_of(
            schema.task,
            predict_scores(learner, reducer.transform(block), schema.task),
            encode_target(block[schema.target.name], schema),
            classes=schema.classes,
            edges=schema.target.edges,
        )
        for block in (rows[at : at + 65_536] for at in range(0, rows.num_rows, 65_536))
    ]
    return dict(fold(partials).values())


def _summary(dated: Dated, origins: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over the origins, and the mean of the paired differences, each figure its own way."""
    figures = {
        name: _paired(
            name, [one["none"][name] for one in origins], [one["full"][name] for one in origins]
        )
        for name in origins[0]["none"]
        if name in HIGHER_IS_BETTER
    }
    return {
        "metric": dated.metric,
        "figures": figures,
        "refit_cpu_seconds": statistics.mean(one["refit_cpu_seconds"] for one in origins),
        "origins": origins,
    }


def _paired(name: str, none: list[float], full: list[float]) -> dict[str, float]:
    sign = 1 if HIGHER_IS_BETTER[name] else -1
    gains = [sign * (b - a) for a, b in zip(none, full, strict=True)]
    return {
        "none": statistics.mean(none),
        "full": statistics.mean(full),
        "gain": statistics.mean(gains),
        "gain_sd": statistics.stdev(gains) if len(gains) > 1 else 0.0,
        "wins": sum(gain > 0 for gain in gains),
    }
