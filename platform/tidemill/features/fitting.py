"""Fit the reducer: from block profiles, and one pass over training rows where it takes one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tidemill.config import ReductionConfig
from tidemill.contracts import Engine, Progress, Step
from tidemill.errors import NoFeatures, TooFewRows, first_few
from tidemill.features.calendar import PARTS, TIME_PARTS
from tidemill.features.categories import draft_categories
from tidemill.features.drafts import Draft, distinct
from tidemill.features.fitted_rows import TOLD, FittedRows
from tidemill.features.numeric import draft_boolean, draft_datetime, draft_numeric
from tidemill.features.report import ReductionReport
from tidemill.features.sequence import configured_steps
from tidemill.features.target_encoding import TargetEncoding, encode_by_target
from tidemill.features.text_encoding import TextEncoding, encode_texts
from tidemill.features.training_shards import (
    Counts,
    ShardColumns,
    count_calendar,
    training_profile,
)
from tidemill.numbers import EXACT
from tidemill.profiling import CategoryProfile, NumericProfile, Profile
from tidemill.schema import Column, ColumnType, Purpose, Role, TableSchema
from tidemill.storage import ShardManifest, StoreFolder

if TYPE_CHECKING:
    from tidemill.features.reducer import Reducer

__all__ = ["fit_reducer"]

_OURS = ("select", "project")  # what they say stands at the report's top


def fit_reducer(
    manifest: ShardManifest,
    folder: StoreFolder,
    config: ReductionConfig,
    *,
    engine: Engine,
    progress: Progress | None = None,
) -> tuple[Reducer, ReductionReport]:
    """Fit a reducer on the training shards: the encoding, then the steps, each on what is left.

    Parameters
    ----------
    manifest : ShardManifest
    folder : StoreFolder
        Holds the manifest's files.
    config : ReductionConfig
    engine : Engine
        Maps over shards; results do not depend on it.
    progress : callable or None
        Of the pass over rows, one step a shard.

    Raises
    ------
    TooFewRows
        If there is no training row.
    NoFeatures
        If a step leaves nothing.
    ConfigError
        If missing values are kept (``impute: none``), and come to a step that does not take them.
    IntegrityError
        If a shard or profile is not what the manifest recorded.

    Notes
    -----
    Means, deviations, categories and variances come from the shards' profiles; calendar parts
    from a pass over time columns; what else there is from the passes that steps ask for:
    correlation and principal components share one. Memory: one block a worker, and what steps
    gather.
    """
    if not manifest.rows(Role.TRAIN):
        raise TooFewRows(
            "there are no training rows",
            remedy="give more data, or leave less of them out with sharding.holdout",
        )
    steps = configured_steps(config)
    profile = training_profile(manifest, folder)
    features = manifest.schema.features
    parts = {c.name: _parts(c) for c in features if c.type is ColumnType.DATETIME}
    calendar = count_calendar(manifest, folder, parts, engine)
    by_target = encode_by_target(
        manifest, folder, profile, config, engine=engine, progress=progress
    )
    texts = encode_texts(
        manifest, folder, profile, config, by_target.folds, engine=engine, progress=progress
    )
    drafts = distinct(_drafts(features, profile, calendar, config, by_target, texts))
    left = ShardColumns(
        manifest,
        folder,
        engine,
        progress,
        profile,
        drafts=tuple(drafts),
        dropped={c.name: c.flaw for draft in drafts for c in draft.columns if c.flaw},
        scaled=config.scale == "standard",
        gaps=config.impute == "none",
    )
    for name, step in steps:
        left = left.after(name, step) if left.names else left
    if not left.names:
        raise _nothing_left(left)
    return _reducer(left, by_target, texts), _report(left, steps, by_target, texts)


def _parts(column: Column) -> tuple[str, ...]:
    return TIME_PARTS if column.purpose is Purpose.TIME else tuple(PARTS)


def _drafts(
    features: Sequence[Column],
    profile: Profile,
    calendar: Counts,
    config: ReductionConfig,
    by_target: TargetEncoding,
    texts: TextEncoding,
) -> list[Draft]:
    """Those of each feature; where no category is kept, the one by the target alone."""
    drafts = []
    for column in features:
        if column.type is ColumnType.TEXT:
            drafts.append(texts.drafts[column.name])
            continue
        draft, other = _draft(column, profile, calendar, config), by_target.drafts.get(column.name)
        if other is None:
            drafts.append(draft)
        elif all(made.flaw for made in draft.columns):
            drafts.append(replace(other, rare=draft.rare))
        else:
            drafts += [draft, other]
    return drafts


def _draft(column: Column, profile: Profile, calendar: Counts, config: ReductionConfig) -> Draft:
    name, known = column.name, profile.columns[column.name]
    if isinstance(known, NumericProfile):
        if column.type is ColumnType.DATETIME:
            return draft_datetime(name, known, calendar[name], config)
        return draft_numeric(name, known, config)
    assert isinstance(known, CategoryProfile)  # noqa: S101  # the only other kind
    if column.type is ColumnType.BOOLEAN:
        return draft_boolean(name, known, config)
    return draft_categories(name, known, config)


def _nothing_left(left: ShardColumns) -> NoFeatures:
    reasons = _reasons(left)
    told = (f"{name}: {reason}" for name, reason in reasons.items())
    listing = first_few(told, 10, between="; ")
    return NoFeatures(
        f"no feature is left to learn from ({listing or 'the table has none'})",
        remedy="add columns that vary, or lower reduction.min_variance",
        dropped=reasons,
    )


def _reasons(left: ShardColumns) -> dict[str, str]:
    """Why columns are left out: by raw feature where all of it goes, else by column."""
    reasons: dict[str, str] = {}
    every: dict[str, list[str]] = {}
    for draft in left.drafts:
        every.setdefault(draft.feature["name"], []).extend(c.name for c in draft.columns)
    for feature, columns in every.items():
        gone = [name for name in columns if name in left.dropped]
        if len(gone) == len(columns):
            reasons[feature] = left.dropped[gone[0]]
        else:
            reasons |= {name: left.dropped[name] for name in gone}
    return {**reasons, **left.dropped_later}


def _reducer(left: ShardColumns, by_target: TargetEncoding, texts: TextEncoding) -> Reducer:
    # Imported here: workers, which import this room, have no use for scikit-learn.
    from tidemill.features.reducer import Reducer

    schema = left.manifest.schema
    reading = _reading(schema)
    features: list[dict[str, Any]] = [{**f, **reading[f["name"]]} for f in left.encoding.features]
    steps = [step.to_document() for step in left.steps]
    # Reducers of before steps could be chosen have the projection alone, as two arrays.
    alone = [step["step"] for step in steps] == ["project"] and steps[0]["kept"] is None
    reducer = Reducer(
        features=features,
        encoded=list(left.encoding.names),
        seen=list(dict.fromkeys(draft.feature["name"] for draft in left.drafts)),
        missing_values=list(schema.missing_values),
        **(steps[0]["state"] if alone else {"steps": steps or None}),
    )
    if any(feature["kind"] in TOLD for feature in features):
        folded = {**by_target.folded, **texts.folded}
        reducer.fitted_rows = FittedRows.of(reducer, by_target.folds, folded)
    return reducer


def _reading(schema: TableSchema) -> dict[str, dict[str, Any]]:
    """How the cells of each feature are read, as a reducer stores it.

    How fractions end is the habit of who wrote the table, and a frame may be by another.
    """
    known = {column.name: column for column in schema.source}
    found: dict[str, dict[str, Any]] = {}
    for column in schema.features:
        said = found[column.name] = {}
        if (source := known.get(column.name)) is not None:
            said["source"] = {
                "type": source.type,
                "style": EXACT if source.style else "",
                "convention": source.convention,
            }
        if column.type is ColumnType.NUMERIC:
            said["narrow"] = column.physical == "float32"
    return found


def _report(
    left: ShardColumns,
    steps: Sequence[tuple[str, Step]],
    by_target: TargetEncoding,
    texts: TextEncoding,
) -> ReductionReport:
    said = [(name, step.explain()) for name, step in steps]
    ours = {key: value for name, one in said if name in _OURS for key, value in one.items()}
    return ReductionReport(
        features_in=len(left.manifest.schema.features),
        features_used=len({feature["name"] for feature in left.encoding.features}),
        features_out=len(left.names),
        names=left.names,
        dropped=_reasons(left),
        rare_categories={d.feature["name"]: d.rare for d in left.drafts if d.rare is not None},
        explained_variance=tuple(ours.get("explained_variance", ())),
        rows=left.profile.rows,
        redundancy=ours.get("redundancy", "correlation"),
        steps=tuple({"step": name, **one} for name, one in said if name not in _OURS),
        high_cardinality=tuple(one.to_json() for one in by_target.measured),
        free_text=tuple(one.to_json() for one in texts.measured),
    )
