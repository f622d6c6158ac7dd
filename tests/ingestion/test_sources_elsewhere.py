"""Files of servers as sources: S3 and HTTP, of every format, and never another file unnoticed."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import subprocess
import sys
import time
import tracemalloc
from contextlib import suppress

import numpy as np
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tidemill.config import DatasetConfig
from tidemill.contracts import Split
from tidemill.engines import LocalEngine
from tidemill.errors import (
    SourceEmpty,
    SourceMissing,
    SourceUnreadable,
    StorageFailed,
    UsageError,
)
from tidemill.formats import FORMATS
from tidemill.ingestion.first_look.look import look_result
from tidemill.ingestion.sources.listing import list_source
from tidemill.ingestion.sources.parquet.parquet_apart import open_parquet
from tidemill.ingestion.sources.reading import read_split
from tidemill.ingestion.sources.streams import text_blocks
from tidemill.storage import SourceFiles
from tidemill.testing.file_servers import http_files
from tidemill.testing.sources import SourceContract
from tidemill.testing.tcp_ports import free_ports

ROWS = [(n, ("red", "blue")[n % 2], n % 3 == 0) for n in range(3000)]
LINES = b"n,word,y\n" + b"".join(f"{n},{w},{int(y)}\n".encode() for n, w, y in ROWS)
JSON = b"".join(json.dumps({"n": n, "word": w, "y": int(y)}).encode() + b"\n" for n, w, y in ROWS)


def zstd(content):
    """A frame, written by Arrow, without a checksum."""
    return pa.compress(content, codec="zstd", asbytes=True)


def parquet(table, **settings):
    """The bytes of a file with checksums."""
    out = io.BytesIO()
    pq.write_table(table, out, write_page_checksum=True, **settings)
    return out.getvalue()


def arrow(table, opened):
    """The bytes of a file or a stream, compressed."""
    out = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with opened(out, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=700)
    return out.getvalue()


TABLE = pa.table(
    {"n": [n for n, _, _ in ROWS], "word": [w for _, w, _ in ROWS], "y": [int(y) for *_, y in ROWS]}
)
FILES = {
    "a.csv": LINES,
    "a.csv.gz": gzip.compress(LINES),
    "a.csv.bz2": bz2.compress(LINES),
    "a.csv.zst": zstd(LINES),
    "a.jsonl": JSON,
    "a.jsonl.gz": gzip.compress(JSON),
    "a.parquet": parquet(TABLE, row_group_size=700),
    "a.arrow": arrow(TABLE, pa.ipc.new_file),
    "a.arrows": arrow(TABLE, pa.ipc.new_stream),
}


def read(root, source, **settings):
    """The listing, the schema, and every row."""
    dataset = DatasetConfig.model_validate({"source": source, "target": "y", **settings})
    listing = list_source(dataset, root, LocalEngine())
    schema = look_result(dataset, listing, root).schema
    tables = [
        batch.table
        for split in listing.splits
        for batch in read_split(split, schema, dataset, listing, root, batch_rows=500)
    ]
    return listing, schema, pa.concat_tables(tables)


@pytest.mark.parametrize("name", FILES)
def test_every_format_is_read_as_on_a_disk(tmp_path, s3_files, name):
    """From S3, and from HTTP, with the same schema and rows as the file itself."""
    (tmp_path / name).write_bytes(FILES[name])
    _, schema, rows = read(tmp_path, name)
    assert len(rows) == len(ROWS)
    with http_files(tmp_path) as served:
        for url in (s3_files.put(f"formats/{name}", FILES[name]), f"{served.url}/{name}"):
            listing, theirs, found = read(tmp_path, url)
            assert listing.splits[0].address == url
            assert theirs == schema
            assert found == rows


def test_a_sheet_of_a_workbook_elsewhere_is_read(tmp_path, s3_files):
    """Under its address, by a copy of the book without a name."""
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("May 24")
    for row in [("n", "word", "y"), *ROWS[:200]]:
        sheet.append(row)
    out = io.BytesIO()
    book.save(out)
    url = f"{s3_files.put('book/year=2024/a.xlsx', out.getvalue())}#May 24"
    listing, _, rows = read(tmp_path, url)
    assert [split.address for split in listing.splits] == [url]
    assert rows["n"].to_pylist() == [n for n, _, _ in ROWS[:200]]


def test_folders_of_keys_are_columns(tmp_path, s3_files):
    """NAME=VALUE, whichever way they are named."""
    for year in (2023, 2024):
        s3_files.put(f"hive/year={year}/part-0.csv", b"x,y\n1,0\n2,1\n3,0\n")
    s3_files.put("hive/year=2024/_SUCCESS", b"")
    for name in ("hive", "hive/year=*/part-*.csv"):
        listing, _, rows = read(tmp_path, f"{s3_files.url}/{name}")
        assert listing.folders == ("year",)
        assert rows["year"].to_pylist() == [2023.0] * 3 + [2024.0] * 3
    listing, _, rows = read(tmp_path, f"{s3_files.url}/hive/year=2024")
    assert rows["year"].to_pylist() == [2024.0] * 3


def test_two_of_ten_columns_fetch_the_bytes_of_two(tmp_path, s3_files):
    """And of the footer: counted by the server."""
    table = pa.table({f"c{i}": np.random.default_rng(i).random(60_000) for i in range(10)})
    content = parquet(table, row_group_size=20_000, compression="none", use_dictionary=False)
    url = s3_files.put("wide/a.parquet", content)
    files = SourceFiles(tmp_path)
    s3_files.asked.clear()
    with files.ranged(url) as place, open_parquet(place, url) as file:
        found = pa.Table.from_batches(list(file.batches(range(3), [2, 7])))
    assert found.column(0).combine_chunks() == table["c2"].combine_chunks()
    assert found.column(1).combine_chunks() == table["c7"].combine_chunks()
    asked = [one for one in s3_files.asked if one.method == "GET"]
    assert len(asked) == 1 + 1 + 3 * 2  # the footer, a page's header, a chunk of each column
    footer = pq.read_metadata(io.BytesIO(content))
    chunks = sum(
        footer.row_group(g).column(c).total_compressed_size for g in range(3) for c in (2, 7)
    )
    assert sum(one.size for one in asked) == chunks + (1 << 16) + 512
    assert chunks < len(content) / 4


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl.gz", "a.parquet"])
@pytest.mark.parametrize("server", ["s3", "http", "http with dates", "http with neither"])
def test_a_file_that_changed_is_refused(tmp_path, s3_files, name, server):
    """Whatever its server names it by: between the look and the end of the reading."""
    other = FILES[name][:-60] + FILES[name][-50:]
    dataset = DatasetConfig.model_validate({"source": "x", "target": "y"})
    (tmp_path / name).write_bytes(FILES[name])
    settings = {"tags": server == "http", "dates": server != "http with neither"}
    with http_files(tmp_path, **settings) as served:
        url = f"{served.url}/{name}"
        if server == "s3":
            url = s3_files.put(f"changes/{name}", FILES[name])
        dataset = dataset.model_copy(update={"source": url})
        listing = list_source(dataset, tmp_path, LocalEngine())
        schema = look_result(dataset, listing, tmp_path).schema
        (tmp_path / name).write_bytes(other)
        if server == "s3":
            s3_files.put(f"changes/{name}", other)
        read = (
            read_split(split, schema, dataset, listing, tmp_path, batch_rows=500)
            for split in listing.splits
        )
        with pytest.raises(SourceUnreadable) as caught:
            _ = [list(batches) for batches in read]
    assert caught.value.remedy


def test_a_server_without_ranges_has_text_but_no_parquet(tmp_path):
    """What helps is said."""
    for name in ("a.csv", "a.parquet"):
        (tmp_path / name).write_bytes(
            FILES[name]
            if name == "a.csv"
            else parquet(
                pa.table({"n": np.random.default_rng(1).random(30_000), "y": np.arange(30_000) % 2})
            )
        )
    with http_files(tmp_path, ranges=False) as served:
        assert len(read(tmp_path, f"{served.url}/a.csv")[2]) == len(ROWS)
        with pytest.raises(StorageFailed, match="range requests") as caught:
            read(tmp_path, f"{served.url}/a.parquet")
    assert "fetch the file" in caught.value.remedy


def test_a_damaged_file_elsewhere_is_damaged(tmp_path, s3_files):
    """Cut off, or with a byte that changed: told as of a file on a disk."""
    whole = FILES["a.parquet"]
    flipped = whole[:2000] + bytes([whole[2000] ^ 1]) + whole[2001:]
    for content in (whole[:-100], flipped, FILES["a.csv.gz"][:-100]):
        url = s3_files.put("damage/a", content)
        with pytest.raises(SourceUnreadable) as caught:
            read(tmp_path, url)
        assert caught.value.remedy


def test_nothing_there_is_told(tmp_path, s3_files):
    """No key, no bucket, no data; and a scheme that nothing reads."""
    s3_files.put("empty/a.csv", b"")
    for source, kind in (
        (f"{s3_files.url}/none.csv", SourceMissing),
        ("s3://no-such-bucket/none/*.csv", SourceMissing),
        (f"{s3_files.url}/empty", SourceEmpty),
        ("ftp://host/a.csv", SourceMissing),
    ):
        with pytest.raises(kind) as caught:
            read(tmp_path, source)
        assert caught.value.remedy


@pytest.mark.parametrize("query", ["X-Amz-Signature=canary", "sig=canary"])
def test_a_signed_address_is_refused_and_not_repeated(tmp_path, query):
    """Whoever names it."""
    dataset = DatasetConfig.model_construct(source=f"https://h/a.csv?{query}", format="auto")
    with pytest.raises(UsageError) as caught:
        list_source(dataset, tmp_path, LocalEngine(), named="--input")
    assert "canary" not in f"{caught.value} {caught.value.remedy} {caught.value.fields}"


@pytest.mark.slow
def test_memory_is_that_of_a_few_blocks(tmp_path):
    """Of a file that another process serves, a fraction is held while it is read."""
    lines = "".join(f"{n:05000d},{n % 2}\n" for n in range(12_000))
    (tmp_path / "a.csv").write_text("word,y\n" + lines)
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL) as server:
        try:
            files, url = SourceFiles(tmp_path), f"http://127.0.0.1:{port}/a.csv"
            for _ in range(100):
                with suppress(StorageFailed):
                    split = Split(0, url, "csv", "none", files.size(url), files.etag(url))
                    break
                time.sleep(0.1)
            tracemalloc.start()
            read = sum(map(len, text_blocks(split, files, encoding="utf-8")))
            most = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
            server.terminate()
    assert read == len(lines) + 7
    assert most < read / 2


class OverS3(SourceContract):
    """What is written to a folder lies in a bucket."""

    # The server holds all of it in this process: see the test of one that is another's.
    test_memory_is_that_of_a_few_batches = None

    @pytest.fixture(autouse=True)
    def _server(self, s3_files):
        self.server = s3_files

    def open(self, folder, source="."):
        place = f"{self.format}-{folder.parent.name}-{folder.name}"
        url = self.server.put_folder(place, folder)
        url = url if source == "." else f"{url}/{source}"
        return FORMATS[self.format](
            DatasetConfig(source=url, format=self.format, target="number"), folder
        )


@pytest.mark.slow
class TestCsvOverS3(OverS3):
    """Delimited text keeps the contract."""

    format = "csv"

    def write(self, folder, name, rows):
        lines = ["word,number", *(f"{word},{number}" for word, number in rows)]
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")


@pytest.mark.slow
class TestParquetOverS3(OverS3):
    """Parquet keeps the contract."""

    format = "parquet"

    def write(self, folder, name, rows):
        columns = {"word": [w for w, _ in rows], "number": [n for _, n in rows]}
        table = pa.table(columns, pa.schema([("word", pa.string()), ("number", pa.int64())]))
        (folder / f"{name}.parquet").write_bytes(parquet(table, row_group_size=2000))
