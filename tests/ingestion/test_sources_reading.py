"""Splits come back as typed batches with true positions, whatever the text looks like."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tidemill.config import DatasetConfig
from tidemill.engines import LocalEngine
from tidemill.errors import SchemaMismatch, SourceUnreadable
from tidemill.ingestion.first_look.look import look
from tidemill.ingestion.sources import streams
from tidemill.ingestion.sources.batches import ParsedBatch
from tidemill.ingestion.sources.delimited.csv_dialect import CsvDialect
from tidemill.ingestion.sources.delimited.fields import INSIDE
from tidemill.ingestion.sources.delimited.records import cut_records
from tidemill.ingestion.sources.listing import SourceListing, list_source
from tidemill.ingestion.sources.parquet.parquet_rows import read_parquet_rows
from tidemill.ingestion.sources.reading import read_split
from tidemill.storage import SourceFiles

COMMA = CsvDialect(",", '"', "utf-8", header=False)


def read_all(
    root: Path, batch_rows: int = 1000, **settings: object
) -> tuple[SourceListing, list[list[ParsedBatch]]]:
    """List, look and read everything under ``root``."""
    dataset = DatasetConfig.model_validate({"source": ".", "target": "y", **settings})
    listing = list_source(dataset, root, LocalEngine())
    schema = look(dataset, listing, root)
    return listing, [
        list(read_split(split, schema, dataset, listing, root, batch_rows=batch_rows))
        for split in listing.splits
    ]


def values(batches: list[ParsedBatch], column: str) -> list[object]:
    return [value for batch in batches for value in batch.table[column].to_pylist()]


def numbers(batches: list[ParsedBatch]) -> list[int]:
    return [int(row) for batch in batches for row in batch.rows]


def test_bad_rows_at_the_very_end_have_their_true_positions(tmp_path: Path) -> None:
    """A bad cell and a ragged line in the last batch of the last file, behind quoted newlines."""
    good = "".join(f'{i},"line one\nline ""two"" of {i}",{i % 2}\n' for i in range(700))
    (tmp_path / "a.csv").write_text("x,note,y\n" + good)
    tail = "700,plain,1\nseven,plain,0\n702,plain\n703,plain,1\n704,plain,0,extra\n"
    (tmp_path / "b.csv").write_text("x,note,y\n" + good + tail)
    _, (first, last) = read_all(tmp_path, 300, types={"note": "categorical"})
    assert not any(batch.rejects or batch.faults for batch in first)
    assert all(not batch.rejects and not batch.faults for batch in last[:-1])
    batch = last[-1]
    assert batch.rows.tolist() == [*range(600, 702), 703]
    assert [(r.row, r.line, r.raw) for r in batch.rejects] == [
        (702, 1404, "702,plain"),
        (704, 1406, "704,plain,0,extra"),
    ]
    assert "2 fields instead of 3" in batch.rejects[0].reason
    assert batch.faults["x"].texts == ["seven"]
    assert batch.rows[batch.faults["x"].indices].tolist() == [701]
    assert batch.table["x"][101].as_py() is None
    assert values(last, "note")[5] == 'line one\nline "two" of 5'


@pytest.mark.parametrize("batch_rows", [1, 7, 64, 10_000])
@pytest.mark.parametrize("block_bytes", [11, 100, 1 << 22])
def test_rows_do_not_depend_on_batches_or_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_rows: int, block_bytes: int
) -> None:
    """Any batch size over any block size gives the same rows, faults and rejects."""
    text = "x,note,y\n" + "".join(
        f'{"bad" if i % 7 == 3 else i},"a ""q"" {"x" * (i % 5)}\n,",{i % 2}\n'
        + ('broken "\n' if i % 11 == 5 else "")
        + ('9,"open,1\n' if i == 30 else "")
        for i in range(60)
    )
    (tmp_path / "a.csv").write_text(text)
    options = {"types": {"x": "numeric", "note": "categorical"}}
    _, ([reference],) = read_all(tmp_path, 100_000, **options)
    monkeypatch.setattr(streams, "BLOCK_BYTES", block_bytes)
    _, (batches,) = read_all(tmp_path, batch_rows, **options)
    assert all(batch.rows.size + len(batch.rejects) <= batch_rows for batch in batches)
    assert numbers(batches) == reference.rows.tolist()
    assert values(batches, "x") == reference.table["x"].to_pylist()
    assert values(batches, "note") == reference.table["note"].to_pylist()
    assert [r for b in batches for r in b.rejects] == list(reference.rejects)
    found = [int(b.rows[i]) for b in batches if b.faults for i in b.faults["x"].indices]
    assert found == reference.rows[reference.faults["x"].indices].tolist()
    assert len(reference.rejects) == 6
    assert reference.table.num_rows == 60


FIELD = st.text(alphabet='ab",\n\r;x ', max_size=6)


@settings(
    max_examples=settings.default.max_examples * 3 // 2,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(
    rows=st.lists(st.tuples(FIELD, FIELD, FIELD), min_size=1, max_size=12),
    block=st.integers(1, 40),
    batch_rows=st.integers(1, 5),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_what_a_csv_writer_wrote_is_cut_into_its_records(
    rows: list[tuple[str, str, str]], block: int, batch_rows: int, end: str
) -> None:
    """Every record that Python's csv writer makes is found again, with its line."""
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator=end, quoting=csv.QUOTE_ALL).writerows(rows)
    text = out.getvalue().encode()
    blocks = (text[i : i + block] for i in range(0, len(text), block))
    cut = list(cut_records(blocks, COMMA, batch_rows=batch_rows, path="a.csv"))
    records = [b.record(i).decode() for b in cut for i in range(len(b.starts))]
    parsed = [next(csv.reader(io.StringIO(record, newline=""))) for record in records]
    assert [tuple(fields) for fields in parsed] == rows
    lines = [b.line(i) for b in cut for i in range(len(b.starts))]
    assert lines[0] == 1
    assert lines == sorted(lines)
    assert all(len(b.starts) == batch_rows for b in cut[:-1])


TOKENS = ['x"y\n', '"a\nb",c\n', '"open,\n', "p,q\r\n", '"d""e"\n', '"', "\n", ",", '""', "z"]


@settings(max_examples=settings.default.max_examples * 4)
@given(
    text=st.lists(st.sampled_from(TOKENS), max_size=12).map("".join),
    block=st.integers(1, 24),
)
def test_broken_text_is_cut_the_same_however_it_is_blocked(text: str, block: int) -> None:
    """Whatever stands in it: blocks of any size give the records of the whole text."""

    def records(size: int) -> list[tuple[bytes, int]]:
        content = text.encode()
        blocks = (content[i : i + size] for i in range(0, len(content), size))
        cut = cut_records(blocks, COMMA, batch_rows=3, path="a.csv")
        return [(b.record(i), b.line(i)) for b in cut for i in range(len(b.starts))]

    assert records(block) == records(1000)


def test_an_unclosed_quote_costs_one_line(tmp_path: Path) -> None:
    """What follows a quote that nobody closes is read as if that line were not there."""
    lines = [f"{i},{i % 2}" for i in range(50)]
    lines[20] = '"20,0'
    (tmp_path / "a.csv").write_text("x,y\n" + "\n".join(lines))
    _, (batches,) = read_all(tmp_path)
    [reject] = batches[0].rejects
    assert (reject.row, reject.line, reject.reason) == (20, 22, "broken quoting")
    assert numbers(batches) == [i for i in range(50) if i != 20]


def test_a_quote_inside_a_plain_field_costs_its_line(tmp_path: Path) -> None:
    """A separator may be missing before it; without quoting it is text."""
    (tmp_path / "a.csv").write_text('size,y\n5" pipe,1\n"6"" pipe",0\n7,1\n')
    _, (batches,) = read_all(tmp_path)
    assert values(batches, "size") == ['6" pipe', "7"]
    [reject] = batches[0].rejects
    assert (reject.row, reject.line, reject.reason) == (0, 2, INSIDE)
    (tmp_path / "a.csv").write_text('size,y\n5" pipe,1\n6" pipe,0\n7,1\n')
    _, (batches,) = read_all(tmp_path, csv={"quote": ""})
    assert values(batches, "size") == ['5" pipe', '6" pipe', "7"]


def test_invalid_utf8_rejects_its_row_only(tmp_path: Path) -> None:
    """A byte that is no UTF-8 costs its row, named by row and line."""
    content = b"name,y\n" + b"".join(b"n%d,%d\n" % (i, i % 2) for i in range(30))
    (tmp_path / "a.csv").write_bytes(content.replace(b"n7,", b"caf\xe9,"))
    _, (batches,) = read_all(tmp_path, types={"name": "categorical"})
    [reject] = batches[0].rejects
    assert (reject.row, reject.line) == (7, 9)
    assert "UTF-8" in reject.reason
    _, (batches,) = read_all(tmp_path, drop=["name"], target="y", batch_rows=5)
    assert not any(batch.rejects for batch in batches)  # nobody reads that column


@pytest.mark.parametrize(
    ("encoding", "stated"),
    [("latin-1", "latin-1"), ("utf-16", "utf-8"), ("utf-16-le", "utf-16-le")],
)
def test_other_encodings_are_recoded(tmp_path: Path, encoding: str, stated: str) -> None:
    """latin-1 as stated; UTF-16 by its mark or as stated."""
    (tmp_path / "a.csv").write_bytes("name;y\nMünchen;1\nÅlesund;0\n".encode(encoding))
    listing, (batches,) = read_all(tmp_path, csv={"encoding": stated})
    assert values(batches, "name") == ["München", "Ålesund"]
    assert listing.written is not None
    assert listing.written["delimiter"] == ";"


def packed(text: bytes, compression: str) -> bytes:
    """The text, compressed."""
    if compression == "bzip2":
        return bz2.compress(text)
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, compression) as out:
        out.write(text)
    return bytes(sink.getvalue())


@pytest.mark.parametrize("compression", ["bzip2", "gzip", "zstd"])
@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_compressed_text_is_read(tmp_path: Path, compression: str, form: str) -> None:
    """bzip2, gzip and zstd are found by content, not by name."""
    rows = [{"x": i, "y": i % 2} for i in range(500)]
    text = "\n".join(json.dumps(r) for r in rows)
    if form == "csv":
        text = "x,y\n" + "\n".join(f"{r['x']},{r['y']}" for r in rows)
    (tmp_path / f"a.{form}").write_bytes(packed(text.encode(), compression))
    listing, (batches,) = read_all(tmp_path, 100)
    assert listing.splits[0].compression == compression
    assert values(batches, "x") == [float(i) for i in range(500)]
    assert [b.table.num_rows for b in batches] == [100] * 5


@pytest.mark.parametrize(
    ("count", "blocks"), [(40_000, 0), pytest.param(300_000, 1, marks=pytest.mark.slow)]
)
def test_a_truncated_gzip_file_is_refused_with_its_position(
    tmp_path: Path, count: int, blocks: int
) -> None:
    """The error names the file and how far it could be read."""
    rng = np.random.default_rng(1)
    lines = "\n".join(f"{v},{int(v > 0)}" for v in rng.normal(size=count))
    whole = gzip.compress(("x,y\n" + lines).encode())
    (tmp_path / "a.csv.gz").write_bytes(whole[: len(whole) * 9 // 10])
    with pytest.raises(SourceUnreadable, match=r"a\.csv\.gz") as caught:
        read_all(tmp_path)
    assert caught.value.fields["path"] == "a.csv.gz"
    assert 0 < caught.value.fields["position"] <= len(whole)
    assert caught.value.fields["expanded"] == blocks * streams.BLOCK_BYTES


@pytest.mark.parametrize("compression", ["bzip2", "gzip", "zstd"])
@pytest.mark.parametrize("harm", ["cut", "flip"])
@pytest.mark.parametrize("count", [15_000, pytest.param(300_000, marks=pytest.mark.slow)])
def test_damaged_compressed_files_are_refused(
    tmp_path: Path, compression: str, harm: str, count: int
) -> None:
    """Never a shorter or another table."""
    path = tmp_path / "a.csv"
    rng = np.random.default_rng(2)
    lines = "\n".join(f"{v},{int(v > 0)}" for v in rng.normal(size=count))
    path.write_bytes(packed(("x,y\n" + lines).encode(), compression))
    dataset = DatasetConfig(source=".", target="y", look_rows=100)
    listing = list_source(dataset, tmp_path, LocalEngine())
    schema = look(dataset, listing, tmp_path)
    whole = bytearray(path.read_bytes())
    whole[len(whole) * 4 // 5] ^= 0xFF
    path.write_bytes(whole[:-9] if harm == "cut" else whole)
    with pytest.raises(SourceUnreadable):
        list(read_split(listing.splits[0], schema, dataset, listing, tmp_path, batch_rows=5000))


def test_streams_of_bzip2_follow_each_other(tmp_path: Path) -> None:
    """As pbzip2 writes them, an empty one among them; what follows and is none is refused."""
    parts = [b"x,y\n1,0\n2,", b"", b"1\n3,0\n"]
    (tmp_path / "a.csv.bz2").write_bytes(b"".join(map(bz2.compress, parts)))
    _, (batches,) = read_all(tmp_path)
    assert values(batches, "x") == [1.0, 2.0, 3.0]
    with (tmp_path / "a.csv.bz2").open("ab") as file:
        file.write(b"4,1\n")
    with pytest.raises(SourceUnreadable, match="damaged or cut off"):
        read_all(tmp_path)


def test_a_header_may_begin_as_bzip2_does(tmp_path: Path) -> None:
    """Four letters are no compressed file."""
    (tmp_path / "a.csv").write_text("BZh9,y\n1,0\n2,1\n")
    _, (batches,) = read_all(tmp_path)
    assert values(batches, "BZh9") == [1.0, 2.0]


def test_a_text_bomb_is_refused(tmp_path: Path) -> None:
    """A gzip file that expands beyond reason is not read to its end."""
    with gzip.open(tmp_path / "a.csv.gz", "wb") as out:
        out.write(b"x,y\n1,0\n2,1\n")
        line = b"0" * 65_535 + b",1\n"
        for _ in range(2_600):
            out.write(line)
    with pytest.raises(SourceUnreadable, match="bomb"):
        read_all(tmp_path)


def test_a_file_that_changed_since_the_look_is_refused(tmp_path: Path) -> None:
    """The digest of what was read is compared with the listed one."""
    path = tmp_path / "a.csv"
    path.write_text("x,y\n" + "1,0\n2,1\n" * 50)
    dataset = DatasetConfig(source=".", target="y")
    listing = list_source(dataset, tmp_path, LocalEngine())
    schema = look(dataset, listing, tmp_path)
    path.write_text("x,y\n" + "1,0\n3,1\n" * 50)
    with pytest.raises(SourceUnreadable, match="changed"):
        list(read_split(listing.splits[0], schema, dataset, listing, tmp_path, batch_rows=10))


def test_columns_are_found_by_name(tmp_path: Path) -> None:
    """Another order of columns is fine; an absent one is named with its file."""
    (tmp_path / "a.csv").write_text("x,z,y\n1,5,0\n2,6,1\n")
    (tmp_path / "b.csv").write_text("y,x,new,z\n1,3,q,7\n0,4,q,8\n")
    _, parts = read_all(tmp_path)
    assert [values(p, "x") for p in parts] == [[1.0, 2.0], [3.0, 4.0]]
    (tmp_path / "c.csv").write_text("y,x\n1,3\n")
    with pytest.raises(SchemaMismatch, match=r"c\.csv.*\bz\b") as caught:
        read_all(tmp_path)
    assert caught.value.fields["columns"] == ("z",)


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffx,y\r\n1,0\r\n\r\n2,1\r\n",
        "x,y\r1,0\r2,1\r",
        "x\ty\n1\t0\n2\t1",
        "x|y\n1|0\n2|1\n\n\n",
        '"x";"y"\n"1";"0"\n"2";"1"\n',
    ],
    ids=["bom-crlf-blank", "cr", "tab-no-end", "pipe-blank-end", "quoted-semicolon"],
)
def test_the_many_ways_to_write_one_table(tmp_path: Path, text: str) -> None:
    """Marks, line ends, delimiters, quotes and blank lines make no difference."""
    (tmp_path / "a.csv").write_bytes(text.encode())
    _, (batches,) = read_all(tmp_path)
    assert values(batches, "x") == [1.0, 2.0]
    assert values(batches, "y") == ["0", "1"]
    assert numbers(batches) == [0, 1]


def test_infinite_and_overflowing_numbers_are_faults_with_their_text(tmp_path: Path) -> None:
    """inf and what float32 cannot hold are faults; NaN is missing."""
    cells = ["1", "inf", "1e400", "nan", "-Infinity", "2", "+3", " 4 "] + ["5"] * 40
    (tmp_path / "a.csv").write_text(
        "x,y\n" + "".join(f"{c},{i % 2}\n" for i, c in enumerate(cells))
    )
    _, ([batch],) = read_all(tmp_path, types={"x": "numeric"})
    assert batch.faults["x"].texts == ["inf", "1e400", "-Infinity"]
    assert batch.table["x"].to_pylist()[:8] == [1.0, None, None, None, None, 2.0, 3.0, 4.0]


def test_json_lines_positions_and_kinds(tmp_path: Path) -> None:
    """Bad lines are rejected with their position; absent members are null."""
    lines = [json.dumps({"x": i, "s": "é", "b": i % 3 == 0, "y": i % 2}) for i in range(40)]
    lines[11] = '{"x": 11,'
    lines[20] = "[1, 2]"
    lines[30] = json.dumps({"x": "thirty", "y": 1})
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    _, (batches,) = read_all(tmp_path, 16)
    rejects = [r for b in batches for r in b.rejects]
    assert [(r.row, r.line) for r in rejects] == [(11, 12), (20, 21)]
    [(batch, fault)] = [(b, b.faults["x"]) for b in batches if "x" in b.faults]
    assert batch.rows[fault.indices].tolist() == [30]
    assert fault.texts == ["thirty"]
    assert values(batches, "b")[:4] == [True, False, False, True]
    assert values(batches, "b")[28] is None
    assert 11 not in numbers(batches)


def test_labels_written_as_1_and_as_1_0_are_one_class(tmp_path: Path) -> None:
    """A numeric target's labels have one text each, in all formats."""
    (tmp_path / "a.csv").write_text("x,y\n" + "1,0\n2,1\n3,1.0\n4,0.0\n" * 5)
    _, (batches,) = read_all(tmp_path)
    assert set(values(batches, "y")) == {"0", "1"}


def test_times_with_offsets_become_utc(tmp_path: Path) -> None:
    """ISO 8601 with and without a zone, seconds and fractions."""
    texts = [
        "2024-03-01T10:00:00Z",
        "2024-03-01 10:00",
        "2024-03-01",
        "2024-03-01T10:00:00.25+02:00",
        "2024-13-01",
        "soon",
    ] + ["2024-03-02 00:00:00"] * 60
    (tmp_path / "a.csv").write_text(
        "t,y\n" + "".join(f"{t},{i % 2}\n" for i, t in enumerate(texts))
    )
    _, ([batch],) = read_all(tmp_path, time="t")
    shown = [None if t is None else t.isoformat() for t in batch.table["t"].to_pylist()[:6]]
    assert shown == [
        "2024-03-01T10:00:00",
        "2024-03-01T10:00:00",
        "2024-03-01T00:00:00",
        "2024-03-01T08:00:00.250000",
        None,
        None,
    ]
    assert batch.faults["t"].texts == ["2024-13-01", "soon"]


def test_a_file_of_one_column_keeps_its_blank_lines_as_rows(tmp_path: Path) -> None:
    """In one column an empty line is a missing value."""
    (tmp_path / "a.csv").write_text("y\n1\n\n0\n")
    _, ([batch],) = read_all(tmp_path)
    assert batch.rows.tolist() == [0, 1, 2]
    assert batch.table["y"].to_pylist() == ["1", None, "0"]


def test_a_parquet_file_is_held_by_the_row_group(tmp_path: Path) -> None:
    """Memory is a few row groups, however many the file has."""
    group_rows, groups = 20_000, 24
    noise = np.random.default_rng(0).normal(size=(10, group_rows * groups))
    table = pa.table({f"f{i}": column for i, column in enumerate(noise)})
    table = table.append_column("y", pa.array(np.arange(len(table)) % 2))
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=group_rows)
    group_bytes, names = table.nbytes // groups, table.column_names
    del table
    dataset = DatasetConfig.model_validate({"source": ".", "target": "y"})
    (split,) = list_source(dataset, tmp_path, LocalEngine()).splits
    before, held, rows = pa.total_allocated_bytes(), [], 0
    for batch in read_parquet_rows(split, SourceFiles(tmp_path), names=names, batch_rows=5000):
        rows += len(batch.rows)
        held.append(pa.total_allocated_bytes() - before)
    assert rows == group_rows * groups
    assert max(held) < 6 * group_bytes


def test_what_only_an_expression_reads_is_a_fault_of_its_row(tmp_path: Path) -> None:
    """A dropped column's cell that is no number: the row is at fault, with the cell's text."""
    lines = [f"{i},{i % 7},{i % 2}\n" for i in range(60)]
    lines[3] = "3,gone,1\n"
    (tmp_path / "a.csv").write_text("x,z,y\n" + "".join(lines))
    _, ((batch,),) = read_all(tmp_path, derive={"w": "z + 1"}, drop=["z"])
    assert "z" not in batch.table.column_names
    assert (batch.faults["z"].indices.tolist(), batch.faults["z"].texts) == ([3], ["gone"])


def test_a_key_that_was_numbers_in_parquet_gives_its_text_back_in_csv(tmp_path: Path) -> None:
    """007 is no 7: the key is lost and told, not another one."""
    (tmp_path / "a").mkdir()
    keys = list(range(60))
    table = pa.table({"k": keys, "x": keys, "y": [key % 2 for key in keys]})
    pq.write_table(table, tmp_path / "a" / "a.parquet")
    stated = {"target": "y", "key": "k"}
    dataset = DatasetConfig.model_validate({"source": "a", **stated})
    schema = look(dataset, list_source(dataset, tmp_path, LocalEngine()), tmp_path)
    (tmp_path / "b.csv").write_text("k,x,y\n007,1,0\n8,2,1\n")
    later = DatasetConfig.model_validate({"source": "b.csv", **stated})
    listing = list_source(later, tmp_path, LocalEngine())
    (split,) = listing.splits
    (batch,) = read_split(split, schema, later, listing, tmp_path, batch_rows=100)
    assert batch.table["k"].to_pylist() == [None, 8]
    assert batch.faults["k"].texts == ["007"]
