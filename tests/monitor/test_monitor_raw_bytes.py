"""Raw bytes that no JSON library would send, and requests made up from the OpenAPI: no 5xx."""

from __future__ import annotations

import json
import math

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tidemill_monitor.intake import ARROW, JSON, NDJSON

SLOW = pytest.mark.slow
TIME = "requested_at"
PATHS = {"/v1/predict": "records", "/v1/events": "events", "/v1/labels": "labels"}

CELLS = [
    b"NaN",
    b"-NaN",
    b"Infinity",
    b"-Infinity",
    b"1e999",
    b"-1e999",
    b"1e-999",
    b"-0",
    b"00",
    b"0x10",
    b"1_000",
    b"9" * 400,
    b"9" * 5000,
    b"9223372036854775808",
    b"1.7976931348623157e308",
    b"3.5e38",
    b'"\\ud800"',
    b'"\\udfff\\ud800"',
    b'"\\u0000"',
    b'"\xed\xa0\x80"',
    b'"\xff"',
    b'"\xc0\x80"',
    b'"' + b"x" * 70_000 + b'"',
    b'"\\u202e\\ufeff"',
    b"null",
    b"true",
    b"{}",
    b"[]",
    b'{"":{"":{}}}',
    b"[" * 600 + b"]" * 600,
    b'"2026-13-45T99:99:99Z"',
    b'"0000-00-00"',
    b'"+292277026596-12-04T15:30:07Z"',
    b'"1e10"',
    b"",
    b"undefined",
    b"'x'",
    b"\x00",
]
FIELDS = ["event_id", "at", "prediction", "score", "model_version", "truth"]


def bodies() -> list[bytes]:
    """Whole bodies that are damaged in themselves."""
    return [
        b"",
        b"\x00",
        b"\xff\xfe\x00",
        b"\xef\xbb\xbf{}",
        b"{",
        b"}",
        b"[" * 10_000,
        b'{"a":' * 5_000,
        b"null",
        b"1e999",
        b"NaN",
        b'"\\ud800"',
        b'{"events": 1, "records": 1, "labels": 1}',
        b'{"\\ud800": 1}',
        b'{"records": null}',
        b'{"records": [null, 1, "x", [], {}]}',
        b'{"events": [null, 1, "x", [], {}]}',
        b'{"labels": [null, 1, "x", [], {}]}',
        b'{"records": [{"features": {}}], "records": [{"features": {}}]}',
        b'{"records": [{"features": {"\\ud800": 1, "' + b"x" * 3000 + b'": 2}}]}',
        b'{"labels": [{"event_id": "a", "truth": "1", "\\u0000": 1}]}',
    ]


def with_cell(record: dict, field: str, cell: bytes) -> bytes:
    """The JSON of a record with raw bytes in the place of one value."""
    mark = "@@here@@"
    changed = json.loads(json.dumps(record))
    place = changed if field in FIELDS else changed["features"]
    place[field] = mark
    return json.dumps(changed).encode().replace(f'"{mark}"'.encode(), cell)


def refused_well(answer) -> bool:
    """Success, or a problem of the client's with a code."""
    if answer.status_code < 300:
        return True
    problem = json.loads(answer.content)
    return 400 <= answer.status_code < 500 and bool(problem["code"])


@pytest.mark.parametrize("kind", [JSON, NDJSON, ARROW])
@pytest.mark.parametrize("path", PATHS)
def test_damaged_bodies_are_never_5xx(shared, path, kind):
    """As JSON, as lines, as an Arrow stream."""
    for content in bodies():
        answer = shared.post(path, content=content, headers={"Content-Type": kind})
        assert refused_well(answer), (content[:60], answer.status_code, answer.text)


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/v1/predict", ("distance_km", "is_airport")),
        pytest.param("/v1/predict", ("event_id", "at", "pickup_zone", TIME), marks=SLOW),
        ("/v1/events", ("at", "prediction", "score")),
        pytest.param("/v1/events", ("event_id", "model_version"), marks=SLOW),
        ("/v1/labels", ("event_id", "at", "truth")),
    ],
)
def test_raw_cells_are_never_5xx(shared, rides, path, names):
    """Every odd value in every kind of field, beside a good row that is kept."""
    rows = {
        "/v1/predict": rides.records(1, prefix="raw"),
        "/v1/events": rides.events(1, prefix="raw", at=shared.clock()),
        "/v1/labels": rides.labels(1, prefix="raw"),
    }[path]
    good = json.dumps(rows[0]).encode()
    assert rides.schema.time.name == TIME
    for field in names:
        for cell in CELLS:
            row = with_cell(rows[0], field, cell)
            content = b'{"' + PATHS[path].encode() + b'": [' + row + b", " + good + b"]}"
            answer = shared.post(path, content=content, headers={"Content-Type": JSON})
            assert refused_well(answer), (field, cell[:40], answer.status_code, answer.text[:300])


def test_raw_cells_in_lines_harm_their_own_line_only(shared, rides):
    """Every odd value on a line of its own, between good lines: 202, and the good ones are in."""
    (event,) = rides.events(1, at=shared.clock())
    lines = []
    for number, cell in enumerate(CELLS):
        lines.append(with_cell({**event, "event_id": f"odd{number}"}, "distance_km", cell))
        lines.append(json.dumps({**event, "event_id": f"fine{number}"}).encode())
    lines = [line.replace(b"\n", b" ") for line in lines]
    answer = shared.post("/v1/events", content=b"\n".join(lines), headers={"Content-Type": NDJSON})
    assert answer.status_code == 202, answer.text
    faulty = {error["row"] for error in answer.json()["errors"]}
    assert faulty.isdisjoint(range(1, 2 * len(CELLS), 2))
    assert len(faulty) > len(CELLS) - 8  # null and a few odd numbers are numbers


@pytest.mark.parametrize(
    "path", [pytest.param(path, marks=SLOW if path == "/v1/predict" else ()) for path in PATHS]
)
def test_odd_arrow_columns_are_never_5xx(shared, rides, as_stream, path):
    """Types, lengths and names that no client of ours sends."""
    odd = [
        pa.array([1 + 2**62], pa.int64()),
        pa.array([math.nan]),
        pa.array([b"\xff"], pa.binary()),
        pa.array([[1]]),
        pa.array([{"a": 1}]),
        pa.nulls(1),
        pa.array([2**62], pa.timestamp("s")),
        pa.array([2**62], pa.timestamp("ns", "Europe/Berlin")),
        pa.array([2**31 - 1], pa.date32()),
        pa.array([2**62], pa.date64()),
        pa.array([2**40], pa.duration("us")),
        pa.array([1], pa.uint8()),
        pa.array([1.5], pa.float16()),
        pa.array(["1"], pa.large_string()),
        pa.array(["x" * 5000]).dictionary_encode(),
        pa.array([True]),
    ]
    table = rides.event_table(1, prefix="odd", at=shared.clock())
    if path == "/v1/labels":
        table = pa.table({"event_id": ["odd0"], "truth": ["1"], "at": [shared.clock()]})
    shown = ("event_id", "at", "truth", "prediction", "score", "distance_km", "pickup_zone")
    kinds = [*shown, "is_airport", "promised_pickup_at"]
    for name in [n for n in table.schema.names if n in kinds]:
        index = table.schema.get_field_index(name)
        for column in odd:
            changed = table.set_column(index, name, column)
            answer = shared.post(path, content=as_stream(changed), headers={"Content-Type": ARROW})
            assert refused_well(answer), (name, column.type, answer.text[:300])
    twice = pa.Table.from_arrays([pa.array(["a"])] * 2, ["event_id", "event_id"])
    assert refused_well(
        shared.post(path, content=as_stream(twice), headers={"Content-Type": ARROW})
    )


@pytest.fixture(scope="module")
def operations(shared):
    """Every operation of the description, as schemathesis reads it."""
    import schemathesis  # a second, and nobody else needs it

    document = shared.get("/openapi.json").json()
    document["paths"].pop("/v1/stream", None)  # does not end
    schema = schemathesis.openapi.from_dict(document)
    return [found.ok() for found in schema.get_all_operations()]


@pytest.mark.parametrize("mode", ["positive", "negative"])
def test_requests_made_up_from_the_description_are_never_5xx(shared, operations, mode):
    """Whatever the description allows, and what it does not."""
    from schemathesis.generation import GenerationMode

    mode = GenerationMode(mode)
    asked = set()

    @settings(deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=st.one_of([one.as_strategy(generation_mode=mode) for one in operations]))
    def ask(case):
        made = case.as_transport_kwargs(base_url="http://testserver")
        made.pop("cookies", None)
        made["headers"] = {**dict(made.get("headers") or {}), **shared.asking("operate")}
        answer = shared.client.request(**{k: v for k, v in made.items() if v is not None})
        assert answer.status_code < 500, answer.text
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
        asked.add(case.operation.label)

    ask()
    assert len(asked) > 5
