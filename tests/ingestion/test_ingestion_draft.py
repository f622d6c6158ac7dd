"""The drafted suite: Great Expectations accepts it, and it does not refuse its own data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa

from tidemill.ingestion.checks.batch_view import BatchView
from tidemill.ingestion.checks.gx_session import GxSession
from tidemill.ingestion.checks.row_verdicts import judge
from tidemill.ingestion.checks.scan_plan import compile_plan
from tidemill.ingestion.checks.suite import read_suite
from tidemill.ingestion.first_look.number_spread import spreads_of
from tidemill.ingestion.first_look.suite_draft import draft_suite
from tidemill.ingestion.sources.batches import ParsedBatch
from tidemill.profiling import Profile
from tidemill.schema import Column, ColumnType, Purpose, TableSchema, Task

EDGES = tuple(float(e) for e in range(5, 200, 10))
SCHEMA = TableSchema(
    (
        Column("ride", ColumnType.CATEGORICAL, Purpose.KEY, "string"),
        Column("start", ColumnType.DATETIME, Purpose.TIME, "timestamp[us]"),
        Column("zone", ColumnType.CATEGORICAL, Purpose.FEATURE, "dictionary"),
        Column("distance", ColumnType.NUMERIC, Purpose.FEATURE, "float32", EDGES),
        Column("shared", ColumnType.BOOLEAN, Purpose.FEATURE, "bool"),
        Column("fare", ColumnType.NUMERIC, Purpose.TARGET, "float64", EDGES),
    ),
    Task.REGRESSION,
)


def table(fares: np.ndarray) -> pa.Table:
    n = len(fares)
    columns = [
        pa.array([f"R{i}" for i in range(n)]),
        pa.array(np.datetime64("2024-01-01", "us") + np.arange(n)),
        pa.array(np.array(["north", "south"])[np.arange(n) % 2]).dictionary_encode(),
        pa.array(np.linspace(0, 150, n).astype(np.float32)),
        pa.array(np.arange(n) % 3 == 0),
        pa.array(fares),
    ]
    return pa.table(columns, schema=SCHEMA.arrow_schema())


def judged(document: dict, rows: pa.Table) -> dict[str, int]:
    plan = compile_plan(read_suite(document), SCHEMA)
    batch = ParsedBatch(rows, np.arange(rows.num_rows), {}, ())
    verdict = judge(batch, BatchView(rows), plan, SCHEMA, 0)
    return {reason: len(indices) for reason, indices in verdict.findings}


def test_a_draft_is_accepted_and_meets_its_own_data() -> None:
    """No row that the profile saw is invalid, and Great Expectations takes every expectation."""
    rows = table(np.linspace(3, 180, 1000))
    document = draft_suite(SCHEMA, Profile.of(rows, SCHEMA))
    assert judged(document, rows) == {}
    GxSession(read_suite(document), SCHEMA)


def test_an_impossible_target_is_quarantined_by_the_draft() -> None:
    """Targets far beyond the middle of the profiled rows decide, on both sides."""
    rows = table(np.linspace(3, 180, 1000))
    document = draft_suite(SCHEMA, Profile.of(rows, SCHEMA))
    wild = np.linspace(3, 180, 1000)
    wild[[5, 6]] = [-4.0, 429_490.2]
    (reason,) = judged(document, table(wild))
    assert reason.startswith("fare is not between 0 and")
    assert judged(document, table(wild))[reason] == 2


def test_a_feature_that_was_nearly_constant_may_move_later() -> None:
    """Long tails, new signs and ten times larger values of features are no errors."""
    rows = table(np.linspace(3, 180, 1000))
    quiet = np.full(1000, 0.003, np.float32) + np.linspace(0, 1e-3, 1000, dtype=np.float32)
    quiet[7] = 0.5
    for seen, later in ((quiet, 40.0), (np.linspace(2, 30, 1000), -12.0), (quiet + 1, 0.0)):
        profiled = _with_distances(rows, seen)
        document = draft_suite(SCHEMA, Profile.of(profiled, SCHEMA))
        moved = np.array(seen, np.float32)
        moved[-1] = later
        assert judged(document, _with_distances(rows, moved)) == {}


def test_a_feature_far_beyond_all_that_was_seen_is_quarantined_by_the_draft() -> None:
    """A sentinel in a column without long tails decides the row."""
    rows = table(np.linspace(3, 180, 1000))
    document = draft_suite(SCHEMA, Profile.of(rows, SCHEMA))
    wild = np.linspace(0, 150, 1000)
    wild[3] = 999_999
    [(reason, count)] = judged(document, _with_distances(rows, wild)).items()
    assert reason.startswith("distance is not between")
    assert count == 1


def _with_distances(rows: pa.Table, distances: np.ndarray) -> pa.Table:
    at = rows.column_names.index("distance")
    return rows.set_column(at, SCHEMA.arrow_schema().field(at), pa.array(distances, pa.float32()))


def test_a_bound_that_no_float64_holds_is_left_out() -> None:
    """Of a column that a sentinel as large as can be fills by a tenth: the data pass, both ways."""
    largest = np.finfo(float).max
    plain = np.linspace(3, 180, 1000)
    kinds = {
        "none": plain,
        "upper": np.where(np.arange(1000) % 10 == 0, largest, plain),
        "lower": np.where(np.arange(1000) % 10 == 0, -largest, plain),
        "both": np.where(np.arange(1000) % 2 == 0, -largest, largest),
        "least": np.where(np.arange(1000) % 3 == 0, 5e-324, 0.0),
    }
    bounds = {}
    for kind, fares in kinds.items():
        rows = table(fares)
        edges = spreads_of({"fare": rows["fare"].combine_chunks()}, {"fare": 19})["fare"].edges
        assert np.isfinite(edges).all()
        columns = [*SCHEMA.columns[:-1], replace(SCHEMA.target, edges=edges)]
        schema = replace(SCHEMA, columns=tuple(columns))
        document = draft_suite(schema, Profile.of(rows, schema))
        assert judged(document, rows) == {}
        ranges = [
            one["kwargs"]
            for one in document["expectations"]
            if one["kwargs"].get("column") == "fare" and "between" in one["type"]
        ]
        bounds[kind] = [sorted(one.keys() - {"column"}) for one in ranges]
    whole = [["max_value", "min_value"]]
    assert bounds == {
        "none": whole,
        "upper": [["min_value"]],
        "lower": [],
        "both": [],
        "least": whole,
    }
