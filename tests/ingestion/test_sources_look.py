"""The look finds types, purposes and edges, and refuses what cannot be."""

from __future__ import annotations

import gzip
import json
import os
import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML

from tidemill.config import DatasetConfig
from tidemill.engines import LocalEngine
from tidemill.errors import (
    ColumnMissing,
    ConfigError,
    SourceEmpty,
    SourceMissing,
    SourceUnreadable,
    TidemillError,
)
from tidemill.ingestion.first_look.look import LookResult, look_result
from tidemill.ingestion.sources.listing import SourceListing, list_source
from tidemill.ingestion.sources.reading import read_split
from tidemill.ingestion.sources.text_columns import Stated, column_of_texts
from tidemill.schema import RESERVED, ColumnType, Purpose, TableSchema, Task

N = 400


def dataset_of(**settings: object) -> DatasetConfig:
    return DatasetConfig.model_validate({"source": "data", "target": "y", **settings})


def look_at(root: Path, *, carry: tuple[str, ...] = (), **settings: object) -> LookResult:
    dataset = dataset_of(**settings)
    listing = list_source(dataset, root, LocalEngine())
    return look_result(dataset, listing, root, carry=carry)


@pytest.fixture
def table(tmp_path: Path) -> pa.Table:
    """A table of every kind of column, as data/a.csv and nothing else."""
    rng = np.random.default_rng(0)
    table = pa.table(
        {
            "id": [f"r{i}" for i in range(N)],
            "when": [f"2024-01-{i % 28 + 1:02d}T12:00:00" for i in range(N)],
            "small": rng.integers(0, 5, N),
            "large": rng.integers(2**40, 2**41, N),
            "real": rng.normal(size=N),
            "flag": [["yes", "no", "No"][i % 3] for i in range(N)],
            "kind": [f"k{i % 7}" for i in range(N)],
            "code": [f"text {i}" for i in range(N)],
            "link": [f"https://site.org/a/page/view?id={i}" for i in range(N)],
            "日本": [f"天気が良い{i}" for i in range(N)],
            "prose": [f"this is text number {i}" for i in range(N)],
            "empty": pa.nulls(N, pa.string()),
            "y": [i % 2 for i in range(N)],
        }
    )
    (tmp_path / "data").mkdir()
    lines = [",".join(table.column_names)]
    lines += [",".join("" if v is None else str(v) for v in r.values()) for r in table.to_pylist()]
    (tmp_path / "data" / "a.csv").write_text("\n".join(lines))
    return table


def test_types_purposes_and_physical_types(table: pa.Table, tmp_path: Path) -> None:
    """Every kind of column is found for what it is; what is useless is named with a reason."""
    found = look_at(tmp_path, key="id", time="when")
    kinds = {c.name: (c.type, c.purpose, c.physical) for c in found.schema.columns}
    feature = Purpose.FEATURE
    assert kinds == {
        "id": (ColumnType.CATEGORICAL, Purpose.KEY, "string"),
        "when": (ColumnType.DATETIME, Purpose.TIME, "timestamp[us]"),
        "small": (ColumnType.NUMERIC, feature, "float32"),
        "large": (ColumnType.NUMERIC, feature, "float64"),
        "real": (ColumnType.NUMERIC, feature, "float64"),
        "flag": (ColumnType.BOOLEAN, feature, "bool"),
        "kind": (ColumnType.CATEGORICAL, feature, "dictionary"),
        "日本": (ColumnType.TEXT, feature, "string"),
        "prose": (ColumnType.TEXT, feature, "string"),
        "y": (ColumnType.CATEGORICAL, Purpose.TARGET, "dictionary"),
    }
    assert found.schema.task is Task.BINARY
    assert set(found.ignored) == {"code", "link", "empty"}
    assert "free text" in found.ignored["code"]
    stated = look_at(tmp_path, key="id", types={"code": "text", "prose": "ignored"})
    assert stated.schema["code"].type is ColumnType.TEXT
    assert stated.ignored["prose"] == "dataset.types"
    assert "no value" in found.ignored["empty"]
    assert TableSchema.from_json(found.schema.to_json()) == found.schema


def test_csv_and_parquet_give_one_schema_and_the_same_rows(table: pa.Table, tmp_path: Path) -> None:
    """The format makes no difference to what is learnt."""
    results = []
    for form in ("csv", "parquet"):
        if form == "parquet":
            (tmp_path / "data" / "a.csv").unlink()
            flags = pa.array([v != "no" and v != "No" for v in table["flag"].to_pylist()])
            typed = table.set_column(5, "flag", flags)
            pq.write_table(typed, tmp_path / "data" / "a.parquet", row_group_size=90)
        dataset = dataset_of(key="id", time="when")
        listing = list_source(dataset, tmp_path, LocalEngine())
        schema = look_result(dataset, listing, tmp_path).schema
        batches = [
            b
            for s in listing.splits
            for b in read_split(s, schema, dataset, listing, tmp_path, batch_rows=64)
        ]
        tables = pa.concat_tables([b.table for b in batches]).unify_dictionaries()
        results.append(
            (schema.columns, schema.task, tables.to_pydict(), [b.rows.tolist() for b in batches])
        )
    assert results[0] == results[1]


def test_edges_are_few_ascending_and_spaced_by_quantiles(table: pa.Table, tmp_path: Path) -> None:
    """Quantile edges of a continuous column hold like numbers of rows between them."""
    schema = look_at(tmp_path).schema
    edges = np.array(schema["real"].edges)
    assert len(edges) == 32
    assert (np.diff(edges) > 0).all()
    shares = np.bincount(np.searchsorted(edges, table["real"].to_numpy(), side="right"))
    assert shares.max() - shares.min() <= 4
    assert schema["small"].edges == (1.0, 2.0, 3.0, 4.0)
    assert schema["kind"].edges == ()


def test_overrides_win_and_carried_columns_stay(table: pa.Table, tmp_path: Path) -> None:
    """types:, drop: and carry: do what they say."""
    schema = look_at(
        tmp_path,
        types={"small": "categorical", "prose": "categorical", "real": "ignored"},
        drop=["flag", "large"],
        carry=("large", "id"),
    ).schema
    assert schema["small"].physical == "dictionary"
    assert schema["prose"].purpose is Purpose.FEATURE
    assert schema["large"].purpose is Purpose.CARRIED
    assert schema["id"].purpose is Purpose.CARRIED
    assert not {"flag", "real"} & set(schema.names)


@pytest.mark.parametrize(
    ("target", "task"),
    [("y", "binary"), ("small", "multiclass"), ("real", "regression"), ("kind", "multiclass")],
)
def test_the_task_follows_from_the_target(
    table: pa.Table, tmp_path: Path, target: str, task: str
) -> None:
    """Two values: binary; few whole numbers or texts: multiclass; other numbers: regression."""
    schema = look_at(tmp_path, target=target).schema
    assert schema.task == task
    physical = "float64" if task == "regression" else "dictionary"
    assert schema.target.physical == physical


def test_derived_columns_are_typed_and_computed(table: pa.Table, tmp_path: Path) -> None:
    """A derived column may be the target and read columns that are dropped."""
    dataset = dataset_of(
        target="sum", derive={"sum": "small + real", "odd": "(large % 2) = 1"}, drop=["large"]
    )
    listing = list_source(dataset, tmp_path, LocalEngine())
    schema = look_result(dataset, listing, tmp_path).schema
    assert schema.names[-2:] == ("sum", "odd")
    assert schema["odd"].type is ColumnType.BOOLEAN
    [batch] = read_split(listing.splits[0], schema, dataset, listing, tmp_path, batch_rows=N)
    expected = table["small"].to_numpy() + table["real"].to_numpy()
    np.testing.assert_allclose(batch.table["sum"].to_numpy(), expected, rtol=1e-12)
    assert batch.table["odd"].to_pylist() == [v % 2 == 1 for v in table["large"].to_pylist()]


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("avg(small)", "aggregates"),
        ("sum(small) OVER ()", "other rows"),
        ("(SELECT 1)", "other rows"),
        ("small +", "syntax"),
        ("smal + 1", "smal"),
        ("random()", "row alone"),
        ("now()", "row alone"),
        ("1 FROM range(3)", "not one expression"),
        ("small, real", "not one expression"),
        ("1; DROP TABLE x", "SELECT"),
        ("*", "star"),
    ],
)
def test_derive_refuses_what_is_not_row_wise(
    table: pa.Table, tmp_path: Path, expression: str, why: str
) -> None:
    """Aggregates, windows, subqueries and impure functions are refused by name."""
    with pytest.raises(ConfigError, match=why) as caught:
        look_at(tmp_path, derive={"new": expression})
    assert caught.value.fields["column"] == "new"
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("settings", "column", "setting"),
    [
        ({"target": "yy"}, "yy", "dataset.target"),
        ({"time": "whenn"}, "whenn", "dataset.time"),
        ({"key": "idd"}, "idd", "dataset.key"),
        ({"drop": ["reall"]}, "reall", "dataset.drop"),
        ({"types": {"flagg": "boolean"}}, "flagg", "dataset.types"),
    ],
)
def test_a_column_that_the_data_lack_is_named(
    table: pa.Table, tmp_path: Path, settings: dict[str, object], column: str, setting: str
) -> None:
    """With the setting that names it, and the nearest name."""
    with pytest.raises(ColumnMissing) as caught:
        look_at(tmp_path, **settings)
    assert caught.value.fields["setting"] == setting
    assert caught.value.fields["nearest"] == column[:-1]


def test_impossible_choices_are_refused(table: pa.Table, tmp_path: Path) -> None:
    """A time that is none, and a regression on texts."""
    with pytest.raises(ConfigError, match="not times"):
        look_at(tmp_path, time="real")
    with pytest.raises(ConfigError, match="regression"):
        look_at(tmp_path, target="kind", task="regression")


@pytest.mark.parametrize(
    ("files", "error"),
    [
        ({}, SourceMissing),
        ({"data/a.csv": b""}, SourceEmpty),
        ({"data/a.csv": b"x,y\n"}, SourceEmpty),
        ({"data/a.jsonl": b"\n\n"}, SourceEmpty),
        ({"data/a.parquet": b"no parquet at all"}, SourceUnreadable),
        ({"data/a.csv": b"\x00\x01\x02\x03" * 50}, SourceUnreadable),
        ({"data/a.csv": b"x,y\n1,2\n", "data/b.jsonl": b'{"x":1,"y":2}\n'}, SourceUnreadable),
        ({"data/a.csv": "é,y\n1,2\n".encode("latin-1")}, SourceUnreadable),
    ],
    ids=["none", "empty", "header-only", "blank", "not-parquet", "binary", "mixed", "latin-1"],
)
def test_sources_that_cannot_be_used(
    tmp_path: Path, files: dict[str, bytes], error: type[TidemillError]
) -> None:
    """Each is refused with its own error and a remedy."""
    (tmp_path / "data").mkdir()
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(error) as caught:
        look_at(tmp_path)
    assert caught.value.remedy
    assert caught.value.fields
    # Where an option took the place of dataset.source, that one is named.
    with pytest.raises(error) as caught:
        list_source(dataset_of(), tmp_path, LocalEngine(), named="--input")
    assert "dataset.source" not in f"{caught.value} {caught.value.remedy}"


@pytest.mark.parametrize(
    ("name", "content", "said", "helps"),
    [
        (
            "a.csv",
            b"PK\x03\x04\x14\x00\x00",
            "a ZIP archive (or an Excel workbook)",
            "rename it to .xlsx",
        ),
        ("a.dat", b"SQLite format 3\x00\x10", "an SQLite database", "sqlite:///a.dat#TABLE"),
        (
            "a.csv.gz",
            gzip.compress(b"SQLite format 3\x00\x10"),
            "an SQLite database",
            "decompress it first",
        ),
        ("a.csv.xz", b"\xfd7zXZ\x00\x00", "compressed by xz", "unpack"),
        ("a.jsonl", b"%PDF-1.7", "a PDF document", "CSV or Parquet"),
        ("a.parquet", b"PARE" + bytes(40) + b"PARE", "encrypted Parquet", "decrypt"),
        ("a.jsonl", b"x,y\n1,2\n", "line 1 is not valid JSON", "dataset.format"),
        ("a.json", b'[{"x": 1, "y": 0},\n {"x": 2, "y": 1}]\n', "line 1 is not valid JSON", "jq"),
        ("a.jsonl", b"[1]\n3\n", "none of the 2 lines looked at is a JSON object", "on each line"),
    ],
)
def test_what_is_no_table_is_called_by_its_name(
    tmp_path: Path, name: str, content: bytes, said: str, helps: str
) -> None:
    """Another encoding would not help, and it is not without rows."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceUnreadable, match=re.escape(said)) as caught:
        look_at(tmp_path, source=name)
    assert helps in caught.value.remedy


def test_what_is_there_and_no_file_is_not_missing(tmp_path: Path) -> None:
    """An empty folder, a link to itself, a pipe: no other name is offered."""
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    os.mkfifo(tmp_path / "pipe.csv")
    said = {"folder.csv": "without files", "loop.csv": "leads to nothing", "pipe.csv": "a pipe"}
    for name, what in said.items():
        with pytest.raises(SourceMissing, match=what) as caught:
            look_at(tmp_path, source=name)
        assert "did you mean" not in caught.value.remedy


def test_zstd_may_begin_with_a_frame_that_is_skipped(tmp_path: Path) -> None:
    """As pzstd writes it."""
    with pa.CompressedOutputStream(str(tmp_path / "a.csv.zst"), "zstd") as out:
        out.write(b"x,y\n" + b"1,no\n2,yes\n" * 50)
    content = (tmp_path / "a.csv.zst").read_bytes()
    (tmp_path / "a.csv.zst").write_bytes(b"\x50\x2a\x4d\x18\x04\0\0\0abcd" + content)
    assert look_at(tmp_path, source="a.csv.zst").schema.names == ("x", "y")


def test_a_similar_file_name_is_offered(tmp_path: Path) -> None:
    """The nearest name beside a missing source."""
    (tmp_path / "rides.csv").write_text("x,y\n1,2\n")
    with pytest.raises(SourceMissing, match=r"ride\.csv") as caught:
        look_at(tmp_path, source="ride.csv")
    assert caught.value.fields["nearest"] == "rides.csv"


def test_a_listing_survives_json_and_orders_files_by_name(tmp_path: Path) -> None:
    """Globs, folders and single files; hidden files and notes are left out."""
    (tmp_path / "data").mkdir()
    for name in ("b.csv", "a.csv", ".hidden.csv", "README.md"):
        (tmp_path / "data" / name).write_text("x,y\n1,2\n")
    for source in ("data", "data/*.csv", "data/**/*.csv"):
        listing = list_source(dataset_of(source=source), tmp_path, LocalEngine())
        assert [s.address for s in listing.splits] == ["data/a.csv", "data/b.csv"]
        assert SourceListing.from_json(listing.to_json()) == listing
    [split] = list_source(dataset_of(source="data/README.md"), tmp_path, LocalEngine()).splits
    assert split.format == "csv"


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("a,b\n1,2\n3,4\n", True),
        ("1,2\n3,4\n", False),
        ("u,v\nx,y\nz,w\n", True),
        ("0,tcp,normal.\n1,udp,normal.\n", False),
    ],
)
def test_whether_a_file_has_a_header_is_found(tmp_path: Path, text: str, header: bool) -> None:
    """A first line with a number in it names no columns."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text(text)
    listing = list_source(dataset_of(), tmp_path, LocalEngine())
    assert listing.written is not None
    assert listing.written["header"] is header
    stated = tuple(f"c{i}" for i in range(len(listing.columns)))
    named = list_source(dataset_of(csv={"header": stated}), tmp_path, LocalEngine())
    assert tuple(c.name for c in named.columns) == stated
    with pytest.raises(ConfigError, match="names 1 columns"):
        list_source(dataset_of(csv={"header": ("only",)}), tmp_path, LocalEngine())


def parquet_splits(root: Path, path: str = "data/a.parquet") -> list[list[int]]:
    dataset = dataset_of()
    listing = list_source(dataset, root, LocalEngine())
    schema = look_result(dataset, listing, root).schema
    return [
        [
            split.first_row + int(row)
            for b in read_split(split, schema, dataset, listing, root, batch_rows=100)
            for row in b.rows
        ]
        for split in listing.splits
    ]


def test_a_large_parquet_file_is_cut_at_row_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Splits count their own rows; first_row gives the place in the file."""
    from tidemill.ingestion.sources.parquet import parquet_source

    monkeypatch.setattr(parquet_source, "SPLIT_ROWS", 250)
    (tmp_path / "data").mkdir()
    table = pa.table({"x": np.arange(1000.0), "y": np.arange(1000) % 2})
    pq.write_table(table, tmp_path / "data" / "a.parquet", row_group_size=130)
    rows = parquet_splits(tmp_path)
    assert len(rows) == 4
    assert [row for split in rows for row in split] == list(range(1000))


@pytest.mark.parametrize("flips", [4, pytest.param(12, marks=pytest.mark.slow)])
def test_a_flipped_byte_in_a_checksummed_parquet_file_is_noticed(
    tmp_path: Path, flips: int
) -> None:
    """Never read silently wrong, wherever the byte lies."""
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / "a.parquet"
    rng = np.random.default_rng(3)
    table = pa.table({"x": rng.normal(size=2000), "y": rng.integers(0, 2, 2000)})
    pq.write_table(table, path, write_page_checksum=True)
    whole = path.read_bytes()
    refused = 0
    for place in rng.integers(200, 12_000, flips):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        with pytest.raises(SourceUnreadable, match=r"a\.parquet"):
            parquet_splits(tmp_path)
        refused += 1
    assert refused == flips
    path.write_bytes(whole[:-50])
    with pytest.raises(SourceUnreadable):
        parquet_splits(tmp_path)


@pytest.mark.slow
def test_a_parquet_bomb_is_refused_by_its_footer(tmp_path: Path) -> None:
    """A small file that promises gigabytes is not opened."""
    (tmp_path / "data").mkdir()
    text = "x" * (1 << 20)
    table = pa.table({"x": [text] * 200, "y": [0, 1] * 100})
    path = tmp_path / "data" / "a.parquet"
    pq.write_table(table, path, compression="zstd", use_dictionary=False)
    assert path.stat().st_size < 200_000
    with pytest.raises(SourceUnreadable, match="opens to"):
        parquet_splits(tmp_path)


def write_csv(root: Path, columns: dict[str, list[object]], name: str = "a.csv") -> None:
    """A CSV file in data/ of columns of equal length."""
    (root / "data").mkdir(exist_ok=True)
    lines = [",".join(columns)]
    lines += [",".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
    (root / "data" / name).write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("expression", ["a + 1", '"A" + 1', "b + a"])
def test_derive_refuses_names_that_differ_in_case_alone(tmp_path: Path, expression: str) -> None:
    """SQL cannot tell A from a, and would read one of them: said, but only where it is read."""
    rows = list(range(10))
    write_csv(tmp_path, {"A": rows, "a": rows[::-1], "b": rows, "y": [0, 1] * 5})
    with pytest.raises(ConfigError, match="'A' and 'a'") as caught:
        look_at(tmp_path, derive={"new": expression})
    assert "rename" in caught.value.remedy
    schema = look_at(tmp_path, derive={"new": "b + 1"}).schema
    assert schema.names == ("A", "a", "b", "y", "new")


def cycled(shares: dict[str, int], rows: int = 1000) -> list[str]:
    """Texts in turn, each as often as its share of a hundred says."""
    hundred = [word for word, share in shares.items() for _ in range(share)]
    return [hundred[(7 * i) % 100] for i in range(rows)]


@pytest.mark.parametrize(
    ("shares", "kind"),
    [
        ({"yes": 47, "no": 47, "maybe": 6}, "categorical"),
        ({"Yes": 60, "no": 33, "Unknown": 4, "unknown": 3}, "categorical"),
        ({"true": 40, "0": 8, "false": 52}, "boolean"),
        ({"1": 40, "2": 53, "unknown": 7}, "categorical"),
        ({"2024-01-01": 53, "2024-02-01": 40, "never": 7}, "categorical"),
    ],
)
def test_a_frequent_further_word_is_a_category(
    tmp_path: Path, shares: dict[str, int], kind: str
) -> None:
    """A word that comes again and again is a value, and costs no rows."""
    write_csv(tmp_path, {"x": cycled(shares), "y": [i % 2 for i in range(1000)]})
    dataset = dataset_of()
    listing = list_source(dataset, tmp_path, LocalEngine())
    schema = look_result(dataset, listing, tmp_path).schema
    assert schema["x"].type == kind
    [batch] = read_split(listing.splits[0], schema, dataset, listing, tmp_path, batch_rows=1000)
    assert not batch.faults
    if kind == "categorical":
        assert set(batch.table["x"].to_pylist()) == set(shares)


@pytest.mark.parametrize(
    ("words", "kind"), [(("?", "-"), "boolean"), (("NO IDEA", "no idea"), "text")]
)
def test_a_word_in_another_case_comes_again(words: tuple[str, str], kind: str) -> None:
    """Two slips of the pen are two; one word in two spellings is a value of its own."""
    texts = pa.array([*["yes", "no"] * 40, *words])
    assert column_of_texts("x", texts, Stated()).type == kind


@pytest.mark.parametrize(
    ("words", "kind"), [(("yes", "no"), "boolean"), (("1", "0"), "numeric")], ids=["words", "codes"]
)
def test_a_target_with_a_third_word_has_three_classes(
    tmp_path: Path, words: tuple[str, str], kind: str
) -> None:
    """yes, no and 6% maybe are three labels; if the type is stated, maybe is a fault."""
    shares = {words[0]: 47, words[1]: 47, "maybe": 6}
    write_csv(tmp_path, {"x": list(range(1000)), "y": cycled(shares)})
    assert look_at(tmp_path).schema.task is Task.MULTICLASS
    labels, faults = labels_of(dataset_of(types={"y": kind}), tmp_path)
    assert set(labels) == {*words, None}
    assert set(faults) == {"maybe"}


@pytest.mark.parametrize("slip", ["yess", "1.5.2"])
def test_rare_slips_stay_faults(tmp_path: Path, slip: str) -> None:
    """A typing error among a thousand rows changes no type."""
    flags, few = cycled({"yes": 50, "no": 50}), cycled({"1": 50, "2": 50})
    flags[500], few[400] = slip, slip
    write_csv(tmp_path, {"flag": flags, "few": few, "y": [i % 2 for i in range(1000)]})
    schema = look_at(tmp_path).schema
    assert (schema["flag"].type, schema["few"].type) == ("boolean", "numeric")


def test_many_numbers_stay_numbers_beside_a_frequent_code(tmp_path: Path) -> None:
    """Measurements with 7% unknown are numbers; unknown is a fault, or missing if it is stated."""
    values = [
        str(i / 8) if word == "n" else word
        for i, word in enumerate(cycled({"n": 93, "unknown": 7}))
    ]
    write_csv(tmp_path, {"x": values, "y": [i % 2 for i in range(1000)]})
    for nulls, faulty in (((), 70), (("unknown",), 0)):
        dataset = dataset_of(csv={"null_values": ("", *nulls)})
        listing = list_source(dataset, tmp_path, LocalEngine())
        schema = look_result(dataset, listing, tmp_path).schema
        assert schema["x"].type is ColumnType.NUMERIC
        [batch] = read_split(listing.splits[0], schema, dataset, listing, tmp_path, batch_rows=1000)
        assert len(batch.faults["x"].texts if faulty else batch.faults) == faulty
        assert batch.table["x"].null_count == 70


def labels_of(dataset: DatasetConfig, root: Path) -> tuple[list[str | None], list[str]]:
    """The labels of every row of the target as they are read, and the texts of its faults."""
    listing = list_source(dataset, root, LocalEngine())
    listing = SourceListing.from_json(json.loads(json.dumps(listing.to_json())))
    schema = look_result(dataset, listing, root).schema
    assert schema.task is Task.BINARY
    batches = [
        batch
        for split in listing.splits
        for batch in read_split(split, schema, dataset, listing, root, batch_rows=64)
    ]
    faults = [text for b in batches for text in (b.faults["y"].texts if "y" in b.faults else ())]
    return [label for b in batches for label in b.table["y"].to_pylist()], faults


@pytest.mark.parametrize(
    ("written", "labels"),
    [
        (["yes", "no"], ["yes", "no"]),
        (["Y", "N"], ["Y", "N"]),
        (["TRUE", "FALSE"], ["TRUE", "FALSE"]),
        (["true", "false"], ["true", "false"]),
        (["Yes", "no", "Yes", "No", " yes", "no"], ["Yes", "no", "Yes", "no", "Yes", "no"]),
    ],
)
@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_labels_are_the_words_of_the_source(
    tmp_path: Path, form: str, written: list[str], labels: list[str]
) -> None:
    """A target of boolean words keeps them; other spellings take the most frequent one."""
    texts = written * 60
    if form == "csv":
        write_csv(tmp_path, {"x": list(range(len(texts))), "y": texts})
    else:
        (tmp_path / "data").mkdir()
        lines = [json.dumps({"x": i, "y": text}) for i, text in enumerate(texts)]
        (tmp_path / "data" / "a.jsonl").write_text("\n".join(lines))
    assert labels_of(dataset_of(), tmp_path) == (labels * 60, [])
    # An expression sees booleans; the label beside it stays what it was.
    derived = dataset_of(derive={"z": "CASE WHEN y THEN x ELSE 0 END"})
    assert labels_of(derived, tmp_path) == (labels * 60, [])


def test_labels_of_true_booleans_are_false_and_true(tmp_path: Path) -> None:
    """Parquet booleans, derived ones and JSON's have no words of the user's."""
    (tmp_path / "data").mkdir()
    flags = [i % 3 == 0 for i in range(90)]
    table = pa.table({"x": np.arange(90.0), "y": flags})
    pq.write_table(table, tmp_path / "data" / "a.parquet")
    expected = ["true" if flag else "false" for flag in flags]
    assert labels_of(dataset_of(), tmp_path) == (expected, [])
    (tmp_path / "data" / "a.parquet").unlink()
    lines = [json.dumps({"x": i, "y": flag}) for i, flag in enumerate(flags)]
    (tmp_path / "data" / "a.jsonl").write_text("\n".join(lines))
    assert labels_of(dataset_of(), tmp_path) == (expected, [])
    (tmp_path / "data" / "a.jsonl").unlink()
    write_csv(tmp_path, {"x": list(range(90)), "w": ["yes", "no"] * 45})
    derived, _ = labels_of(dataset_of(derive={"y": "x % 3 = 0"}), tmp_path)
    assert derived == expected


def test_a_word_that_the_look_did_not_meet_is_written_like_the_other(tmp_path: Path) -> None:
    """A file sorted by its label: the look sees No alone, and reading makes Yes of yes."""
    texts = ["No"] * 1000 + ["yes"] * 10
    write_csv(tmp_path, {"x": list(range(1010)), "y": texts})
    labels, faults = labels_of(dataset_of(look_rows=100), tmp_path)
    assert labels == ["No"] * 1000 + ["Yes"] * 10
    assert faults == []


TIMES: dict[str, tuple[list[object], str]] = {
    "seconds": ([1_700_000_000 + 3600 * i for i in range(60)], "* 1000000)"),
    "milliseconds": ([(1_700_000_000 + 3600 * i) * 1000 for i in range(60)], "* 1000)"),
    "fractions": ([1_700_000_000.5 + 3600 * i for i in range(60)], "AS BIGINT"),
    "days": ([20240301 + i % 28 for i in range(60)], "%Y%m%d"),
}


@pytest.mark.parametrize("name", ["when", "seen at", "seen"])
@pytest.mark.parametrize("kind", TIMES)
def test_the_remedy_for_other_times_can_be_pasted(tmp_path: Path, name: str, kind: str) -> None:
    """Numbers are offered make_timestamp or strptime, which then work."""
    values, said = TIMES[kind]
    write_csv(tmp_path, {name: values, "y": [i % 2 for i in range(60)]})
    with pytest.raises(ConfigError, match="are not times") as caught:
        look_at(tmp_path, time=name)
    assert said in caught.value.remedy
    assert ("strptime(" in caught.value.remedy) == (kind == "days")
    offered = re.search(r"dataset\.derive: (\{.*?\}), dataset\.time: (\S+) ", caught.value.remedy)
    assert offered is not None
    derive = YAML(typ="safe").load(offered[1])
    schema = look_at(tmp_path, derive=derive, time=offered[2]).schema
    assert schema.time is not None
    first = datetime(2023 if "seconds" in kind or kind == "fractions" else 2024, 1, 1, tzinfo=UTC)
    assert first.timestamp() <= schema.time.edges[0] <= first.timestamp() + 366 * 86_400


@pytest.mark.parametrize("day", [20240231, 20241301, 19999999])
def test_an_expression_that_fails_on_a_value_is_not_offered(tmp_path: Path, day: int) -> None:
    """A remedy is tried on the values looked at before it is offered."""
    write_csv(tmp_path, {"when": [day, *[20240301] * 59], "y": [i % 2 for i in range(60)]})
    with pytest.raises(ConfigError, match="are not times") as caught:
        look_at(tmp_path, time="when")
    assert "derive" not in caught.value.remedy
    assert "holdout.by: order" in caught.value.remedy


def test_times_that_can_be_read_in_two_ways_are_offered_both(tmp_path: Path) -> None:
    """Each line of the remedy works when it is pasted, and gives its own times."""
    values = [f"0{i % 9 + 1}/0{i % 8 + 1}/2024" for i in range(60)]
    write_csv(tmp_path, {"when": values, "y": [i % 2 for i in range(60)]})
    with pytest.raises(ConfigError, match="are not times") as caught:
        look_at(tmp_path, time="when")
    offered = re.findall(r"(\{.*?\})", caught.value.remedy)
    assert len(offered) == 2
    found = [
        look_at(tmp_path, time="when", conventions=YAML(typ="safe").load(line)) for line in offered
    ]
    assert found[0].schema["when"].edges != found[1].schema["when"].edges


def test_a_boolean_time_is_offered_the_order_of_rows(tmp_path: Path) -> None:
    """Nothing makes a time of yes and no."""
    write_csv(tmp_path, {"flag": ["yes", "no"] * 30, "y": [i % 2 for i in range(60)]})
    with pytest.raises(ConfigError, match="not times") as caught:
        look_at(tmp_path, time="flag")
    assert "holdout.by: order" in caught.value.remedy
    assert "derive" not in caught.value.remedy


def test_numbers_lost_among_texts_are_said(tmp_path: Path) -> None:
    """Too many codes for a column of numbers: the reason names them, in a line that works."""
    words = cycled({"n": 80, "unknown": 15, "-": 5})
    values = [str(i / 8) if word == "n" else word for i, word in enumerate(words)]
    write_csv(tmp_path, {"x": values, "y": [i % 2 for i in range(1000)]})
    reason = look_at(tmp_path).ignored["x"]
    assert "80% numbers" in reason
    assert "'unknown'" in reason
    offered = re.search(r"dataset\.missing_values: (\[.*?\])", reason)
    assert offered is not None
    line = YAML(typ="safe").load(offered[1])
    assert {"NA", "unknown"} <= set(line)
    assert look_at(tmp_path, missing_values=line).schema["x"].type is ColumnType.NUMERIC


def test_words_are_not_offered_as_missing_where_that_would_not_help(tmp_path: Path) -> None:
    """Too many different ones: what is offered keeps the texts."""
    values = [str(i / 8) if i % 10 < 7 else f"word {i}" for i in range(1000)]
    write_csv(tmp_path, {"x": values, "y": [i % 2 for i in range(1000)]})
    reason = look_at(tmp_path).ignored["x"]
    assert "missing_values" not in reason
    types = YAML(typ="safe").load(reason.partition("dataset.types: ")[2].partition("}")[0] + "}")
    assert look_at(tmp_path, types=types).schema["x"].type is ColumnType.CATEGORICAL


def _called(tmp_path: Path, table: pa.Table, old: str, name: str) -> None:
    renamed = table.rename_columns([name if each == old else each for each in table.column_names])
    pacsv.write_csv(renamed, tmp_path / "data" / "a.csv")


@pytest.mark.parametrize("name", RESERVED)
def test_a_feature_named_like_an_events_field_is_refused_with_a_remedy_that_works(
    table: pa.Table, tmp_path: Path, name: str
) -> None:
    """What could be trained and never watched is refused at the first look."""
    _called(tmp_path, table, "real", name)
    with pytest.raises(ConfigError, match=f"the feature '{name}'") as caught:
        look_at(tmp_path)
    derived, dropped = re.findall(r"dataset\.\w+: (\{.*?\}|\[.*?\])", caught.value.remedy)
    yaml = YAML(typ="safe")
    found = look_at(tmp_path, derive=yaml.load(derived), drop=yaml.load(dropped))
    assert found.schema[f"{name}_of_row"].purpose is Purpose.FEATURE
    assert name not in found.schema.names


@pytest.mark.parametrize(
    ("old", "name", "setting"),
    [("when", "at", "time"), ("id", "row", "key"), ("y", "event_id", "target")],
)
def test_times_keys_and_targets_have_names_of_their_own(
    table: pa.Table, tmp_path: Path, old: str, name: str, setting: str
) -> None:
    """The same for what is no feature, where the name would stand twice."""
    _called(tmp_path, table, old, name)
    with pytest.raises(ConfigError, match=f"the {setting} '{name}'") as caught:
        look_at(tmp_path, **{setting: name})
    new = f"{name}_of_row"
    assert f"dataset.{setting}: {new}" in caught.value.remedy
    derive = {new: f'"{name}"'}
    found = look_at(tmp_path, derive=derive, drop=[name], **{setting: new})
    assert found.schema[new].purpose.value == setting


@pytest.mark.parametrize(
    ("old", "name", "setting"),
    [("id", "event_id", "key"), ("id", "hash", "key"), ("y", "score", "target")],
)
def test_names_that_meet_no_other_are_welcome(
    table: pa.Table, tmp_path: Path, old: str, name: str, setting: str
) -> None:
    """A key may be the event's id; a target may be a score."""
    _called(tmp_path, table, old, name)
    assert look_at(tmp_path, **{setting: name}).schema[name].purpose.value == setting
