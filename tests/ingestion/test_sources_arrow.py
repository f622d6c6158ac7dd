"""Arrow's own files and streams: read as Parquet is, whole or refused."""

from __future__ import annotations

import datetime as dt
import struct
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from tests.ingestion import tables

from tidemill.arrow_file import ArrowFile
from tidemill.config import DatasetConfig
from tidemill.errors import SourceUnreadable
from tidemill.formats import FORMATS
from tidemill.ingestion.sources.parquet import parquet_source
from tidemill.ingestion.sources.parquet.parquet_apart import open_parquet
from tidemill.parquet_pages import Damaged
from tidemill.testing.sources import Rows, SourceContract

ROWS, BATCH = 900, 300


def write(
    path: Path,
    table: pa.Table,
    *,
    stream: bool = False,
    batch: int = BATCH,
    codec: str | None = None,
) -> bytes:
    """The file's bytes."""
    options = pa.ipc.IpcWriteOptions(compression=codec)
    opened = pa.ipc.new_stream if stream else pa.ipc.new_file
    with opened(path, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=batch)
    return path.read_bytes()


def table() -> pa.Table:
    """Numbers, whole numbers, texts, truths and times, some of them missing."""
    rng = np.random.default_rng(5)
    words = np.array(["red", "green", "blue", None], dtype=object)
    return pa.table(
        {
            "x": rng.normal(size=ROWS),
            "n": pa.array(range(ROWS), pa.int64()),
            "c": pa.array(words[rng.integers(0, 4, ROWS)], pa.string()),
            "b": rng.integers(0, 2, ROWS) == 1,
            "t": pa.array(rng.integers(0, 10**15, ROWS), pa.timestamp("us")),
            "y": pa.array(np.where(np.arange(ROWS) % 3, "late", "kept")),
        }
    )


def read(path: Path, columns: list[int] | None = None) -> pa.Table:
    """All rows, by way of the process apart."""
    with open_parquet(path, path.name, "Arrow") as file:
        asked = list(range(len(file.schema))) if columns is None else columns
        batches = list(file.batches(range(len(file.group_rows)), asked))
        return pa.Table.from_batches(batches).rename_columns([file.schema.names[c] for c in asked])


class OfArrow(SourceContract):
    """Word and number, a hundred rows a batch; no record of it can be no row."""

    format = "arrow"
    stream = False
    codec: str | None = None

    def write(self, folder: Path, name: str, rows: Rows) -> None:
        words, numbers = (pa.array([row[at] for row in rows], kind) for at, kind in _COLUMNS)
        written = pa.table({"word": words, "number": numbers})
        write(folder / f"{name}.arrow", written, stream=self.stream, batch=100, codec=self.codec)


_COLUMNS = ((0, pa.string()), (1, pa.int64()))


class TestArrowFile(OfArrow):
    """A file of Arrow keeps the contract."""


@pytest.mark.slow
class TestArrowStream(OfArrow):
    """So does a compressed stream."""

    stream = True
    codec = "lz4"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("codec", [None, "lz4", "zstd"])
def test_what_was_written_is_read(tmp_path: Path, stream: bool, codec: str | None) -> None:
    """Every value, in columns alone and in another order too."""
    write(tmp_path / "a.arrow", table(), stream=stream, codec=codec)
    assert read(tmp_path / "a.arrow").equals(table())
    assert read(tmp_path / "a.arrow", [4, 1]).equals(table().select(["t", "n"]))


def test_it_is_the_table_that_parquet_is(tmp_path: Path) -> None:
    """Look finds the same columns and types, and rows have the same values."""
    wide = table().append_column("when", pa.array([dt.date(2024, 1, 1)] * ROWS))
    wide = wide.append_column("price", pa.array([Decimal("1.50")] * ROWS, pa.decimal128(9, 2)))
    wide = wide.append_column("d", wide["c"].dictionary_encode())
    wide = wide.append_column("nested", pa.array([[1]] * ROWS))
    pq.write_table(wide, tmp_path / "a.parquet")
    pa.feather.write_feather(wide, str(tmp_path / "a.feather"), compression="zstd")
    one, rows = tables.read(tmp_path, "a.parquet")
    two, others = tables.read(tmp_path, "a.feather")
    kinds = [{c.name: (c.type, c.physical) for c in found.schema.columns} for found in (one, two)]
    # Parquet's footer rules out that a whole number is beyond float32; Arrow has none.
    assert kinds[1].pop("n")[1] == "float64"
    kinds[0].pop("n")
    assert kinds[0] == kinds[1]
    assert set(one.ignored) == set(two.ignored)
    assert "nested" in two.ignored
    for name in kinds[0]:
        assert tables.values(rows, name) == tables.values(others, name)


def test_types_that_only_arrow_has_are_read(tmp_path: Path) -> None:
    """Views of texts, as Polars writes them, and dictionaries of all kinds; the rest by name."""
    words = ["red", None, "a text of more than twelve letters"] * 20
    codes = pa.array([0, None, 1] * 20, pa.uint8())
    given = pa.table(
        {
            "view": pa.array(words, pa.string_view()),
            "large": pa.array(words, pa.large_string()),
            "category": pa.DictionaryArray.from_arrays(
                codes, pa.array([words[0], words[2]], pa.string_view())
            ),
            "coded": pa.DictionaryArray.from_arrays(codes, pa.array([7, 2**53 + 1])),
            "none": pa.nulls(60),
            "runs": pa.RunEndEncodedArray.from_arrays([60], ["x"]),
            "y": pa.array(["late", "kept", "late"] * 20),
        }
    )
    write(tmp_path / "a.arrow", given, batch=25)
    found = read(tmp_path / "a.arrow", [0, 1, 2, 3, 4])
    assert [found[name].to_pylist() for name in ("view", "large", "category")] == [words] * 3
    assert found["coded"].to_pylist() == [7, None, 2**53 + 1] * 20
    looked, batches = tables.read(tmp_path, "a.arrow", types={"view": "categorical"})
    assert "run_end_encoded" in looked.ignored["runs"]
    assert tables.values(batches, "view") == words


@pytest.mark.parametrize("batches", [1, 3])
def test_a_missing_word_of_a_dictionary_is_a_missing_value(tmp_path: Path, batches: int) -> None:
    """Wherever it stands among the words, of texts and of numbers; also of words that differ."""
    rows = 4 * 25
    codes = pa.array([0, 1, None, 2] * 25, pa.int8())
    words = [["red", None, "blue"], [None, "green", "red"], ["red", "blue", None]][:batches]
    numbers = [[7, None, 9], [None, 8, 7], [7, 9, None]][:batches]
    parts = [
        pa.record_batch(
            {
                "word": pa.DictionaryArray.from_arrays(codes, pa.array(word)),
                "coded": pa.DictionaryArray.from_arrays(codes, pa.array(number)),
                "y": pa.array(["late", "kept"] * (rows // 2)),
            }
        )
        for word, number in zip(words, numbers, strict=True)
    ]
    with pa.ipc.new_stream(tmp_path / "a.arrows", parts[0].schema) as file:
        for part in parts:
            file.write_batch(part)
    looked, given = tables.read(tmp_path, "a.arrows", types={"word": "categorical"})
    given = list(given)
    expected = [[w[0], w[1], None, w[2]] * 25 for w in words]
    assert tables.values(given, "word") == [value for part in expected for value in part]
    numeric = [None if value is None else float(value) for value in tables.values(given, "coded")]
    told = [[n[0], n[1], None, n[2]] * 25 for n in numbers]
    assert numeric == [value for part in told for value in part]
    assert looked.schema["word"].physical == "dictionary"


def test_texts_that_are_no_utf8_are_faults_of_their_rows(tmp_path: Path) -> None:
    """The rest is read."""
    content = write(
        tmp_path / "a.arrow", pa.table({"c": ["good", "b@d", "good"] * 3, "y": list("aab") * 3})
    )
    (tmp_path / "a.arrow").write_bytes(content.replace(b"b@d", b"b\xffd"))
    found, (batch,) = tables.read(tmp_path, "a.arrow", types={"c": "categorical"})
    assert batch.table["c"].to_pylist() == ["good", None, "good"] * 3
    assert batch.faults["c"].indices.tolist() == [1, 4, 7]
    assert found.schema["c"].physical == "dictionary"


def test_a_file_is_cut_at_record_batches_and_a_stream_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each split begins where the one before it ends."""
    monkeypatch.setattr(parquet_source, "SPLIT_ROWS", 2 * BATCH)
    write(tmp_path / "a.arrow", table())
    write(tmp_path / "b.arrows", table(), stream=True)
    source = FORMATS["arrow"](DatasetConfig(source=".", target="y"), tmp_path)
    cut = source.split("a.arrow")
    assert [(split.part, split.first_row) for split in cut] == [((0, 2), 0), ((2, 3), 600)]
    assert [split.part for split in source.split("b.arrows")] == [(0, 1)]
    assert not cut[0].checked
    assert "1 of 1 files are Arrow without checksums" in source.unchecked(tuple(cut))[0]


def test_files_are_known_by_what_they_begin_with(tmp_path: Path) -> None:
    """Whatever their names; and a file without rows is one."""
    source = FORMATS["arrow"](DatasetConfig(source=".", target="y"), tmp_path)
    for name, stream in (("a", False), ("b", True)):
        write(tmp_path / f"{name}.bin", table(), stream=stream)
        found, batches = tables.read(tmp_path, f"{name}.bin")
        assert sum(batch.table.num_rows for batch in batches) == ROWS
        assert found.schema["b"].type.value == "boolean"
        write(tmp_path / "empty.arrow", table().slice(0, 0), stream=stream)
        assert source.split("empty.arrow")
    (tmp_path / "old.feather").write_bytes(b"FEA1" + bytes(60) + b"FEA1")
    with pytest.raises(SourceUnreadable, match="Feather of version 1") as caught:
        tables.read(tmp_path, "old.feather")
    assert "version 2" in caught.value.remedy


@pytest.mark.parametrize("stream", [False, True])
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, stream: bool) -> None:
    """Wherever it ends, between two messages too."""
    path = tmp_path / "a.arrow"
    content = write(path, table(), stream=stream)
    for size in (*range(0, len(content) - 8, 611), len(content) - 8, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises((Damaged, pa.ArrowInvalid)):
            ArrowFile(str(path))


@pytest.mark.parametrize("stream", [False, True])
def test_a_changed_byte_is_a_cell_or_an_error(tmp_path: Path, stream: bool) -> None:
    """Nothing tells of a changed value, but no byte costs the reader, nor a row."""
    path, rng = tmp_path / "a.arrow", np.random.default_rng(3)
    content = write(path, table(), stream=stream)
    refused = 0
    for at in rng.integers(0, len(content), 16).tolist():
        mutant = bytearray(content)
        mutant[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(mutant)
        try:
            assert read(path).num_rows == ROWS
        except SourceUnreadable:
            refused += 1
    assert refused < 16


def test_a_bomb_costs_an_error(tmp_path: Path) -> None:
    """A batch that opens to a thousand times the file, and rows that no byte stands for."""
    path = tmp_path / "a.arrow"
    write(path, pa.table({"c": ["0" * 1_000_000] * 100}), codec="zstd")
    assert path.stat().st_size < 50_000
    with pytest.raises(SourceUnreadable, match="opens to 95 MB") as caught:
        read(path)
    assert "smaller record batches" in caught.value.remedy
    content = write(path, pa.table({"c": pa.nulls(1234)}), batch=1234)
    path.write_bytes(content.replace(struct.pack("<q", 1234), struct.pack("<q", 2**50)))
    with pytest.raises(SourceUnreadable, match="promises 1,125,899,906,842,624 rows"):
        read(path)
