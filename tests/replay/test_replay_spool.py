"""The spool: any source as typed rows in event-time order, with ids that stay."""

from __future__ import annotations

import datetime as dt

import pytest

from tidemill.config import read_params
from tidemill.engines import LocalEngine
from tidemill.errors import SchemaMismatch, SourceMissing
from tidemill.ingestion import list_source, look
from tidemill_monitor.replay import spool

PARAMS = """
dataset:
  name: rides
  source: {source}
  target: y
  time: at_time
  key: {key}
  derive: {{double: "x * 2"}}
"""


def moment(*parts: int) -> dt.datetime:
    """A time without a zone, as tables hold them."""
    return dt.datetime(*parts)  # noqa: DTZ001


def params(key="null", source="rows"):
    return read_params(PARAMS.format(key=key, source=source))


@pytest.fixture
def rows(tmp_path):
    """Two CSV files, the later hours first, and mixed within."""
    folder = tmp_path / "rows"
    folder.mkdir()
    for name, hours in (("a.csv", range(60, 120)), ("b.csv", range(60))):
        lines = ["id,at_time,x,zone,y"]
        for hour in sorted(hours, key=lambda h: (h * 7) % 60):
            at = moment(2024, 1, 1) + dt.timedelta(hours=hour)
            lines.append(f"{1000 + hour},{at.isoformat()},{hour}.5,Z{hour % 3},{hour % 2}")
        (folder / name).write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def make(tmp_path, rows):
    """Spools the rows for a workspace that knows such a table."""

    def made(key="null", features=("x", "zone", "double", "at_time"), **more):
        given = params(key)
        with LocalEngine(1) as engine:
            listing = list_source(given.dataset, tmp_path, engine)
            schema = look(given.dataset, listing, tmp_path)
            return spool(
                given,
                schema,
                features,
                str(rows),
                root=tmp_path,
                folder=tmp_path / "spools",
                engine=engine,
                **more,
            )

    return made


def test_rows_come_in_order_of_time_whatever_the_files(make):
    """Sorted by time, typed, derived columns computed, the target as text."""
    made = make()
    (table,) = made.batches(0)
    times = table["at"].to_pylist()
    assert times == sorted(times)
    assert made.rows == 120
    assert table["x"].to_pylist()[:2] == [0.5, 1.5]
    assert table["double"].to_pylist()[:2] == [1.0, 3.0]
    assert table["truth"].to_pylist()[:3] == ["0", "1", "0"]
    assert (made.timed, made.labelled) == (True, True)


def test_ids_are_keys_or_places_and_stay(make):
    """With a key its value, else the file's content and the row; the same at every replay."""
    keyed = next(make(key="id").batches(0))
    assert keyed["event_id"].to_pylist()[:2] == ["1000", "1001"]
    placed = next(make().batches(0))["event_id"].to_pylist()
    assert len(set(placed)) == 120
    assert all(set(each) <= set("0123456789abcdef-") for each in placed)


def test_a_spool_is_made_once(make):
    """The same source again is not read again; another choice of columns is another spool."""
    first = make()
    before = first.path.stat().st_mtime_ns
    assert make().path.stat().st_mtime_ns == before
    assert make(features=("x",)).path != first.path


def test_what_is_left_out_is_counted(make, rows):
    """A record that is no row, a row without a time, a cell that is no number: each is told."""
    with (rows / "b.csv").open("a") as file:
        file.write("1,2024-01-09T00:00:00,1.0,Z1,1,extra\n")
        file.write("2,,1.0,Z1,1\n")
        file.write("3,2024-01-09T01:00:00,much,Z1,1\n")
    seen = []
    made = make(progress=seen.append)
    assert made.left_out == {"rejected": 1, "undated": 1, "unreadable": 1}
    assert made.rows == 121
    assert seen[-1] == 123
    assert make().left_out == made.left_out  # the finished spool remembers


def test_a_damaged_spool_is_made_again(make):
    """Other events would be sent in silence: its pages have no checksums."""
    made = make()
    whole = made.path.read_bytes()
    place = len(whole) // 3
    made.path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    assert make().path.read_bytes() == whole


def test_it_can_be_read_from_any_row(make):
    """What resuming needs: the rest of the rows, and only some columns."""
    rest = list(make().batches(100, ["at"]))
    assert sum(table.num_rows for table in rest) == 20
    assert rest[0].column_names == ["at"]


def test_a_source_without_a_feature_is_refused(make):
    """The error names it, and no spool is left."""
    with pytest.raises(SchemaMismatch, match="fare"):
        make(features=("x", "fare"))


def test_rows_that_are_not_there_blame_the_option(make, rows):
    """Not dataset.source of params.yaml, which --input took the place of."""
    make()
    for path in rows.iterdir():
        path.rename(path.with_name(f".{path.name}"))
    with LocalEngine(1) as engine, pytest.raises(SourceMissing, match=r"^--input ") as caught:
        spool(params(), None, [], str(rows), root=rows, folder=rows, engine=engine)
    assert "dataset.source" not in caught.value.remedy
