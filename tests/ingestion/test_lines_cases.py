"""Delimited text as people find it: read as it is meant, or refused with what helps."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tidemill.config import DatasetConfig
from tidemill.contracts import Reject
from tidemill.engines import LocalEngine
from tidemill.errors import ColumnMissing, SourceEmpty, SourceUnreadable
from tidemill.ingestion.first_look.look import LookResult, look_result
from tidemill.ingestion.sources.delimited import records
from tidemill.ingestion.sources.delimited.fields import INSIDE
from tidemill.ingestion.sources.listing import list_source
from tidemill.ingestion.sources.reading import read_split

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases"
with_cases = pytest.mark.skipif(not CASES.is_dir(), reason=f"{CASES} is absent")

Row = dict[str, Any]
ROWS = "1,2,0\n3,4,1\n" * 3


def read(
    root: Path, source: str, batch_rows: int = 1000, **stated: Any
) -> tuple[LookResult, list[Row], list[Reject], Counter[str]]:
    """What look finds, the rows, the rejects, and how many lines were no rows."""
    dataset = DatasetConfig.model_validate({"source": source, "target": "y", **stated})
    listing = list_source(dataset, root, LocalEngine())
    found = look_result(dataset, listing, root)
    rows: list[Row] = []
    rejects: list[Reject] = []
    left_out: Counter[str] = Counter()
    for split in listing.splits:
        for batch in read_split(split, found.schema, dataset, listing, root, batch_rows=batch_rows):
            rows += batch.table.to_pylist()
            rejects += batch.rejects
            left_out.update(batch.left_out)
    return found, rows, rejects, left_out


def read_text(root: Path, text: str, **stated: Any) -> tuple[Any, ...]:
    (root / "a.csv").write_text(text, newline="")
    return read(root, "a.csv", **stated)


@with_cases
def test_a_lost_separator_costs_its_line() -> None:
    """A quote stands inside an unquoted field: the row is not shifted in silence."""
    _, rows, [reject], _ = read(CASES, "lostsep_min.csv")
    assert rows == [{"a": 1.0, "b": "p", "c": "q, r", "y": "0"}]
    assert (reject.line, reject.reason) == (3, INSIDE)


@with_cases
def test_blanks_behind_separators_belong_to_them() -> None:
    """Rome is one value, whatever else is quoted in its line."""
    found, rows, rejects, _ = read(CASES, "spaces.csv")
    assert Counter(row["city"] for row in rows) == {"Rome": 100, "Oslo": 100, "Bern": 100}
    assert {row["note"] for row in rows} == {"late", "late, by phone"}
    assert (len(rows), rejects, set(found.schema.names)) == (300, [], {"id", "city", "note", "y"})
    assert any("blanks" in text for text in found.layout)
    _, rows, _, _ = read(CASES, "spaces_min.csv")
    assert rows == [{"a": 1.0, "b": "x, y", "y": "yes"}, {"a": 2.0, "b": "z", "y": "no"}]


@with_cases
def test_a_separator_behind_every_row_is_told_and_can_be_stated() -> None:
    """The header may as well have lost a name, so nobody guesses."""
    with pytest.raises(SourceUnreadable, match="line 1 has 3 fields") as caught:
        read(CASES, "trail.csv")
    assert "dataset.csv.trailing_delimiter: true" in caught.value.remedy
    _, rows, rejects, _ = read(CASES, "trail.csv", csv={"trailing_delimiter": True})
    assert rows[0] == {"a": 1.0, "b": 2.0, "y": "0"}
    assert (len(rows), rejects) == (4, [])


@with_cases
@pytest.mark.parametrize(
    ("source", "first", "count", "said"),
    [
        ("c28_sep.csv", {"a": 0.0, "b": 0.0, "y": "0"}, 60, "first line"),
        ("c28_single.csv", {"a": "x,0", "b": 0.0, "y": "0"}, 60, "' quotes"),
        ("c16_backslash.csv", {"note": 'say "hi" 0, ok', "x": 0.0, "y": "0"}, 60, "backslash"),
        ("c15_years.csv", {"region": "N", "2019": 0.0, "2020": 1.0, "y": "0"}, 60, ""),
    ],
)
def test_files_of_other_habits_are_read(source: str, first: Row, count: int, said: str) -> None:
    """A line that names the separator, single quotes, backslashes, years as names."""
    found, rows, rejects, _ = read(CASES, source)
    assert (rows[0], len(rows), rejects) == (first, count, [])
    assert said in "; ".join(found.layout)


@pytest.mark.parametrize(
    ("text", "skipped"),
    [
        ("Report of May\nmade by us\na,b,y\n" + ROWS, 2),
        ("Report of May\n\na,b,y\n" + ROWS, 2),
        ("Report,,\n,,\na,b,y\n" + ROWS, 2),
        ("Weather,,,,\na,b,c,d,y\n" + "1,2,3,4,0\n5,6,7,8,1\n" * 3, 1),
        ("Weather,,Ride,,\na,b,c,d,y\n" + "1,2,3,4,0\n5,6,7,8,1\n" * 3, 1),
        ("Umsatz 2024\nlfd,2019,2020,y\n" + "1,2,3,0\n2,3,4,1\n" * 3, 1),
        ("sep=;\na;b;y\n" + ROWS.replace(",", ";"), 1),
        ('"sep=;"\r\na;b;y\r\n' + ROWS.replace(",", ";"), 1),
    ],
)
def test_lines_above_the_header_are_recognised(tmp_path: Path, text: str, skipped: int) -> None:
    """Titles, names of groups and blank lines, where the rows below agree; and it is said."""
    found, rows, rejects, _ = read_text(tmp_path, text)
    assert found.schema.names[-1] == "y"
    assert (len(rows), rejects) == (6, [])
    shown = "line is" if skipped == 1 else f"{skipped} lines are"
    assert any(f"the first {shown} left out" in line for line in found.layout)


@pytest.mark.parametrize(
    "text",
    [
        ",y\n0,a\n1,b\n",
        ",name,y\nx,John,NA\nz,Ann,5\n",
        "id,y\n1,a\n",
        "a,b,y\np,q,r\ns,t,u\n",
        "#a,b,y\n1,2,0\n3,4,1\n",
    ],
)
def test_headers_are_no_titles(tmp_path: Path, text: str) -> None:
    """Names of an index are empty; a hash may begin a name; words may be all there is."""
    (tmp_path / "a.csv").write_text(text)
    dataset = DatasetConfig(source="a.csv", target="y")
    listing = list_source(dataset, tmp_path, LocalEngine())
    assert listing.written is not None
    assert (listing.written["header"], listing.written["skip_lines"]) == (True, 0)
    assert listing.written["comment"] == ""


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("region,2019,2020,y\nN,1,2,0\nS,3,4,1\n", True),
        ("0,1,2\n5.1,2.5,0\n5.3,2.6,1\n", True),
        ("1,2,3\n4,5,6\n7,8,9\n", False),
        ("0,1,2\n3,4,5\n6,7,8\n", False),
        ("2019,2020,2021\n5,6,7\n", False),
        ("NA,2019,2020\n5,6,7\n", False),
        ("0,tcp,http,181,0\n0,udp,dns,105,1\n", False),
        ("a,b\na,b\nc,d\n", False),
        ("a,b\n1,2\na,b\n3,4\n", True),
    ],
)
def test_whether_the_first_line_names_columns(tmp_path: Path, text: str, header: bool) -> None:
    """Years and counted columns do where a word stands over numbers; numbers alone do not."""
    (tmp_path / "a.csv").write_text(text)
    listing = list_source(DatasetConfig(source="a.csv", target="y"), tmp_path, LocalEngine())
    assert listing.written is not None
    assert listing.written["header"] is header


@pytest.mark.parametrize("batch_rows", [1, 3, 6, 1000])
@pytest.mark.parametrize(
    "again", ["a,b,y\n", '"a","b",y\n', " a,b , y\n", "\ufeffa,b,y\n", '\ufeff"a",b,y\n']
)
def test_a_header_that_comes_again_is_left_out_and_counted(
    tmp_path: Path, batch_rows: int, again: str
) -> None:
    """Joined files: below the header, in the midst, at the end; rows keep their numbers."""
    text = "a,b,y\n" + again + ROWS + again + ROWS + again
    (tmp_path / "a.csv").write_text(text)
    _, rows, rejects, left_out = read(tmp_path, "a.csv", batch_rows)
    assert (len(rows), rejects, left_out) == (12, [], {"lines repeat the header": 3})


def test_a_label_named_like_its_column_is_no_header(tmp_path: Path) -> None:
    """In a file of one column."""
    _, rows, _, left_out = read_text(tmp_path, "y\nx\ny\nx\ny\n", csv={"header": True})
    assert [row["y"] for row in rows] == ["x", "y", "x", "y"]
    assert not left_out


def test_comments_are_left_out_and_counted(tmp_path: Path) -> None:
    """Where lines that begin with a hash are no rows; or as stated."""
    text = "# made by us\n# on Monday, in May\na,b,y\n" + ROWS + "# half\n" + ROWS
    found, rows, rejects, left_out = read_text(tmp_path, text)
    assert (len(rows), rejects, left_out) == (12, [], {"lines are comments": 3})
    assert any("comments" in line for line in found.layout)
    _, rows, rejects, _ = read_text(tmp_path, "a,b,y\n" + ROWS + "%1,2,3\n", csv={"comment": "%"})
    assert (len(rows), rejects) == (6, [])
    _, rows, rejects, _ = read_text(tmp_path, "c,b,y\n#f00,1,0\n#0f0,2,1\n#00f,3,0\n")
    assert (len(rows), rejects) == (3, [])


@pytest.mark.parametrize(
    ("text", "says", "helps"),
    [
        ('a,y\n1"x",0\n2"z",1\n', "quote inside an unquoted field", 'dataset.csv.quote: ""'),
        ("a,,b,y\n1,2,0\n3,4,1\n", "line 1 has 4 fields", "dataset.csv.skip_lines: 1"),
        ("by, us\na,b,y\n" + ROWS, "line 1 has 2 fields", "dataset.csv.skip_lines: 1"),
        ("Title\n1,2,0\n3,4,1\n", "line 1 is no header", "dataset.csv.header: false"),
        ("a,'b',y\n1,'5\"\"',0\n2,'p,q',1\n", "one quote or two", "dataset.csv.quote"),
        ('a"b,y\n1,0\n', "line 1 is no header", "skip_lines"),
    ],
)
def test_where_no_line_is_a_row_it_is_said_why(
    tmp_path: Path, text: str, says: str, helps: str
) -> None:
    """Never that there are no rows; the first lines, and a setting that helps."""
    with pytest.raises(SourceUnreadable, match=says) as caught:
        read_text(tmp_path, text)
    assert text.split("\n")[0][:10] in str(caught.value) or "line 2" in str(caught.value)
    assert helps in caught.value.remedy


@pytest.mark.parametrize("text", ["a,b,y\n", "a,b,y", "a,b,y\n\n\n"])
def test_only_files_without_rows_have_none(tmp_path: Path, text: str) -> None:
    """A header at most."""
    with pytest.raises(SourceEmpty, match="has no rows"):
        read_text(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "stated", "helps"),
    [
        (
            "made, by, us\non,a,Monday\na,b,y\n" + ROWS,
            {},
            {"skip_lines": 2, "header": True},
        ),
        ("a;b;y\n" + ROWS.replace(",", ";"), {"delimiter": ","}, {"delimiter": "auto"}),
        ("a,b,y\n" + ROWS, {"skip_lines": 1}, {"skip_lines": 0, "header": True}),
        ("a^b^y\n" + ROWS.replace(",", "^"), {}, {"delimiter": "^"}),
    ],
)
def test_a_target_that_another_line_has_is_found_there(
    tmp_path: Path, text: str, stated: dict[str, Any], helps: dict[str, Any]
) -> None:
    """The message names the line, and the setting that it offers works."""
    with pytest.raises(ColumnMissing) as caught:
        read_text(tmp_path, text, csv=stated)
    assert "has it: set dataset.csv." in caught.value.remedy
    for name, value in helps.items():
        assert f"dataset.csv.{name}: {str(value).lower()}" in caught.value.remedy.replace('"', "")
    found, rows, _, _ = read_text(tmp_path, text, csv={**stated, **helps})
    assert found.schema.names == ("a", "b", "y")
    assert len(rows) == 6


def test_a_stray_quote_costs_its_line_in_a_large_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the longest record that is waited for, too; later quotes are quotes again."""
    monkeypatch.setattr(records, "MAX_LINE_BYTES", 1 << 14)
    monkeypatch.setattr(records, "MAX_RECORD_BYTES", 1 << 12)
    monkeypatch.setattr("tidemill.ingestion.sources.streams.BLOCK_BYTES", 1 << 12)
    lines = [f"{i},word,{i % 2}" for i in range(4000)]
    lines[100] = '"100,word,0'
    lines[3500] = '3500,"two\nlines",0'
    _, rows, [reject], _ = read_text(tmp_path, "a,b,y\n" + "\n".join(lines))
    assert (reject.row, reject.line, reject.reason) == (100, 102, "broken quoting")
    assert len(rows) == 3999
    assert rows[3499]["b"] == "two\nlines"
    with pytest.raises(SourceUnreadable, match="the record at line 3 does not end"):
        read_text(tmp_path, "a,b,y\n1,x,0\n" + "2" * (1 << 15))


@pytest.mark.slow
def test_a_stray_quote_costs_its_line_in_30_mb(tmp_path: Path) -> None:
    """With the limits as they are."""
    lines = [f"{i},some words that fill the line,{i % 2}" for i in range(800_000)]
    lines[400_000] = '400000,"some,0'
    _, rows, [reject], _ = read_text(tmp_path, "a,b,y\n" + "\n".join(lines))
    assert (reject.row, reject.line) == (400_000, 400_002)
    assert len(rows) == 799_999


def test_carriage_returns_alone_are_told_by_line(tmp_path: Path) -> None:
    """In a file of line feeds they end no line; in one without, line feeds end none."""
    _, rows, [reject], _ = read_text(tmp_path, "a,b,y\n1,2,0\n3,4,1\r5,6,0\n7,8,1\n")
    assert (reject.line, reject.reason) == (3, "a carriage return inside an unquoted field")
    assert [row["a"] for row in rows] == [1.0, 7.0]
    _, rows, rejects, _ = read_text(tmp_path, 'a,b,y\r1,"p\rq",0\r2,"r",1\r')
    assert [row["b"] for row in rows] == ["p\rq", "r"]
    assert rejects == []


def test_a_backslash_is_read_only_where_all_agree(tmp_path: Path) -> None:
    """Before a quote or itself; before others it is a sign for some and a letter for others."""
    good = '"a \\"b\\", c",1,0\n"d",2,1\n"e\\\\",3,0\n'
    _, rows, rejects, _ = read_text(tmp_path, "a,b,y\n" + good + '"8\\\'9\\", f",4,1\n')
    assert [row["a"] for row in rows] == ['a "b", c', "d", "e\\"]
    assert [reject.line for reject in rejects] == [5]


def test_odd_rows_that_are_no_text_print_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A row of another width that is not UTF-8 is refused by line, and no traceback shows."""
    rows = b"1,a\n2,b\n" * 20
    (tmp_path / "t.csv").write_bytes(b"v,y\n" + rows + b"3,\xe9,\xe9\n" + rows)
    _, found, rejects, _ = read(tmp_path, "t.csv")
    assert len(found) == 80
    assert [reject.line for reject in rejects] == [42]
    assert capfd.readouterr().err == ""


def test_aligned_columns_are_refused(tmp_path: Path) -> None:
    """Blanks that fill up columns shift values in silence where they are taken as separators."""
    rows = ["Rome  10 a", "Milan 5  a", "Oslo  20 b", "Paris 7  b"] * 5
    text = "\n".join(["town  nr y", *rows]) + "\n"
    with pytest.raises(SourceUnreadable, match="aligned") as refused:
        read_text(tmp_path, text)
    assert "dataset.csv.delimiter: ' '" in refused.value.remedy
    read_text(tmp_path, text, csv={"delimiter": " "})
    _, rows_, _, _ = read_text(tmp_path, " t n y\n" + " 1 2 a\n 3 4 b\n" * 5)
    assert (rows_[1]["t"], rows_[1]["n"]) == (3, 4)


def test_columns_in_single_quotes_are_quoted(tmp_path: Path) -> None:
    """Where each cell stands in them, though no separator does; a name may begin with one."""
    rows = "1,'x',a\n2,'z',b\n" * 5
    found, cells, _, _ = read_text(tmp_path, "v,w,y\n" + rows)
    assert [row["w"] for row in cells[:2]] == ["x", "z"]
    assert "' quotes (dataset.csv.quote)" in found.layout
    _, cells, _, _ = read_text(tmp_path, "v,w,y\n" + rows.replace("'z'", "'t Veld"))
    assert [row["w"] for row in cells[:2]] == ["'x'", "'t Veld"]


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_lines_that_ingest_will_refuse_are_told_by_look(tmp_path: Path, form: str) -> None:
    """How many, why, and where the first stands; nothing of whole rows."""
    if form == "csv":
        lines = [b"a,y", *([b"1,0", b"M\xfcller,1", b"2,1"] * 20), b"1,2,3"]
        why = "not valid UTF-8 text (dataset.csv.encoding names another encoding) in 20, "
        why += "3 fields instead of 2 in 1"
    else:
        lines = [*([b'{"a":1,"y":0}', b'{"a":', b'{"a":2,"y":1}'] * 20)]
        why = "not valid JSON"
    (tmp_path / f"t.{form}").write_bytes(b"\n".join(lines) + b"\n")
    found, *_ = read(tmp_path, f"t.{form}")
    (said,) = [line for line in found.layout if "no rows" in line]
    records, bad = len(lines) - (form == "csv"), 21 if form == "csv" else 20
    assert said.startswith(f"{bad} of {records} records looked at are no rows: "), said
    assert why in said, said
    assert f"(the first: t.{form}, line {3 if form == 'csv' else 2})" in said
