"""Parquet of unknown origin: parsed in a process apart, whole or refused."""

from __future__ import annotations

import base64
import os
import signal
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
import pytest

from tidemill.config import DatasetConfig
from tidemill.contracts import Split
from tidemill.errors import SourceUnreadable, WorkerLost
from tidemill.formats import FORMATS
from tidemill.ingestion.sources.files import has_zstd_checksum
from tidemill.ingestion.sources.parquet import parquet_apart, parquet_child
from tidemill.ingestion.sources.parquet.parquet_apart import open_parquet
from tidemill.ingestion.sources.parquet.parquet_rows import read_parquet_rows
from tidemill.parquet_pages import Damaged, page_values
from tidemill.storage import SourceFiles, hash_file

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases"
ROWS, GROUP = 900, 300


def table() -> pa.Table:
    """Numbers, whole numbers, texts, booleans and times, some of them missing."""
    rng = np.random.default_rng(5)
    words = np.array(["red", "green", "blue", None], dtype=object)
    return pa.table(
        {
            "x": rng.normal(size=ROWS),
            "n": pa.array(range(ROWS), pa.int64()),
            "c": pa.array(words[rng.integers(0, 4, ROWS)], pa.string()),
            "b": rng.integers(0, 2, ROWS) == 1,
            "t": pa.array(rng.integers(0, 10**15, ROWS), pa.timestamp("us")),
        }
    )


def written(path: Path, **options: Any) -> bytes:
    """The file's bytes."""
    given = {"row_group_size": GROUP, "write_page_checksum": True, "compression": "zstd"}
    pq.write_table(table(), path, **(given | options))
    return path.read_bytes()


def read(path: Path) -> pa.Table:
    """All rows, by way of the process apart."""
    with open_parquet(path, path.name) as file:
        names, columns = file.schema.names, list(range(len(file.schema)))
        batches = list(file.batches(range(len(file.group_rows)), columns))
        kinds = [field.type for field in file.schema]
    empty = pa.schema(zip([str(c) for c in columns], kinds, strict=True))
    whole = pa.Table.from_batches(batches, empty).rename_columns(names)
    return whole.set_column(2, "c", whole["c"].cast(pa.string())) if "c" in names else whole


def flipped(content: bytes, place: int, bit: int) -> bytes:
    return content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :]


@pytest.mark.parametrize("options", [{}, {"data_page_version": "2.0"}, {"use_dictionary": False}])
def test_every_page_tells_its_values(tmp_path: Path, options: dict[str, Any]) -> None:
    """The page headers of each chunk sum to the footer's count, and all rows come."""
    path = tmp_path / "a.parquet"
    written(path, data_page_size=512, **options)
    metadata = pq.read_metadata(path)
    with path.open("rb") as file:
        for group in range(metadata.num_row_groups):
            for column in range(metadata.num_columns):
                chunk = metadata.row_group(group).column(column)
                assert page_values(file, chunk) == GROUP
    assert read(path).equals(table())


@pytest.mark.parametrize("options", [{}, {"data_page_version": "2.0"}, {"use_dictionary": False}])
def test_row_groups_without_rows_are_passed_over(tmp_path: Path, options: dict[str, Any]) -> None:
    """Alone in a file, and among full ones: such chunks have a dictionary and no data page."""
    path, rows = tmp_path / "a.parquet", table()
    for groups in ([0], [GROUP, 0, GROUP], [0, GROUP]):
        with pq.ParquetWriter(path, rows.schema, write_page_checksum=True, **options) as out:
            for size in groups:
                out.write_table(rows.slice(0, size))
        assert pq.read_metadata(path).num_row_groups == len(groups)
        expected = pa.concat_tables([rows.slice(0, size) for size in groups])
        assert read(path).equals(expected), groups


@pytest.mark.parametrize(
    "part",
    [pytest.param("footer", id="footer"), pytest.param("pages", id="pages")],
)
@pytest.mark.parametrize(
    "flips",
    [4, pytest.param(1500, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])],
    ids=["few", "many"],
)
def test_a_flipped_byte_is_refused_or_does_no_harm(tmp_path: Path, part: str, flips: int) -> None:
    """Pages have checksums, the footer has none: its counts are compared with what comes."""
    path = tmp_path / "a.parquet"
    content = written(path)
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    rng = np.random.default_rng(17)
    low, high = (footer, len(content)) if part == "footer" else (4, footer)
    harmless = 0
    for place, bit in zip(rng.integers(low, high, flips), rng.integers(0, 8, flips), strict=True):
        path.write_bytes(flipped(content, int(place), 1 << int(bit)))
        try:
            found = read(path)
        except SourceUnreadable:
            continue
        harmless += 1
        told = f"byte {place}, bit {bit}"
        assert found.num_rows == ROWS, told
        # Names and types stand in the footer alone; values and their order are the pages'.
        for was, now in zip(table().columns, found.columns, strict=True):
            assert now.type != was.type or now.equals(was), told
    assert harmless < flips


def test_rows_that_could_be_read_are_those_of_the_footer(tmp_path: Path) -> None:
    """Of nested values, whose pages tell no rows, nothing else would notice lost ones."""
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"v": [[1, 2], [3]]}), path)
    with closing(parquet_child._Opened(str(path))) as opened:
        assert sum(batch.num_rows for batch in opened.batches([0], [0], None)) == 2
        opened.rows = [3]
        with pytest.raises(Damaged, match="3 rows by the footer, and 2 could be"):
            list(opened.batches([0], [0], None))


def test_small_row_groups_are_read_together(tmp_path: Path) -> None:
    """20,000 groups of ten rows cost what 200,000 rows do, and a lost one is told by its place."""
    path = tmp_path / "a.parquet"
    numbers = pa.table({"v": range(1_000), "t": [str(n % 7) for n in range(1_000)]})
    pq.write_table(numbers, path, row_group_size=10, write_page_checksum=True)
    with closing(parquet_child._Opened(str(path))) as opened:
        assert [batch.num_rows for batch in opened.batches(list(range(100)), [0, 1], None)] == [
            1_000
        ]
        assert list(opened._runs([0, 1, 2])) == [[0, 1, 2]]
        opened.rows = [16_000, 300, 100, 16_384, 1]
        assert list(opened._runs([0, 1, 2, 3, 4])) == [[0, 1], [2], [3], [4]]
        opened.rows = [10] * 5 + [11] + [10] * 94
        with pytest.raises(Damaged, match="group 0 to 99 has 1001 rows by the footer, and 1000 co"):
            list(opened.batches(list(range(100)), [0], None))


@pytest.mark.slow
def test_types_that_arrow_wrote_twice_agree(tmp_path: Path) -> None:
    """A unit that is another one in half of the footer is damage; all that Arrow writes is none."""
    path = tmp_path / "a.parquet"
    content = written(path)
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    refused = 0
    for place in range(footer, len(content) - 8):
        if content[place] != 0x2C:  # the second choice of a union: microseconds, of the units
            continue
        path.write_bytes(flipped(content, place, 0x10))
        try:
            found = read(path)
        except SourceUnreadable as exc:
            refused += "elsewhere in the footer" in exc.message
        else:
            assert found.equals(table())
    assert refused
    whole = pa.array([0, 0], pa.int64())
    kinds = [pa.timestamp(unit, tz) for unit in ("s", "ms", "us", "ns") for tz in (None, "UTC")]
    kinds += [pa.int8(), pa.uint8(), pa.uint32(), pa.uint64(), pa.date32(), pa.date64()]
    columns = {
        str(kind): whole.cast(pa.int32() if kind == pa.date32() else pa.int64()).cast(kind)
        for kind in kinds
    }
    columns["d"] = pa.array([1, 2]).cast(pa.decimal128(22, 2))
    for version in ("1.0", "2.4", "2.6"):
        for int96 in (False, True):
            pq.write_table(
                pa.table(columns), path, version=version, use_deprecated_int96_timestamps=int96
            )
            assert read(path).num_rows == 2


@pytest.mark.skipif(not CASES.is_dir(), reason=f"{CASES} is absent")
def test_the_footers_that_were_met(tmp_path: Path) -> None:
    """One lost 100 of 300 rows in silence, one ended the whole process."""
    with pytest.raises(SourceUnreadable, match=r"row group 1 has 100 rows.* -96 by the footer"):
        read(CASES / "footer_flip_loses_100_of_300.parquet")
    with pytest.raises(SourceUnreadable, match="SIGABRT") as caught:
        read(CASES / "footer_flip_aborts.parquet")
    assert "memory" not in caught.value.remedy
    path = tmp_path / "a.parquet"
    written(path)
    assert read(path).equals(table())  # by the next child


def test_limits_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What needs more than the child may hold is refused, with the remedy for that."""
    path = tmp_path / "a.parquet"
    texts = pa.table({"t": [letter * (1 << 20) for letter in "abcdef"] * 10})
    pq.write_table(texts, path, use_dictionary=False, compression="zstd")
    fresh_children(monkeypatch, MEMORY_BYTES=100 << 20)
    with pytest.raises(SourceUnreadable, match="more than 100 MB") as caught:
        read(path)
    assert "row groups" in caught.value.remedy
    fresh_children(monkeypatch, MEMORY_BYTES=1 << 30)
    assert read(path).num_rows == 60


@pytest.mark.parametrize(
    ("number", "kind", "said"),
    [
        (signal.SIGXCPU, SourceUnreadable, "seconds without a result"),
        (signal.SIGSEGV, SourceUnreadable, "aborts on it"),
        (signal.SIGKILL, WorkerLost, "ended with -9"),
    ],
)
def test_how_the_child_ended_is_told(
    tmp_path: Path, number: int, kind: type[Exception], said: str
) -> None:
    """The file is blamed for what the parser does, not for what the system does to the parser."""
    path = tmp_path / "a.parquet"
    written(path)
    with open_parquet(path, path.name) as file:
        os.kill(file._child._process.pid, number)
        with pytest.raises(kind, match=said):
            list(file.batches(range(3), [0]))


def test_a_child_serves_many_files_and_is_replaced_when_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not every file costs a process; one that ended while idle is no error."""
    path = tmp_path / "a.parquet"
    written(path)
    fresh_children(monkeypatch)
    read(path)
    (child,) = parquet_apart._idle
    with open_parquet(path, path.name) as file:
        assert file._child is child
    with open_parquet(path, path.name) as file:
        next(file.batches(range(3), [0]))  # half-read: it cannot be asked anything else
    assert not parquet_apart._idle
    read(path)
    (child,) = parquet_apart._idle
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), child._in.fileno())
    assert child._process.wait() == 0  # as it ends of itself when nobody asks for a while
    assert read(path).equals(table())


def test_texts_that_repeat_may_not_stand_for_gigabytes(tmp_path: Path) -> None:
    """A file of kilobytes costs its kilobytes."""
    path = tmp_path / "a.parquet"
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 2000, pa.int32()), ["x" * 700_000])
    pq.write_table(pa.table({"t": text, "y": [0, 1] * 1000}), path, compression="zstd")
    size = path.stat().st_size
    assert size < 10_000
    split = Split(0, path.name, "parquet", "none", size, hash_file(path), (0, 1))
    with pytest.raises(SourceUnreadable, match="column t open to 1,335 MB") as caught:
        list(read_parquet_rows(split, SourceFiles(tmp_path), names=["t", "y"], batch_rows=65_536))
    assert "dataset.drop" in caught.value.remedy
    (batch,) = read_parquet_rows(split, SourceFiles(tmp_path), names=["y"], batch_rows=65_536)
    assert len(batch.rows) == 2000


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.parquet", lambda path: written(path), ""),
        ("a.parquet", lambda path: written(path, write_page_checksum=False), "pyarrow: write_page"),
        ("a.csv.zst", lambda path: path.write_bytes(b"\x28\xb5\x2f\xfd\x24" + b"..."), ""),
        (
            "a.csv.zst",
            lambda path: path.write_bytes(pa.compress(b"x,b\n", "zstd", True)),
            "--check",
        ),
    ],
)
def test_files_without_checksums_are_told(
    tmp_path: Path, name: str, content: Callable[[Path], Any], said: str
) -> None:
    """Once for all files, with what would write them."""
    content(tmp_path / name)
    checked = not said
    if name.endswith("zst"):
        assert has_zstd_checksum((tmp_path / name).read_bytes()) is checked
    else:
        with open_parquet(tmp_path / name, name) as file:
            assert file.checked is checked
    form = "parquet" if name.endswith("parquet") else "csv"
    split = Split(0, name, form, "none", 9, "", checked=checked)
    source = FORMATS[form](DatasetConfig(source=name, target="y"), tmp_path)
    told = source.unchecked((split, replace(split, address="b", checked=True)))
    assert len(told) == (0 if checked else 1)
    assert all("1 of 2 files" in line and said in line for line in told)


def test_too_many_columns_are_refused_by_the_footer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything goes through them."""
    monkeypatch.setattr(parquet_child, "MOST_COLUMNS", 2)
    for columns in (2, 3):
        pq.write_table(pa.table({f"c{n}": [1] for n in range(columns)}), tmp_path / "a")
        footer = pq.read_metadata(tmp_path / "a")
        if columns == 2:
            parquet_child.refuse_bomb(footer, 1000)
        else:
            with pytest.raises(Damaged, match="3 columns; at most 2"):
                parquet_child.refuse_bomb(footer, 1000)


class _Keys(pe.KmsClient):
    """Wraps a key by writing it down."""

    def wrap_key(self, key: bytes, _: str) -> bytes:
        return base64.b64encode(key)

    def unwrap_key(self, wrapped: bytes, _: str) -> bytes:
        return base64.b64decode(wrapped)


def test_encrypted_columns_are_called_so(tmp_path: Path) -> None:
    """The reader aborts on them; nothing is damaged."""
    table = pa.table({"x": [1, 2], "y": [0, 1]})
    properties = pe.CryptoFactory(lambda _: _Keys()).file_encryption_properties(
        pe.KmsConnectionConfig(),
        pe.EncryptionConfiguration(footer_key="a", column_keys={"b": ["x"]}, plaintext_footer=True),
    )
    path = tmp_path / "a.parquet"
    with pq.ParquetWriter(path, table.schema, encryption_properties=properties) as writer:
        writer.write_table(table)
    with pytest.raises(SourceUnreadable, match="encrypted columns"), open_parquet(path, "a"):
        pass


def fresh_children(monkeypatch: pytest.MonkeyPatch, **limits: int) -> None:
    """End those that wait, and start the next with other limits."""
    while parquet_apart._idle:
        parquet_apart._idle.pop().end()
    for name, limit in limits.items():
        monkeypatch.setattr(parquet_apart, name, limit)
