"""The stage as a whole: what is accepted, what is refused, and what is left behind."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tidemill.config import DatasetConfig, IngestionConfig
from tidemill.engines import LocalEngine
from tidemill.errors import (
    ColumnMissing,
    ConfigError,
    IntegrityError,
    KeyInvalid,
    SuiteInvalid,
    TargetUnusable,
    ValidationFailed,
)
from tidemill.ingestion import IngestResult, Split, ingest, list_source, look
from tidemill.ingestion.ingest import _check_shared_files
from tidemill.storage import StoreFolder, ValidatedManifest, hash_file, write_json

HEADER = ["ride", "zone", "fare", "tip", "start", "late"]
FILES, ROWS = 3, 700


def row(number: int) -> list[Any]:
    fare = 5 + number * 7 % 40
    return [
        f"R{number:06d}",
        ("north", "south", "east")[number % 3],
        fare + 0.5,
        number % 5,
        f"2024-01-{1 + number % 28:02d} 10:{number % 60:02d}:00",
        ("kept", "cancelled")[number * 13 % 7 > 3],
    ]


def write_files(root: Path, changes: dict[tuple[int, int], dict[str, Any]] | None = None) -> None:
    """Three CSV files of 700 rows; ``changes`` maps (file, row) to {column: text}."""
    (root / "raw").mkdir(parents=True, exist_ok=True)
    for number in range(FILES):
        with (root / "raw" / f"{number}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(HEADER)
            for index in range(ROWS):
                cells = row(number * ROWS + index)
                for column, text in (changes or {}).get((number, index), {}).items():
                    cells[HEADER.index(column)] = text
                writer.writerow(cells)


def expect(name: str, severity: str = "critical", meta: dict | None = None, **kwargs: Any) -> dict:
    return {"type": f"expect_{name}", "kwargs": kwargs, "meta": meta or {}, "severity": severity}


SUITE = [
    expect("column_values_to_be_between", column="fare", min_value=0, max_value=100),
    expect("column_values_to_be_in_set", column="zone", value_set=["north", "south", "east"]),
    expect("column_pair_values_a_to_be_greater_than_b", column_A="fare", column_B="tip"),
    expect("column_mean_to_be_between", column="fare", min_value=1, max_value=1000),
]


def dataset(**settings: Any) -> DatasetConfig:
    stated = {"source": "raw", "target": "late", "time": "start", "key": "ride"}
    return DatasetConfig(**{**stated, "types": {"tip": "numeric"}, **settings})


DATASET = dataset()


def run(
    root: Path,
    suite: list[dict] | None = None,
    *,
    described: DatasetConfig = DATASET,
    workers: int = 1,
    relisted: bool = True,
    **settings: Any,
) -> IngestResult:
    write_json(root / "suite.json", {"name": "s", "expectations": suite or SUITE})
    with LocalEngine(workers) as engine:
        listing = list_source(described, root, engine)
        schema = look(described, listing, root)
        if not relisted:
            path = root / "raw" / "1.csv"
            path.write_text(path.read_text().replace("north", "south", 1))
        return ingest(
            listing,
            schema,
            described,
            IngestionConfig(suite="suite.json", **settings),
            root=root,
            work=StoreFolder.at(root / "work"),
            out=root / "validated",
            quarantine=root / "quarantine",
            report=root / "report.json",
            engine=engine,
        )


def quarantined(root: Path) -> list[dict[str, Any]]:
    folder = root / "quarantine"
    return [r for path in sorted(folder.glob("*.parquet")) for r in pq.read_table(path).to_pylist()]


def outputs(root: Path) -> dict[str, str]:
    paths = [p for name in ("validated", "quarantine") for p in sorted((root / name).iterdir())]
    return {str(p.relative_to(root)): hash_file(p) for p in [*paths, root / "report.json"]}


def test_a_bad_row_at_the_very_end_is_quarantined_with_its_position(tmp_path: Path) -> None:
    """The last row of the last file, in the last batch, is found where it stands."""
    write_files(tmp_path, {(FILES - 1, ROWS - 1): {"fare": "-3"}})
    result = run(tmp_path, batch_rows=256)
    (bad,) = quarantined(tmp_path)
    assert (bad["source"], bad["row"]) == (f"raw/{FILES - 1}.csv", ROWS - 1)
    assert bad["reasons"] == ["fare is not between 0 and 100", "fare is not greater than tip"]
    assert json.loads(bad["values"])["fare"] == -3
    assert (result.rows_read, result.rows_valid, result.rows_quarantined) == (2100, 2099, 1)


def test_a_row_with_several_faults_appears_once_with_all_reasons(tmp_path: Path) -> None:
    """One row, four reasons; its wrong cell is shown as the source has it."""
    write_files(tmp_path, {(1, 4): {"fare": "much", "zone": "moon", "late": "", "tip": "9"}})
    result = run(tmp_path)
    (bad,) = quarantined(tmp_path)
    assert bad["reasons"] == [
        "fare is not a number",
        "target is missing",
        "zone is not one of 'north', 'south', 'east'",
        "fare is not greater than tip",
    ]
    assert json.loads(bad["values"])["fare"] == "much"
    assert set(result.reasons.values()) == {1}


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_outputs_do_not_depend_on_batches_or_workers(workers: int, tmp_path: Path) -> None:
    """Files, quarantine and report have the same bytes whatever batch_rows and workers."""
    changes = {(f, r): {"fare": str(-r)} for f in range(FILES) for r in range(1, ROWS, 17)}
    suite = [
        *SUITE,
        expect("column_stdev_to_be_between", column="fare", min_value=0.001),
        expect("column_median_to_be_between", column="tip", min_value=0),
        expect("column_unique_value_count_to_be_between", column="zone", min_value=3),
    ]
    found = []
    for name, batch_rows, count in (("a", 65_536, 1), ("b", 256, workers), ("c", 333, workers)):
        write_files(tmp_path / name, changes)
        run(tmp_path / name, suite, batch_rows=batch_rows, workers=count)
        found.append(outputs(tmp_path / name))
    assert len(found[0]) == 1 + FILES + FILES + 1
    assert found[0] == found[1] == found[2]


def test_too_many_bad_rows_refuse_and_leave_the_earlier_outputs(tmp_path: Path) -> None:
    """Exit code 3 with a table of reasons; validated data of the good run stay; report says why."""
    write_files(tmp_path)
    run(tmp_path)
    good = {k: v for k, v in outputs(tmp_path).items() if k != "report.json"}
    changes = {(f, r): {"zone": "moon"} for f in range(FILES) for r in range(0, ROWS, 5)}
    write_files(tmp_path, changes)
    with pytest.raises(ValidationFailed) as caught:
        run(tmp_path)
    error = caught.value
    assert error.exit_code == 3
    assert error.remedy
    assert error.fields["reasons"][0] == {
        "reason": "zone is not one of 'north', 'south', 'east'",
        "rows": 420,
        "examples": ["raw/0.csv, row 0", "raw/0.csv, row 5", "raw/0.csv, row 10"],
    }
    assert {k: v for k, v in outputs(tmp_path).items() if k != "report.json"} == good
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["meta"]["tidemill"]["accepted"] is False
    assert report["results"][1]["result"]["unexpected_count"] == 420


def test_a_larger_fraction_accepts_the_same_rows_without_another_scan(tmp_path: Path) -> None:
    """After a refusal, raising max_invalid_fraction takes the finished splits over."""
    write_files(tmp_path, {(0, r): {"zone": "moon"} for r in range(0, ROWS, 2)})
    with pytest.raises(ValidationFailed):
        run(tmp_path)
    result = run(tmp_path, max_invalid_fraction=0.5)
    assert (result.splits_scanned, result.splits_resumed) == (0, FILES)
    assert result.rows_quarantined == 350


def test_a_finished_split_that_is_damaged_is_scanned_again(tmp_path: Path) -> None:
    """Its size tells nothing: what it holds would be committed, and refused for ever after."""
    write_files(tmp_path, {(0, r): {"zone": "moon"} for r in range(0, ROWS, 2)})
    shutil.copytree(tmp_path, tmp_path / "calm")
    run(tmp_path / "calm", max_invalid_fraction=0.5)
    with pytest.raises(ValidationFailed):
        run(tmp_path)
    for split, place in enumerate(("parts", "quarantine", "keys")):
        damaged = sorted(p for p in (tmp_path / "work" / place).rglob("*") if p.is_file())[split]
        content = bytearray(damaged.read_bytes())
        content[-9] ^= 1
        damaged.write_bytes(content)
    with pytest.raises(ValidationFailed):
        run(tmp_path)
    note = min((tmp_path / "work" / "receipts").glob("*.json"))
    note.write_text(note.read_text().replace('"rows_read": ', '"rows_read": 1', 1))
    result = run(tmp_path, max_invalid_fraction=0.5)
    assert (result.splits_scanned, result.splits_resumed) == (1, FILES - 1)
    assert [word.split(" in ")[0] for word in result.healed] == ["3 scanned splits"]
    assert outputs(tmp_path) == outputs(tmp_path / "calm")


def test_another_suite_scans_again(tmp_path: Path) -> None:
    """Receipts of a refused run count for its own suite only."""
    write_files(tmp_path, {(0, r): {"zone": "moon"} for r in range(0, ROWS, 2)})
    with pytest.raises(ValidationFailed):
        run(tmp_path)
    result = run(tmp_path, [SUITE[0]])
    assert (result.splits_scanned, result.splits_resumed) == (FILES, 0)
    assert result.rows_quarantined == 0


def test_an_expectation_about_a_column_that_was_left_out_says_so(tmp_path: Path) -> None:
    """The data have it: the remedy is to have it in the table again."""
    write_files(tmp_path)
    suite = [expect("column_values_to_not_be_null", column="zone")]
    with pytest.raises(ColumnMissing, match="the data have and look left out") as caught:
        run(tmp_path, suite, described=dataset(drop=["zone"]))
    assert caught.value.remedy.startswith("take it out of dataset.drop; or ")


def test_only_critical_table_expectations_refuse(tmp_path: Path) -> None:
    """An unmet mean refuses when critical, and is reported when it is a warning."""
    write_files(tmp_path)
    mean = {"column": "fare", "min_value": 1000}
    with pytest.raises(ValidationFailed) as caught:
        run(tmp_path, [*SUITE, expect("column_mean_to_be_between", **mean)])
    assert "expect_column_mean_to_be_between(fare)" in str(caught.value)
    result = run(tmp_path, [*SUITE, expect("column_mean_to_be_between", "warning", **mean)])
    assert not result.success
    assert [f.expectation for f in result.failed] == ["expect_column_mean_to_be_between(fare)"]


def test_a_reporting_expectation_keeps_its_rows(tmp_path: Path) -> None:
    """meta {"tidemill": "report"} counts unexpected rows and quarantines none."""
    write_files(tmp_path, {(0, 5): {"zone": "moon"}})
    zones = {"column": "zone", "value_set": ["north", "south", "east"]}
    reporting = expect("column_values_to_be_in_set", meta={"tidemill": "report"}, **zones)
    result = run(tmp_path, [reporting])
    assert result.rows_quarantined == 0
    assert result.failed[0].observed == "1 of 2100 rows, e.g. 'moon'"


def test_rows_without_target_are_counted_apart(tmp_path: Path) -> None:
    """They go to quarantine, not into the invalid fraction, and refuse beyond their own limit."""
    write_files(tmp_path, {(0, r): {"late": ""} for r in range(600)})
    result = run(tmp_path, max_invalid_fraction=0.0)
    assert result.rows_target_missing == result.rows_quarantined == 600
    assert result.reasons == {"target is missing": 600}
    with pytest.raises(TargetUnusable, match=r"missing in 28\.6% of 2100 rows"):
        run(tmp_path, max_target_missing=0.2)


def test_duplicate_keys_in_different_files_are_found_with_positions(tmp_path: Path) -> None:
    """Two rows with one key, files apart and after bad rows, are named; nothing is written."""
    write_files(tmp_path, {(0, 1): {"fare": "-1"}, (2, 650): {"ride": "R000003"}})
    with pytest.raises(KeyInvalid) as caught:
        run(tmp_path)
    assert caught.value.fields["repeated_keys"] == 1
    assert caught.value.fields["examples"] == [
        {"key": "R000003", "place": "raw/0.csv, row 3"},
        {"key": "R000003", "place": "raw/2.csv, row 650"},
    ]
    assert not (tmp_path / "validated").exists()


def test_missing_keys_are_refused(tmp_path: Path) -> None:
    """A valid row without a key is an error, with its position."""
    write_files(tmp_path, {(1, 9): {"ride": ""}})
    with pytest.raises(KeyInvalid, match=r"missing in 1 rows \(raw/1\.csv, row 9\)"):
        run(tmp_path)


def test_a_source_that_changed_after_it_was_listed_is_refused(tmp_path: Path) -> None:
    """Other bytes than the listing's digest says are not accepted."""
    write_files(tmp_path)
    with pytest.raises(IntegrityError, match=r"raw/1\.csv changed"):
        run(tmp_path, relisted=False)
    assert not (tmp_path / "validated").exists()


def test_a_file_cut_into_several_splits_is_compared_once_more_at_the_end(tmp_path: Path) -> None:
    """Row groups are read by different workers: the whole file is checked after all of them."""
    (tmp_path / "a.parquet").write_bytes(b"content")
    digest = hash_file(tmp_path / "a.parquet")
    split = Split(0, "a.parquet", "parquet", "none", 7, digest, (0, 1))
    _check_shared_files([split], dataset(), tmp_path, LocalEngine())
    (tmp_path / "a.parquet").write_bytes(b"CONTENT")
    with pytest.raises(IntegrityError, match=r"a\.parquet changed"):
        _check_shared_files([split], dataset(), tmp_path, LocalEngine())


def test_a_target_of_the_wrong_type_is_invalid_rather_than_missing(tmp_path: Path) -> None:
    """Content that is no number counts against max_invalid_fraction, not as a gap."""
    write_files(tmp_path, {(0, 5): {"fare": "lots"}, (0, 6): {"fare": ""}})
    suite = [expect("column_values_to_not_be_null", column="zone")]
    result = run(tmp_path, suite, described=dataset(target="fare", task="regression"))
    assert result.reasons == {"target is missing": 1, "fare is not a number": 1}
    assert result.rows_target_missing == 1
    assert result.manifest.schema.classes == ()


def test_a_target_with_one_class_is_refused(tmp_path: Path) -> None:
    """All rows of one class leave nothing to learn."""
    write_files(tmp_path)
    only = [expect("column_values_to_be_in_set", column="late", value_set=["kept"])]
    with pytest.raises(TargetUnusable, match=r"has 1 different values \('kept'\)"):
        run(tmp_path, only, max_invalid_fraction=1.0)


@pytest.mark.parametrize(
    "words",
    [
        ("no", "yes"),
        ("FALSE", "true"),
        *(pytest.param(words, marks=pytest.mark.slow) for words in (("N", "Y"), ("no", "Yes"))),
    ],
)
def test_a_boolean_target_keeps_its_words_and_truth_comes_last(
    tmp_path: Path, words: tuple[str, str]
) -> None:
    """Classes are the words of the source; dataset.positive is one of them."""
    number = range(ROWS)
    changes = {(f, i): {"late": words[i % 3 == 0]} for f in range(FILES) for i in number}
    write_files(tmp_path, changes)
    assert run(tmp_path).manifest.schema.classes == words
    turned = run(tmp_path, described=dataset(positive=words[0]))
    assert turned.manifest.schema.classes == words[::-1]
    with pytest.raises(ConfigError, match=r"dataset\.positive") as caught:
        run(tmp_path, described=dataset(positive="1"))
    assert repr(words[0]) in str(caught.value)


def test_the_positive_class_comes_last(tmp_path: Path) -> None:
    """dataset.positive decides the order of the labels in the manifest."""
    write_files(tmp_path)
    assert run(tmp_path).manifest.schema.classes == ("cancelled", "kept")
    result = run(tmp_path, described=dataset(positive="cancelled"))
    assert result.manifest.schema.classes == ("kept", "cancelled")
    assert ValidatedManifest.read(tmp_path / "validated") == result.manifest


def test_no_valid_row_is_a_refusal(tmp_path: Path) -> None:
    """Even where every share of invalid rows is allowed, something must be left."""
    write_files(tmp_path)
    nothing = [expect("column_values_to_be_between", column="fare", min_value=10**6)]
    with pytest.raises(ValidationFailed, match="no valid row is left"):
        run(tmp_path, nothing, max_invalid_fraction=1.0)


def test_an_expectation_without_any_value_to_judge_is_not_met(tmp_path: Path) -> None:
    """Great Expectations passes an all-null column; ingestion does not."""
    write_files(tmp_path, {(f, r): {"tip": ""} for f in range(FILES) for r in range(ROWS)})
    vacuous = [expect("column_values_to_be_between", column="tip", min_value=0)]
    with pytest.raises(ValidationFailed, match="the column has no value at all"):
        run(tmp_path, vacuous)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"type": "expect_column_values_to_be_inset", "kwargs": {}}, "did you mean"),
        (expect("column_values_to_be_increasing", column="fare"), "order of rows"),
        (expect("column_values_to_be_between", column="fare"), "both missing"),
        (expect("column_values_to_match_regex", column="zone", regex="("), "unusable arguments"),
    ],
)
def test_unanswerable_expectations_are_refused_before_any_row_is_read(
    entry: dict, message: str, tmp_path: Path
) -> None:
    """Wrong names, wrong arguments and what one scan cannot say are refused by name."""
    write_files(tmp_path)
    with pytest.raises(SuiteInvalid, match=message):
        run(tmp_path, [entry])
    assert not (tmp_path / "work").exists()


def test_a_killed_run_goes_on_after_the_last_finished_split(tmp_path: Path) -> None:
    """kill -9 in the second split: the first is not scanned again, the outputs are the same."""
    changes = {(f, r): {"fare": "-1"} for f in range(FILES) for r in range(3, ROWS, 50)}
    write_files(tmp_path / "calm", changes)
    run(tmp_path / "calm")
    killed = tmp_path / "killed"
    write_files(killed, changes)
    script = textwrap.dedent(
        f"""
        import os, signal, sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        import test_ingestion_ingest as t
        from tidemill.ingestion import scan
        real = scan._Scan.add
        def add(self, batch):
            if self._split.id == 1 and batch.rows[0] > 0:
                os.kill(os.getpid(), signal.SIGKILL)
            real(self, batch)
        scan._Scan.add = add
        t.run(t.Path({str(killed)!r}), batch_rows=256)
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert not (killed / "validated").exists()
    result = run(killed, batch_rows=300)
    assert (result.splits_scanned, result.splits_resumed) == (2, 1)
    assert outputs(killed) == outputs(tmp_path / "calm")
