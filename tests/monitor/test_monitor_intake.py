"""From the bytes of a request to a table of good rows, and what is wrong with the others."""

from __future__ import annotations

import contextlib
import datetime as dt
import gzip
import json
import math
import tracemalloc
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.errors import ConfigError
from tidemill.schema import Column, ColumnType, Purpose, TableSchema, Task
from tidemill_monitor.intake import ARROW, JSON, NDJSON, Body, Refused, Shape, sort_body
from tidemill_monitor.problems import Problem

NOW = dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)
SCHEMA = TableSchema(
    (
        Column("asked_at", ColumnType.DATETIME, Purpose.TIME, "timestamp[us]"),
        Column("zone", ColumnType.CATEGORICAL, Purpose.FEATURE, "dictionary"),
        Column("distance", ColumnType.NUMERIC, Purpose.FEATURE, "float32"),
        Column("rides", ColumnType.NUMERIC, Purpose.FEATURE, "int64"),
        Column("airport", ColumnType.BOOLEAN, Purpose.FEATURE, "bool"),
        Column("late", ColumnType.CATEGORICAL, Purpose.TARGET, "dictionary"),
    ),
    Task.BINARY,
    ("0", "1"),
)
LIMITS = {"max_rows": 1000, "max_bytes": 1 << 20}


def shape(schema: TableSchema = SCHEMA) -> Shape:
    return Shape(schema, lambda: (dt.datetime(1970, 1, 1, tzinfo=dt.UTC), NOW))


def event(**changes) -> dict:
    features = {
        "asked_at": "2026-01-31T09:00:00Z",
        "zone": "harbour",
        "distance": 4.5,
        "rides": 3,
        "airport": False,
    }
    for name in [n for n in changes if n in features]:
        features[name] = changes.pop(name)
    row = {"event_id": "e1", "at": "2026-01-31T09:00:00Z", "features": features, "prediction": "1"}
    return row | changes


def sort(rows, kind="events", text: str | None = None):
    content = (text if text is not None else json.dumps({kind: rows})).encode()
    return sort_body(Body(content, JSON), getattr(shape(), kind), **LIMITS)


def errors(found) -> set[tuple[int, str, str]]:
    return {(error.row, error.field, error.code) for error in found.errors()}


def stream(table: pa.Table, **options) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as out:
        out.write_table(table)
    return sink.getvalue().to_pybytes()


def columns(rows: int = 3, **changes) -> pa.Table:
    found = {
        "event_id": pa.array([f"e{i}" for i in range(rows)]),
        "at": pa.array([NOW - dt.timedelta(hours=1)] * rows, pa.timestamp("us", "UTC")),
        "prediction": pa.array(["1"] * rows),
        "zone": pa.array(["harbour"] * rows),
        "distance": pa.array([4.5] * rows),
        "rides": pa.array([3] * rows),
        "airport": pa.array([True] * rows),
    }
    return pa.table({k: v for k, v in (found | changes).items() if v is not None})


def sort_arrow(content: bytes, **limits):
    return sort_body(Body(content, ARROW), shape().events, **(LIMITS | limits))


def test_good_rows_become_a_typed_table():
    """Values arrive in the model's own types; what was left out is null."""
    found = sort([event(), event(zone=None, distance=None, airport=None, score=0.25)])
    assert found.faults == []
    assert [str(found.table[c.name].type) for c in SCHEMA.features] == [
        "timestamp[us]",
        "dictionary<values=string, indices=int32, ordered=0>",
        "float",
        "int64",
        "bool",
    ]
    assert found.table["score"].to_pylist() == [None, 0.25]
    assert found.table["zone"].to_pylist() == ["harbour", None]
    assert found.table["at"].to_pylist() == [NOW.replace(tzinfo=None, hour=9)] * 2


def test_what_the_table_called_missing_is_missing_in_events_too():
    """The words travel with the model; without them a text is a text."""
    told = shape(replace(SCHEMA, missing_values=("NA", "")))
    texts = ["NA", " NA ", "", "harbour", None]
    content = json.dumps({"events": [event(zone=text) for text in texts]}).encode()
    wanted = [None, None, None, "harbour", None]
    assert sort_body(Body(content, JSON), told.events, **LIMITS).table["zone"].to_pylist() == wanted
    for zones in (pa.array(texts), pa.array(texts).dictionary_encode()):
        table = columns(5, zone=zones)
        found = sort_body(Body(stream(table), ARROW), told.events, **LIMITS)
        assert found.table["zone"].to_pylist() == wanted
        assert sort_arrow(stream(table)).table["zone"].to_pylist() == texts


WRONG = [
    ("distance", "far", "type"),
    ("distance", True, "type"),
    ("distance", [1], "type"),
    ("distance", 1e39, "out_of_range"),
    ("distance", 10**400, "out_of_range"),
    ("distance", math.nan, "not_finite"),
    ("distance", math.inf, "not_finite"),
    ("distance", -math.inf, "not_finite"),
    ("rides", 1.5, "type"),
    ("rides", 2**63, "out_of_range"),
    ("rides", 10**30, "out_of_range"),
    ("airport", 1, "type"),
    ("airport", "true", "type"),
    ("zone", [1.5], "type"),
    ("zone", "x" * 1025, "text"),
    ("zone", "a\0b", "text"),
    ("zone", "\ud800", "text"),
    ("zone", {"a": 1}, "type"),
    ("asked_at", "yesterday", "time"),
    ("asked_at", 1700000000, "type"),
    ("asked_at", "2026-02-01T00:00:00Z", "out_of_range"),
    ("at", "1969-12-31T23:59:59Z", "out_of_range"),
    ("at", "2026-01-31T12:00:01Z", "out_of_range"),
    ("at", "0001-01-01T00:00:00+23:59", "out_of_range"),
    ("at", None, "missing"),
    ("event_id", None, "missing"),
    ("event_id", "", "text"),
    ("event_id", "x" * 201, "text"),
    ("event_id", 1.5, "type"),
    ("event_id", "\udfff", "text"),
    ("prediction", "2", "unknown_class"),
    ("prediction", None, "missing"),
    ("prediction", [], "type"),
    ("score", "high", "type"),
    ("score", math.nan, "not_finite"),
    ("model_version", "one", "type"),
    ("features", None, "missing"),
    ("features", [1], "type"),
    ("surprise", 1, "extra"),
]


@pytest.mark.parametrize(("field", "value", "code"), WRONG)
def test_a_bad_cell_is_named_and_the_other_rows_are_kept(field, value, code):
    """One bad value between two good rows: row, field and kind are said, the value is not."""
    bad = event(**{field: value})
    found = sort([event(), bad, event()])
    assert errors(found) == {(1, field, code)}
    assert found.positions.tolist() == [0, 2]
    assert found.table.num_rows == 2
    assert found.refused == 1
    assert not any(repr(value) in error.detail for error in found.errors() if len(str(value)) > 3)


@pytest.mark.parametrize("token", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
@pytest.mark.parametrize("kind", [JSON, NDJSON])
def test_numbers_that_json_does_not_have_are_named_by_row_and_field(token, kind):
    """What strict parsers refuse as a whole is refused for its own row only."""
    rows = [json.dumps(event()), json.dumps(event()).replace("4.5", token)]
    text = f'{{"events": [{", ".join(rows)}]}}' if kind == JSON else "\n".join(rows)
    found = sort_body(Body(text.encode(), kind), shape().events, **LIMITS)
    assert errors(found) == {(1, "distance", "not_finite")}
    assert found.table.num_rows == 1


@pytest.mark.parametrize("escape", [b'"\\ud800"', b'"\\udc00x"', b'"\xed\xa0\x80"'])
def test_lone_surrogates_are_named_by_row_and_field(escape):
    """They are no Unicode text, however they are written."""
    row = json.dumps(event()).encode()
    text = b'{"events": [' + row + b", " + row.replace(b'"harbour"', escape) + b"]}"
    found = sort_body(Body(text, JSON), shape().events, **LIMITS)
    assert errors(found) == {(1, "zone", "text")}


def test_missing_and_extra_features_are_named():
    """Null says unknown; leaving a feature out is an error, except for the time column."""
    short, long = event(), event()
    del short["features"]["distance"]
    long["features"]["speed\ud800"] = 3
    timeless = event()
    del timeless["features"]["asked_at"]
    found = sort([event(), short, long, timeless])
    assert errors(found) == {(1, "distance", "missing"), (2, "speed\\ud800", "extra")}
    assert found.positions.tolist() == [0, 3]
    assert found.table["asked_at"].to_pylist()[1] is None


def test_rows_in_another_order_of_keys_are_the_same_rows():
    """The fast path of one order and the path of many give the same table."""
    turned = event(zone="airport", distance=9.0)
    turned["features"] = dict(reversed(turned["features"].items()))
    turned = dict(reversed(turned.items()))
    found = sort([event(), turned])
    assert found.faults == []
    assert found.table["zone"].to_pylist() == ["harbour", "airport"]
    assert found.table["distance"].to_pylist() == [4.5, 9.0]


def test_rows_that_are_no_objects_are_named():
    """Anything else in the list is a fault of its row."""
    found = sort([event(), 7, None, "x", [event()]])
    assert errors(found) == {(n, "", "type") for n in (1, 2, 3, 4)}


LIKE = [
    (3, "3"),
    (3.0, "3"),
    ("3", "3"),
    ("03", "03"),
    ("3.0", "3.0"),
    (0.5, "0.5"),
    (True, "true"),
]


@pytest.mark.parametrize(("value", "text"), LIKE)
def test_a_category_reads_alike_in_every_format(value, text):
    """Whatever number, flag or text a client's library makes of it, alone and beside others."""
    assert sort([event(zone=value)]).table["zone"].to_pylist() == [text]
    mixed = sort([event(zone=value), event(zone="x"), event(zone=None), event(zone=7)])
    assert mixed.table["zone"].to_pylist() == [text, "x", None, "7"]
    plain = pa.array([value])
    for column in (plain, plain.dictionary_encode()):
        assert sort_arrow(stream(columns(1, zone=column))).table["zone"].to_pylist() == [text]


@pytest.mark.parametrize("value", [1, "1", 1.0, "1.0"])
def test_a_label_reads_alike_in_every_format(value):
    """Truths and predictions, in JSON and Arrow: the class that they name."""
    assert sort([event(prediction=value)]).table["prediction"].to_pylist() == ["1"]
    labels = [{"event_id": "e", "truth": value}]
    assert sort(labels, "labels").table["truth"].to_pylist() == ["1"]
    plain = pa.array([value])
    for column in (plain, plain.dictionary_encode()):
        assert sort_arrow(stream(columns(1, prediction=column))).table[
            "prediction"
        ].to_pylist() == ["1"]
    assert errors(sort([event(prediction="01")])) == {(0, "prediction", "unknown_class")}


def test_an_infinite_category_is_a_fault():
    """In Arrow NaN is a missing value, an infinity none."""
    found = sort_arrow(stream(columns(1, zone=pa.array([float("inf")]))))
    assert errors(found) == {(0, "zone", "not_finite")}
    found = sort_arrow(stream(columns(1, zone=pa.array([float("nan")]))))
    assert found.table["zone"].to_pylist() == [None]


@pytest.mark.parametrize("value", [1, "1", True, 1.0])
def test_classes_are_read_from_what_frames_hold(value):
    """A label written as number or flag is the class of that name."""
    classes = ("false", "true") if value is True else ("0", "1")
    schema = TableSchema(SCHEMA.columns, Task.BINARY, classes)
    body = Body(json.dumps({"labels": [{"event_id": "e", "truth": value}]}).encode(), JSON)
    found = sort_body(body, shape(schema).labels, **LIMITS)
    assert found.table["truth"].to_pylist() == [classes[1]]


@pytest.mark.parametrize("value", [1, "1", 1.0, "1.0", "1.00"])
def test_classes_that_hold_a_point_are_named_by_the_number(value):
    """A text column of 0.0 and 1.0, as frames with gaps write it, has these two classes."""
    schema = TableSchema(SCHEMA.columns, Task.BINARY, ("0.0", "1.0"))
    body = Body(json.dumps({"labels": [{"event_id": "e", "truth": value}]}).encode(), JSON)
    found = sort_body(body, shape(schema).labels, **LIMITS)
    assert found.table["truth"].to_pylist() == ["1.0"]


BODIES = [
    (b"", "JsonInvalid"),
    (b"{", "JsonInvalid"),
    (b"nul", "JsonInvalid"),
    (b"\xff\xfe", "JsonInvalid"),
    (b"\xef\xbb\xbf{}", "JsonInvalid"),
    (b"[" * 100_000, "JsonInvalid"),
    (b"[" * 2_000_000, "TooManyRows"),
    (b"[" * 5_000, "JsonInvalid"),
    (b"[]", "RowsMissing"),
    (b"null", "RowsMissing"),
    (b"NaN", "RowsMissing"),
    (b'{"rows": []}', "RowsMissing"),
    (b'{"events": {}}', "RowsMissing"),
    (b'{"events": []}', "NoRows"),
    (b'{"events": [], "more": 1}', "MembersUnknown"),
    (b'{"events": [' + b",".join([b"{}"] * 1001) + b"]}", "TooManyRows"),
    (b'{"events": [' + b"[]," * 9000 + b"1]}", "TooManyRows"),
    (b'{"events": [' + b"9" * 5000 + b"]}", "JsonInvalid"),
    (b'{"events": [9]}', None),
]


@pytest.mark.parametrize(("content", "code"), BODIES)
def test_documents_that_are_none_are_refused(content, code):
    """Whatever the bytes, the answer is a problem of the client's."""
    if code is None:
        assert sort_body(Body(content, JSON), shape().events, **LIMITS).table.num_rows == 0
        return
    with pytest.raises(Problem) as caught:
        sort_body(Body(content, JSON), shape().events, **LIMITS)
    assert 400 <= caught.value.status < 500
    assert caught.value.code == code


def test_lines_are_rows():
    """A line that is no JSON is a fault of its row; empty lines are none."""
    lines = [json.dumps(event()), "", "{oops", json.dumps(event(distance=1.0)), "7", ""]
    found = sort_body(Body("\r\n".join(lines).encode(), NDJSON), shape().events, **LIMITS)
    assert errors(found) == {(1, "", "json"), (3, "", "type")}
    assert found.table["distance"].to_pylist() == [4.5, 1.0]


def test_each_line_is_a_row_of_its_own():
    """Two rows in a line are none, and neither are the halves of one in two."""
    good, more = json.dumps(event()), json.dumps(event(distance=1.0))
    first, second = more[: more.index(', "')], more[more.index(', "') + 2 :]
    lines = "\n".join([f"{good}, {good}", first, second, good])
    found = sort_body(Body(lines.encode(), NDJSON), shape().events, **LIMITS)
    assert errors(found) == {(0, "", "json"), (1, "", "json"), (2, "", "json")}
    assert found.table.num_rows == 1


TWICE = [
    ('"distance": 4.5', '"distance": 4.5, "distance": 900', "distance"),
    ('"distance": 4.5', '"distance" :\n1, "distance": 4.5', "distance"),
    ('"event_id": "e1"', '"event_id": "e0", "event_id": "e1"', "event_id"),
    ('"features":', '"features": {}, "features":', "features"),
    ('"event_id": "e1"', '"more": 1, "event_id": "e1", "more": 2', "more"),
    ('"zone": "harbour"', '"zone": ":)", "zone": "harbour"', "zone"),
    ('"zone": "harbour"', '"zone": {"a": 1, "a": 2}', "a"),
]


@pytest.mark.parametrize("kind", [JSON, NDJSON])
@pytest.mark.parametrize(("once", "twice", "name"), TWICE)
def test_a_key_given_twice_is_refused(kind, once, twice, name):
    """Nobody guesses which of the two was meant; the rows beside it are kept."""
    good = json.dumps(event(zone=':)":'))
    bad = json.dumps(event()).replace(once, twice)
    assert bad != json.dumps(event())
    if kind == JSON:
        text = f'{{"events": [{good}, {bad}, {good}]}}'
    else:
        text = "\n".join([good, bad.replace("\n", " "), good])
    found = sort_body(Body(text.encode(), kind), shape().events, **LIMITS)
    assert errors(found) == {(1, name, "twice")}
    assert found.table["zone"].to_pylist() == [':)":'] * 2


def test_the_rows_of_a_document_given_twice_are_refused():
    """The whole document is in doubt then."""
    text = f'{{"events": [{json.dumps(event())}], "events": []}}'
    for order in (text, f'{{"events": [], "events": [{json.dumps(event())}]}}'):
        with pytest.raises(Problem) as caught:
            sort([], text=order)
        assert caught.value.code in ("MemberTwice", "NoRows")


def test_a_number_of_very_many_digits_beside_a_false_alarm():
    """What is looked through for keys may hold anything."""
    bad = json.dumps(event(zone=":x")).replace("4.5", "9" * 4000)
    found = sort([], text=f'{{"events": [{bad}, {json.dumps(event())}]}}')
    assert found.positions.tolist() == [1]


EXOTIC = ["2024-W01-1", "2024-001", "20240101", "2024-01-01x10:00", "2024-01-01T10:00+99:99"]


@pytest.mark.parametrize("text", EXOTIC)
def test_a_time_that_no_rfc_knows_is_none(text):
    """Week dates, day numbers and impossible offsets are refused, alone and beside others."""
    for rows in ([event(at=text)], [event(), event(at=text)]):
        assert errors(sort(rows)) == {(len(rows) - 1, "at", "time")}


def test_gzip_is_opened_within_the_limit():
    """A body that opens to more than the limit is refused, however small it came."""
    content = json.dumps({"events": [event()]}).encode()
    found = sort_body(Body(gzip.compress(content), JSON, packed=True), shape().events, **LIMITS)
    assert found.table.num_rows == 1
    bomb = gzip.compress(b" " * (64 << 20))
    assert len(bomb) < 70_000
    tracemalloc.start()
    with pytest.raises(Problem, match="also once decompressed") as caught:
        sort_body(Body(bomb, JSON, packed=True), shape().events, **LIMITS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert caught.value.status == 413
    assert peak < 8 << 20
    for torn in (gzip.compress(content)[:-9], b"no gzip", gzip.compress(content) + b"more"):
        with pytest.raises(Problem) as caught:
            sort_body(Body(torn, JSON, packed=True), shape().events, **LIMITS)
        assert caught.value.code == "EncodingInvalid"


def test_an_arrow_stream_gives_the_same_table():
    """The same rows by JSON and by Arrow, also compressed and as dictionaries, are equal."""
    by_json = sort(
        [event(event_id=f"e{i}", at="2026-01-31T11:00:00Z", airport=True) for i in range(3)]
    )
    encoded = pa.array(["harbour"] * 3).dictionary_encode()
    for table, options in (
        (columns(), {}),
        (columns(), {"compression": "zstd"}),
        (columns(zone=encoded), {"compression": "lz4"}),
        (
            columns(distance=pa.array([4.5] * 3, pa.float32()), rides=pa.array([3] * 3, pa.int8())),
            {},
        ),
    ):
        found = sort_arrow(stream(table, **options))
        assert found.faults == []
        names = [n for n in found.table.schema.names if n != "asked_at"]
        assert found.table.select(names).to_pylist() == by_json.table.select(names).to_pylist()
        assert found.table.schema == by_json.table.schema


ARROW_WRONG = [
    ({"distance": pa.array([1.0, math.inf, 2.0])}, {(1, "distance", "not_finite")}),
    ({"distance": pa.array([1.0, 1e39, 2.0])}, {(1, "distance", "out_of_range")}),
    ({"distance": pa.array(["a", "b", "c"])}, {(n, "distance", "type") for n in range(3)}),
    ({"distance": None}, {(n, "distance", "missing") for n in range(3)}),
    ({"speed": pa.array([1, 2, 3])}, {(n, "speed", "extra") for n in range(3)}),
    ({"zone": pa.array(["a", "x" * 2000, "b"])}, {(1, "zone", "text")}),
    ({"zone": pa.array(["a", "x" * 2000, None]).dictionary_encode()}, {(1, "zone", "text")}),
    ({"rides": pa.array([1, 2**64 - 1, 3], pa.uint64())}, {(1, "rides", "out_of_range")}),
    ({"prediction": pa.array(["1", "7", "0"])}, {(1, "prediction", "unknown_class")}),
    ({"event_id": pa.array(["a", None, "b"])}, {(1, "event_id", "missing")}),
    (
        {"at": pa.array([None, NOW, NOW + dt.timedelta(1)])},
        {(0, "at", "missing"), (2, "at", "out_of_range")},
    ),
    (
        {"at": pa.array([2**62] * 3, pa.timestamp("s"))},
        {(n, "at", "out_of_range") for n in range(3)},
    ),
    ({"airport": pa.array([0, 1, 0])}, {(n, "airport", "type") for n in range(3)}),
]


@pytest.mark.parametrize(("change", "expected"), ARROW_WRONG)
def test_bad_arrow_cells_are_named(change, expected):
    """Values by row, columns of another type for all rows."""
    assert errors(sort_arrow(stream(columns(**change)))) == expected


def test_classes_as_arrow_floats():
    """Frames with gaps hold labels as floats: 1.0 is the class 1, NaN is missing."""
    found = sort_arrow(stream(columns(prediction=pa.array([1.0, math.nan, 1.5]))))
    assert errors(found) == {(1, "prediction", "missing"), (2, "prediction", "unknown_class")}
    assert found.table["prediction"].to_pylist() == ["1"]


def test_nan_in_arrow_is_a_missing_value():
    """Frames write what is missing as NaN."""
    found = sort_arrow(stream(columns(distance=pa.array([1.0, math.nan, 2.0]))))
    assert found.table["distance"].to_pylist() == [1.0, None, 2.0]


def test_arrow_bombs_are_refused_before_they_are_opened():
    """Small streams that stand for gigabytes: by compression, by runs, by nulls, by repetition."""
    zeros = pa.table({"distance": np.zeros(4_000_000)})
    packed = stream(zeros, compression="zstd")
    assert len(packed) < 100_000
    before = pa.total_allocated_bytes()
    with pytest.raises(Problem) as caught:
        sort_arrow(packed, max_rows=10**9)
    assert caught.value.code == "BodyTooLarge"
    assert pa.total_allocated_bytes() - before < 1 << 20
    nulls = pa.table({"event_id": pa.nulls(2**24)})
    runs = pa.table(
        {"zone": pa.RunEndEncodedArray.from_arrays(pa.array([2**30], pa.int32()), ["a"])}
    )
    views = pa.table({"zone": pa.array(["a" * 900] * 3, pa.string_view())})
    lists = pa.table({"zone": pa.array([["a"]] * 3)})
    for table, code in (
        (nulls, "TooManyRows"),
        (runs, None),
        (views, "ArrowInvalid"),
        (lists, "ArrowInvalid"),
    ):
        with pytest.raises(Problem) as caught:
            sort_arrow(stream(table))
        assert caught.value.status in (400, 413)
        assert code in (None, caught.value.code)
    long = pa.DictionaryArray.from_arrays(
        pa.array([0] * 1000, pa.int32()), pa.array(["x" * 500_000])
    )
    found = sort_arrow(stream(columns(1000, zone=long)))
    assert found.refused == 1000
    assert pa.total_allocated_bytes() - before < 8 << 20


def test_a_stream_of_very_many_messages_is_refused():
    """Empty batches cost memory too."""
    sink = pa.BufferOutputStream()
    table = columns(0)
    with pa.ipc.new_stream(sink, table.schema) as out:
        for _ in range(2_500):
            out.write_batch(pa.RecordBatch.from_pylist([], table.schema))
    with pytest.raises(Problem) as caught:
        sort_arrow(sink.getvalue().to_pybytes())
    assert caught.value.status == 413


@settings(deadline=None)
@given(place=st.integers(0, 10_000), byte=st.integers(0, 255), cut=st.booleans())
def test_a_damaged_stream_is_a_problem_or_rows(place, byte, cut):
    """Any byte changed, or the stream cut: never another error, never a crash."""
    content = bytearray(stream(columns(zone=pa.array(["a", "b", None]).dictionary_encode())))
    content[place % len(content)] = byte
    with contextlib.suppress(Problem):  # anything else fails the test
        found = sort_arrow(bytes(content[: place % len(content)] if cut else content))
        assert found.rows == found.table.num_rows + found.refused


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None)
@given(
    rows=st.lists(
        st.one_of(
            JSON_VALUES,
            st.builds(
                lambda name, value: event(**{name: value}),
                st.sampled_from(
                    ["distance", "zone", "rides", "airport", "asked_at", "at", "score"]
                ),
                JSON_VALUES,
            ),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_any_json_is_sorted(rows):
    """Whatever the values, every row is either good or has a fault."""
    found = sort(rows)
    faulty = set().union(*(fault.rows.tolist() for fault in found.faults))
    assert faulty.isdisjoint(found.positions.tolist())
    assert len(faulty) + len(found.positions) == len(rows)
    json.dumps([error.detail + error.field for error in found.errors()]).encode("ascii")


def test_the_note_of_refused_rows_comes_back():
    """What the ledger keeps of refused rows is read back as it was."""
    found = sort([event(distance="x"), event(), event(zone=[1], distance="x")])
    refused = found.to_refused(NOW, 3)
    assert refused is not None
    assert refused.reasons == {("distance", "type"): 2, ("zone", "type"): 1}
    assert refused.rows_refused == 2
    assert Refused.from_bytes(refused.to_bytes()) == refused
    assert sort([event()]).to_refused(NOW, 3) is None


def test_a_feature_named_as_an_events_own_field_is_refused():
    """Two columns of one name would be one."""
    schema = TableSchema(
        (Column("score", ColumnType.NUMERIC, Purpose.FEATURE, "float32"),), Task.REGRESSION
    )
    with pytest.raises(ConfigError, match="score"):
        shape(schema)


IDS = [
    ("a", "a"),
    ("01", "01"),
    ("1.0", "1.0"),
    (1, "1"),
    (1.0, "1"),
    (-0.0, "0"),
    (2**63, "9223372036854775808"),
    (10**20, None),  # a float to readers of JSON
    (2.0**53 - 1, "9007199254740991"),
    (2.0**53, None),
    (2.5, None),
    (math.inf, None),
    (True, None),
    ([1], None),
]
"""What names an event, in JSON and Arrow, of predictions, events and labels; None: refused."""


@pytest.mark.parametrize(("given", "known"), IDS)
def test_an_event_id_is_a_text_or_a_whole_number_in_json(given, known):
    """One rule for all three kinds of rows; the row beside a bad one is kept."""
    record = {k: v for k, v in event().items() if k in ("event_id", "at", "features")}
    for kind, row in (
        ("events", event()),
        ("records", record),
        ("labels", {"event_id": "e", "truth": "1"}),
    ):
        found = sort([{**row, "event_id": given}, {**row, "event_id": "beside"}], kind)
        ids = found.table["event_id"].to_pylist()
        assert ids == ([known, "beside"] if known else ["beside"]), kind
        code = "not_finite" if given == math.inf else "type"
        assert errors(found) == (set() if known else {(0, "event_id", code)}), kind


@pytest.mark.parametrize("encoded", [False, True])
@pytest.mark.parametrize(
    ("kind", "given", "known"),
    [
        (pa.float64(), [1.0, 2.5, 2.0**53 - 1, 2.0**53, math.inf], [0, 2]),
        (pa.float32(), [1.0, 2.5, 2.0**24 - 1, 2.0**24, math.inf], [0, 2]),
        (pa.int64(), [1, 2, 2**60, -1, 0], [0, 1, 2, 3, 4]),
        (pa.bool_(), [True, False, True, False, True], []),
    ],
)
def test_an_event_id_is_a_text_or_a_whole_number_in_arrow(kind, given, known, encoded):
    """A float of any width names an event as far as it stands for one whole number alone."""
    ids = pa.array(given, kind)
    table = columns(5, event_id=ids.dictionary_encode() if encoded else ids)
    found = sort_arrow(stream(table))
    assert found.positions.tolist() == known
    assert found.table["event_id"].to_pylist() == [str(int(given[row])) for row in known]
    assert {row for row, _, _ in errors(found)} == set(range(5)) - set(known)
    gaps = sort_arrow(stream(columns(2, event_id=pa.array([7.0, math.nan]))))
    assert errors(gaps) == {(1, "event_id", "missing")}
    assert gaps.table["event_id"].to_pylist() == ["7"]


ALTERED = {
    "distance": ([4.2, 16_777_217, 0.1 + 0.2, 7], [1, 2]),
    "asked_at": (["2026-01-31T09:00:00Z", "2026-01-31T09:00:00.1234567Z"], [1]),
    "at": (["2026-01-31T09:00:00.123456000Z", "2026-01-31T09:00:00,00000001+00:00"], [1]),
    "score": ([0.1 + 0.2, 1e-30], []),
}


@pytest.mark.parametrize("field", ALTERED)
def test_what_is_rounded_or_cut_is_counted_and_no_reason_to_refuse(field):
    """By field, of rows that are taken; windows hear of it as of good rows."""
    values, rows = ALTERED[field]
    found = sort([event(**{field: value}) for value in values])
    assert (found.refused, found.faults, found.to_refused(NOW, 1)) == (0, [], None)
    code = "cut" if field in ("at", "asked_at") else "rounded"
    assert [(f.field, f.code, f.rows.tolist()) for f in found.altered] == (
        [(field, code, rows)] if rows else []
    )
    refused = sort([event(**{field: value}, zone=[1]) for value in values])
    assert (refused.refused, refused.altered) == (len(values), [])


def test_arrow_tells_what_is_rounded_or_cut_too():
    """Wide numbers in float32, whole ones beyond 2^53, nanoseconds; float32 stays itself."""
    fine = pa.array([0, 1_000, 1_001], pa.int64()).cast(pa.timestamp("ns"))
    exact = np.array([0.1, 4.25, 1e-7], np.float32)
    for distance, rows in (
        (pa.array([4.2, 0.1 + 0.2, None]), [1]),
        (pa.array([2**53 + 1, 16_777_216, 3]), [0]),
        (pa.array(exact), []),
        (pa.array(exact.astype(np.float64)), []),
    ):
        found = sort_arrow(stream(columns(3, distance=distance, asked_at=fine)))
        assert found.refused == 0
        told = {(f.field, f.code): f.rows.tolist() for f in found.altered}
        assert told == {("asked_at", "cut"): [2]} | (
            {("distance", "rounded"): rows} if rows else {}
        )


def test_arrow_times_may_be_texts_as_in_json():
    """Plain, large or encoded; what is no time is refused by row, as there."""
    texts = ["2026-01-31T09:00:00Z", "2026-01-31 10:00+01:00", "yesterday", None, "x" * 999]
    wanted = sort([event(asked_at=text) for text in texts])
    assert errors(wanted) == {(2, "asked_at", "time"), (4, "asked_at", "time")}
    plain = pa.array(texts)
    for times in (plain, plain.cast(pa.large_string()), plain.dictionary_encode()):
        found = sort_arrow(stream(columns(5, asked_at=times)))
        assert errors(found) == errors(wanted)
        assert found.table["asked_at"].to_pylist() == wanted.table["asked_at"].to_pylist()
    times = pa.array([text or texts[0] for text in texts])
    found = sort_arrow(stream(columns(5, at=times)))
    assert errors(found) == {(2, "at", "time"), (4, "at", "time")}
