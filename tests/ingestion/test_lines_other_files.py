"""Files of one source that are not written alike are refused for what differs."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path
from typing import Any

import pytest

from tidemill.config import DatasetConfig
from tidemill.engines import LocalEngine
from tidemill.errors import SchemaMismatch, SourceUnreadable
from tidemill.ingestion.first_look.look import look_result
from tidemill.ingestion.sources.listing import list_source
from tidemill.ingestion.sources.reading import read_split

ROWS = [["name", "v", "y"], *([f"Zoë {n % 3}", str(n), "ab"[n % 2]] for n in range(40))]


def text(**way: Any) -> str:
    """The rows as csv writes them."""
    made = io.StringIO()
    csv.writer(made, lineterminator="\n", **way).writerows(ROWS)
    return made.getvalue()


def read(root: Path, **stated: Any) -> list[dict[str, Any]]:
    """All rows of the folder's files."""
    dataset = DatasetConfig.model_validate({"source": "*", "target": "y", **stated})
    listing = list_source(dataset, root, LocalEngine())
    schema = look_result(dataset, listing, root).schema
    return [
        row
        for split in listing.splits
        for batch in read_split(split, schema, dataset, listing, root, batch_rows=64)
        for row in batch.table.to_pylist()
    ]


OTHERS = {
    "separates by ';' (there ',')": text(delimiter=";").encode(),
    "separates by '\\t' (there ',')": text(delimiter="\t").encode(),
    "encoding is 'utf-16' (there 'utf-8')": text().encode("utf-16"),
    "quotes by \"'\" (there '\"')": text(quotechar="'", quoting=csv.QUOTE_ALL).encode(),
    "the lines above its header are 2": b"Report\n\n" + text().encode(),
    "blanks behind its delimiters": text(quoting=csv.QUOTE_ALL).replace('","', '", "').encode(),
}


@pytest.mark.parametrize(("why", "content"), OTHERS.items(), ids=OTHERS)
def test_a_file_that_is_written_otherwise_is_refused(
    tmp_path: Path, why: str, content: bytes
) -> None:
    """By its name and for what differs; written as the first, as the remedy says, it is read."""
    (tmp_path / "a.csv").write_text(text())
    (tmp_path / "b.csv").write_bytes(content)
    with pytest.raises(SourceUnreadable) as caught:
        read(tmp_path)
    assert str(caught.value).startswith("b.csv is not written as a.csv is")
    assert why in str(caught.value)
    assert "write b.csv again as a.csv is written" in str(caught.value.remedy)
    (tmp_path / "b.csv").write_text(text())
    assert len(read(tmp_path)) == 80


def test_single_quotes_in_values_alone_are_seen(tmp_path: Path) -> None:
    """The header may be the same; a first file in single quotes is another than one in double."""
    lines = [",".join(ROWS[0]), *(f"'{a}',{b},{c}" for a, b, c in ROWS[1:])]
    (tmp_path / "a.csv").write_text(text())
    (tmp_path / "b.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(SourceUnreadable, match=r"b.csv is not written as a.csv is.*it quotes by"):
        read(tmp_path)
    (tmp_path / "c.csv").write_text(text(quoting=csv.QUOTE_ALL))
    (tmp_path / "a.csv").unlink()
    with pytest.raises(SourceUnreadable, match=r"c.csv is not written as b.csv is.*it quotes by"):
        read(tmp_path)


def test_a_file_that_lacks_a_column_is_told_so(tmp_path: Path) -> None:
    """Where nothing else differs; and files that do read alike are read."""
    (tmp_path / "a.csv").write_text(text())
    (tmp_path / "b.csv").write_text("name,y\n" + "Zoë,a\n" * 9)
    with pytest.raises(SchemaMismatch, match="lacks the columns v"):
        read(tmp_path)
    (tmp_path / "b.csv").write_text(text(quoting=csv.QUOTE_ALL))
    assert len(read(tmp_path)) == 80


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-8-sig"])
@pytest.mark.parametrize("packed", [False, True])
def test_byte_order_marks_are_no_names(tmp_path: Path, encoding: str, packed: bool) -> None:
    """However many there are, in compressed files too, whatever encoding is stated."""
    content = ("\ufeff\ufeff" + text()).encode(encoding)
    (tmp_path / "a.csv").write_bytes(gzip.compress(content) if packed else content)
    for stated in ({}, {"csv": {"encoding": "latin-1"}}):
        assert [row["name"] for row in read(tmp_path, **stated)][:3] == ["Zoë 0", "Zoë 1", "Zoë 2"]


def test_utf8_that_is_read_as_something_else_is_said(tmp_path: Path) -> None:
    """Of an encoding that was stated, with the first such file."""
    (tmp_path / "a.csv").write_bytes(text().encode("latin-1"))
    (tmp_path / "b.csv").write_text(text())
    given = {"source": "*", "target": "y", "csv": {"encoding": "latin-1"}}
    dataset = DatasetConfig.model_validate(given)
    found = look_result(dataset, list_source(dataset, tmp_path, LocalEngine()), tmp_path)
    assert [said for said in found.layout if "UTF-8" in said] == [
        "1 of 2 files are valid UTF-8, such as b.csv, and are read as iso8859-1 "
        "(dataset.csv.encoding)"
    ]


def test_json_lines_may_begin_with_marks(tmp_path: Path) -> None:
    """The first object is a row like others."""
    lines = "".join(f'{{"v": {n}, "y": "{"ab"[n % 2]}"}}\n' for n in range(30))
    (tmp_path / "a.jsonl").write_text("\ufeff\ufeff" + lines)
    assert [row["v"] for row in read(tmp_path)] == list(range(30))
