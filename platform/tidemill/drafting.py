"""First drafts for a new workspace: params.yaml, dvc.yaml, the suite."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import pyarrow as pa

from tidemill.config import DatasetConfig, Params, params_schema, read_params, set_params
from tidemill.contracts import Engine
from tidemill.errors import UsageError
from tidemill.ingestion import (
    LOOK_CELLS,
    LookResult,
    SourceListing,
    Thinned,
    bounded_rows,
    check_key,
    check_target,
    draft_suite,
    drafted_columns,
    leaks,
    list_source,
    look_result,
    of_files,
    read_split,
    times_unused,
)
from tidemill.pipeline import prepare_versions
from tidemill.profiling import Profile, fold
from tidemill.schema import TableSchema, Task
from tidemill.stages import StageResult
from tidemill.storage import SourceFiles, Workspace, write_bytes, write_json

__all__ = ["draft_suite_file", "init_workspace"]

OWN_FILES = ("params.yaml", "params.schema.json", "dvc.yaml", ".dvc", ".dvcignore", ".gitignore")
OPTIONS = {f"dataset.{name}": f"--{name}" for name in ("source", "target", "time", "key")}
PROFILED_SPLITS = 16
PROFILED_ROWS = 20_000
PROFILED_BATCHES = 32
SAMPLED_CELLS = 8_000_000
"""Of the rows in which leaks are looked for."""


def init_workspace(
    workspace: Workspace,
    *,
    source: str,
    target: str,
    time: str | None,
    key: str | None,
    assignments: list[str],
    engine: Engine,
    told: Callable[[str], None] = lambda _: None,
) -> StageResult:
    """Make ``workspace`` for the table at ``source``: settings, graph, suite.

    Parameters
    ----------
    told : callable
        Is told what is done now.

    Raises
    ------
    UsageError
        If the folder already is a workspace.
    TargetUnusable
        If nothing can be learnt from the target.
    """
    _refuse_workspace(workspace)
    drafted = _draft_params(workspace, source, target, time, key)
    params = read_params(text := set_params(drafted, assignments, options=OPTIONS))
    suite = _new_suite(workspace, params)
    with _undone_on_failure(workspace.root, suite):
        workspace.root.mkdir(parents=True, exist_ok=True)  # a source above is found through it
        with _named_by_options(assignments):
            listing, found = _looked_at(workspace, params.dataset, source, engine, told)
        text = set_params(text, _found_settings(params.dataset, found.schema, assignments))
        told("drafting expectations, and looking for leaks")
        by = any(a.startswith("dataset.key=") for a in assignments)
        check = partial(check_key, found.schema, option="dataset.key" if by else "--key")
        profile, sample = _profiled(workspace, listing, found.schema, params.dataset, check=check)
        allowed = params.ingestion.max_target_missing
        classes = check_target(found.schema, params.dataset, profile, sample, max_missing=allowed)
        count = _write_suite(suite, found.schema, profile)
        _write_workspace(workspace, params, _with_positive(text, params.dataset, classes))
    hints = (*_of_positive(params.dataset, classes), *_hints(found.schema, sample))
    return _said(found, count, hints, classes)


_LAST = "null: the last in order"


def _with_positive(text: str, dataset: DatasetConfig, classes: Sequence[str]) -> str:
    """params.yaml's text whose comment names the class that null stands for."""
    if dataset.positive is not None or not classes:
        return text
    return text.replace(_LAST, f"{_LAST}, {_quoted(classes[-1])}", 1)


def _of_positive(dataset: DatasetConfig, classes: Sequence[str]) -> tuple[str, ...]:
    """Which class is taken as the positive one where none is stated, and how to have the other."""
    if dataset.positive is not None or not classes:
        return ()
    other, positive = classes
    setting = shlex.quote(f"dataset.positive={_scalar(other)}")
    return (
        f"{dataset.target}: {positive!r} is taken as the positive class, the last in order (its "
        f"probability, precision and recall are told); for {other!r}: --set {setting}",
    )


def _refuse_workspace(workspace: Workspace) -> None:
    if workspace.params.exists():
        raise UsageError(
            f"{workspace.root} is a workspace already",
            remedy="edit its params.yaml, or give another folder",
            path=str(workspace.params),
        )


def _new_suite(workspace: Workspace, params: Params) -> Path:
    suite = workspace.root / params.ingestion.suite
    if suite.exists():
        raise UsageError(
            f"{suite} exists",
            remedy="move it away, or name another with --set ingestion.suite=...",
            path=str(suite),
        )
    return suite


def _looked_at(
    workspace: Workspace,
    dataset: DatasetConfig,
    source: str,
    engine: Engine,
    told: Callable[[str], None],
) -> tuple[SourceListing, LookResult]:
    if files := of_files(dataset):
        told(f"reading {source}: how it is written, and a hash of every file")
    else:
        told(f"reading {source}: its columns, and what names its rows")
    listing = list_source(dataset, workspace.root, engine, named="--source", given=source)
    told(f"looking at the rows of {_size(listing, 'file' if files else 'split')}")
    return listing, look_result(dataset, listing, workspace.root)


def _found_settings(
    dataset: DatasetConfig, schema: TableSchema, assignments: list[str]
) -> list[str]:
    """What is written down of what was found: how columns are written, how to hold out."""
    settings = _found_conventions(dataset, schema)
    stated = any(a.startswith("sharding.holdout.by=") for a in assignments)
    if dataset.time is None and schema.task is not Task.REGRESSION and not stated:
        settings.append("sharding.holdout.by=stratified")
    return settings


def _write_workspace(workspace: Workspace, params: Params, text: str) -> None:
    write_json(workspace.root / "params.schema.json", params_schema())
    _write_ignores(workspace)
    # Last but one: DVC wants it, and with it the folder is a workspace.
    write_bytes(workspace.params, text.encode())
    prepare_versions(workspace, params)


def _said(
    found: LookResult, expectations: int, hints: tuple[str, ...], classes: Sequence[str]
) -> StageResult:
    schema = found.schema
    return StageResult(
        stage="init",
        facts={
            "task": schema.task.value,
            "target": schema.target.name,
            "columns": len(schema.columns),
            "expectations": expectations,
            **({"positive_class": classes[-1]} if classes else {}),
        },
        tables={
            "columns": [
                {"column": c.name, "type": c.type.value, "purpose": c.purpose.value}
                for c in schema.columns
            ],
            "left out": [{"column": c, "reason": why} for c, why in found.ignored.items()],
            "taken as missing": found.taken_as_missing,
        },
        warnings=(
            *(f"{column}: {note}" for column, note in found.notes.items()),
            *found.layout,
            *hints,
        ),
    )


def _size(listing: SourceListing, word: str) -> str:
    files = {split.address: split.bytes for split in listing.splits}
    return f"{len(files):,} {word}(s), {sum(files.values()) / 1e6:,.1f} MB"


def _hints(schema: TableSchema, sample: pa.Table) -> tuple[str, ...]:
    """What people should decide before they learn from the table."""
    leaking = (
        f"{name} alone predicts {schema.target.name} nearly perfectly ({gone:.1%} of a constant's "
        f"errors are gone): if it is known only together with the target, leave it out with "
        f"dataset.drop: [{_scalar(name)}]"
        for name, gone in leaks(schema, sample)
    )
    times = times_unused(schema, sample)
    if not times:
        return tuple(leaking)
    unused = (
        f"{' and '.join(times)}: times that order the rows, perhaps; with --time {times[0]} the "
        "latest rows are held out to judge by, as later rows will be predicted"
    )
    return (*leaking, unused)


def _found_conventions(dataset: DatasetConfig, schema: TableSchema) -> list[str]:
    """The assignment that writes down how columns were found to be written."""
    found = {c.name: c.convention for c in schema.source if c.convention}
    said = json.dumps({**found, **dataset.conventions}, ensure_ascii=False)
    return [f"dataset.conventions={said}"] if found else []


@contextmanager
def _named_by_options(assignments: list[str]) -> Iterator[None]:
    """Tell what is wrong with an option by its name; ``setting: value`` is a line to write."""
    try:
        yield
    except UsageError as exc:
        message, remedy = exc.message, exc.remedy
        for setting, option in OPTIONS.items():
            if not any(a.startswith(f"{setting}=") for a in assignments):
                named = re.compile(rf"{re.escape(setting)}(?![:\w])")
                message, remedy = named.sub(option, message), named.sub(option, remedy)
        exc.message, exc.remedy = message, remedy
        raise


@contextmanager
def _undone_on_failure(root: Path, suite: Path) -> Iterator[None]:
    """Take away what init has made so far if it fails; what was there before stays."""
    made = [root / name for name in OWN_FILES] + [suite]
    folders = [suite.parent, root, *root.parents]
    absent = [path for path in (*made, *folders) if not path.exists()]
    try:
        yield
    except BaseException:
        for path in absent:
            if path.is_dir() and path in made:
                shutil.rmtree(path)
            elif path.is_dir():
                with suppress(OSError):  # somebody else's file is in it by now
                    path.rmdir()
            else:
                path.unlink(missing_ok=True)
        raise


def draft_suite_file(
    workspace: Workspace,
    listing: SourceListing,
    schema: TableSchema,
    dataset: DatasetConfig,
    *,
    suite: str,
) -> int:
    """Write a suite drafted from a bounded profile; return its number of expectations.

    Memory: one batch of 20,000 rows, fewer of many columns; at most 16 splits are read, spread
    over the source, and of them some 640,000 rows together.
    """
    profile, _ = _profiled(workspace, listing, drafted_columns(schema), dataset)
    return _write_suite(workspace.root / suite, schema, profile)


def _profiled(
    workspace: Workspace,
    listing: SourceListing,
    schema: TableSchema,
    dataset: DatasetConfig,
    *,
    check: Callable[[pa.Table], None] = lambda _: None,
) -> tuple[Profile, pa.Table]:
    """The profile of a bounded part of the source, and some of its rows in their order.

    ``check`` is given each batch.
    """
    step = max(1, -(-len(listing.splits) // PROFILED_SPLITS))
    splits = listing.splits[::step]
    rows = max(200, min(5000, SAMPLED_CELLS // len(schema.columns)))
    sample = Thinned(schema.arrow_schema(), rows)
    batch_rows = bounded_rows(PROFILED_ROWS, len(listing.columns), LOOK_CELLS)
    # Of many columns one batch of each split, few enough rows to be held.
    batches = PROFILED_BATCHES // len(splits) if batch_rows == PROFILED_ROWS else 1

    def profiles() -> Iterator[Profile]:
        for split in splits:
            for batch in read_split(
                split,
                schema,
                dataset,
                listing,
                workspace.root,
                batch_rows=batch_rows,
                max_batches=batches,
            ):
                check(batch.table)
                sample.add(batch.table)
                yield Profile.of(batch.table, schema)

    return fold(profiles()), sample.table()


def _write_suite(path: Path, schema: TableSchema, profile: Profile) -> int:
    document: dict[str, Any] = draft_suite(schema, profile)
    write_json(path, document)
    return len(document["expectations"])


def _draft_params(
    workspace: Workspace, source: str, target: str, time: str | None, key: str | None
) -> str:
    template = resources.files("tidemill").joinpath("params.template.yaml").read_text("utf-8")
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", workspace.root.name).strip("-.") or "dataset"
    values = {
        "name": name,
        "source": SourceFiles(workspace.root).relative(source),
        "target": target,
        "time": time,
        "key": key,
        "holdout": "time" if time else "hash",
    }
    return Template(template).substitute({k: _scalar(v) for k, v in values.items()})


def _scalar(value: str | None) -> str:
    """Write a text as YAML: plain where that is safe, quoted as JSON elsewhere."""
    if value is None:
        return "null"
    plain = re.fullmatch(r"[A-Za-z_./][\w./-]*", value)
    reserved = value.lower() in {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}
    return value if plain and not reserved else _quoted(value)


def _quoted(text: str) -> str:
    """In double quotes, on one line; what no eye sees is escaped."""
    return json.dumps(text, ensure_ascii=not text.isprintable())


def _write_ignores(workspace: Workspace) -> None:
    # Git keeps the figures: `dvc metrics diff` and `dvc exp show` read them from commits.
    reports = "/reports/*\n!/reports/metrics.json\n"
    lines = f"/data/\n/models/\n{reports}/.tidemill/\n/mlflow.db*\n/mlartifacts/\n/dvc_plots/\n"
    path = workspace.root / ".gitignore"
    if not path.exists():
        write_bytes(path, lines.encode())
