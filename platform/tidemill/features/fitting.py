"""Fit the reducer: from block profiles, and one pass over training rows where it takes one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill.config import ReductionConfig
from tidemill.contracts import Engine, Progress
from tidemill.errors import ConfigError, NoFeatures, TooFewRows, first_few
from tidemill.features.calendar import PARTS, TIME_PARTS
from tidemill.features.categories import draft_categories
from tidemill.features.drafts import Draft, distinct
from tidemill.features.numeric import draft_boolean, draft_datetime, draft_numeric
from tidemill.features.projection import Projection, principal_components
from tidemill.features.report import ReductionReport
from tidemill.features.selection import CORRELATED_COLUMNS, copies, correlated, still
from tidemill.features.training_shards import (
    Counts,
    Encoding,
    count_calendar,
    encoded_hashes,
    encoded_moments,
    training_profile,
)
from tidemill.numbers import EXACT
from tidemill.profiling import CategoryProfile, Moments, NumericProfile, Profile
from tidemill.schema import Column, ColumnType, Purpose, Role, TableSchema
from tidemill.storage import ShardManifest

if TYPE_CHECKING:
    from tidemill.features.reducer import Reducer

__all__ = ["fit_reducer"]


def fit_reducer(
    manifest: ShardManifest,
    folder: Path,
    config: ReductionConfig,
    *,
    engine: Engine,
    progress: Progress | None = None,
) -> tuple[Reducer, ReductionReport]:
    """Fit a reducer on the training shards.

    Parameters
    ----------
    manifest : ShardManifest
    folder : Path
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
        If selection leaves nothing.
    ConfigError
        If missing values are kept (``impute: none``) and projected.
    IntegrityError
        If a shard or profile is not what the manifest recorded.

    Notes
    -----
    Means, deviations, categories and variances come from the shards' profiles; calendar parts
    from a pass over time columns; correlation and principal components from one pass over all
    features. Memory: one block a worker and O(n_features^2); above 4,000 encoded columns only
    copies are looked for, by a hash of each column, and nothing is quadratic but principal
    components where they are asked for.
    """
    _check(manifest, config)
    profile = training_profile(manifest, folder)
    features = manifest.schema.features
    parts = {c.name: _parts(c) for c in features if c.type is ColumnType.DATETIME}
    calendar = count_calendar(manifest, folder, parts, engine)
    drafts = distinct([_draft(column, profile, calendar, config) for column in features])
    dropped = still([c for draft in drafts for c in draft.columns], config.min_variance)
    encoding = _encoding(drafts, dropped, config)
    moments = None
    by_hash = len(encoding.names) > CORRELATED_COLUMNS and config.max_correlation < 1.0
    if by_hash:
        hashes = encoded_hashes(manifest, folder, encoding, engine, progress)
        dropped |= copies(encoding.names, hashes)
        encoding = _encoding(drafts, dropped, config)
    if encoding.names and (
        (config.max_correlation < 1.0 and not by_hash) or config.project == "pca"
    ):
        moments = encoded_moments(manifest, folder, encoding, engine, progress)
        if config.max_correlation < 1.0 and not by_hash:
            dropped |= correlated(moments, config.max_correlation)
            encoding = _encoding(drafts, dropped, config)
    if not encoding.names:
        raise _nothing_left(drafts, dropped)
    projection = None
    if moments is not None and config.project == "pca":
        projection = principal_components(_only(moments, encoding.names), config.components)
    return _reducer(drafts, encoding, projection, manifest.schema), _report(
        drafts, dropped, encoding, projection, profile.rows, by_hash=by_hash
    )


def _check(manifest: ShardManifest, config: ReductionConfig) -> None:
    if not manifest.rows(Role.TRAIN):
        raise TooFewRows(
            "there are no training rows",
            remedy="give more data, or leave less of them out with sharding.holdout",
        )
    if config.impute == "none" and config.project == "pca":
        raise ConfigError(
            "reduction: principal components need values, and impute: none keeps missing ones",
            remedy="set reduction.impute to mean, median or zero, or reduction.project to none",
        )


def _parts(column: Column) -> tuple[str, ...]:
    return TIME_PARTS if column.purpose is Purpose.TIME else tuple(PARTS)


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


def _encoding(drafts: list[Draft], dropped: Mapping[str, str], config: ReductionConfig) -> Encoding:
    kept = [c for draft in drafts for c in draft.columns if c.name not in dropped]
    slots = {column.name: slot for slot, column in enumerate(kept)}
    features = tuple(
        draft.placed(slots)
        for draft in drafts
        if any(column.name in slots for column in draft.columns)
    )
    scaled = config.scale == "standard"
    means = tuple(0.0 if scaled else column.mean for column in kept)
    return Encoding(features, tuple(slots), means)


def _only(moments: Moments, names: tuple[str, ...]) -> Moments:
    at = [moments.names.index(name) for name in names]
    return Moments(names, moments.count, moments.mean[at], moments.comoment[at][:, at])


def _nothing_left(drafts: list[Draft], dropped: Mapping[str, str]) -> NoFeatures:
    reasons = _by_feature(drafts, dropped)
    told = (f"{name}: {reason}" for name, reason in reasons.items())
    listing = first_few(told, 10, between="; ")
    return NoFeatures(
        f"no feature is left to learn from ({listing or 'the table has none'})",
        remedy="add columns that vary, or lower reduction.min_variance",
        dropped=reasons,
    )


def _by_feature(drafts: list[Draft], dropped: Mapping[str, str]) -> dict[str, str]:
    """Reasons by raw feature where all of it goes, else by encoded column."""
    reasons: dict[str, str] = {}
    for draft in drafts:
        gone = [column.name for column in draft.columns if column.name in dropped]
        if len(gone) == len(draft.columns):
            reasons[draft.feature["name"]] = dropped[gone[0]]
        else:
            reasons |= {name: dropped[name] for name in gone}
    return reasons


def _reducer(
    drafts: list[Draft], encoding: Encoding, projection: Projection | None, schema: TableSchema
) -> Reducer:
    # Imported here: workers, which import this room, have no use for scikit-learn.
    from tidemill.features.reducer import Reducer

    reading = _reading(schema)
    features: list[dict[str, Any]] = [{**f, **reading[f["name"]]} for f in encoding.features]
    return Reducer(
        features=features,
        encoded=list(encoding.names),
        components=None if projection is None else projection.components,
        center=None if projection is None else projection.center,
        seen=[draft.feature["name"] for draft in drafts],
        missing_values=list(schema.missing_values),
    )


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
    drafts: list[Draft],
    dropped: Mapping[str, str],
    encoding: Encoding,
    projection: Projection | None,
    rows: int,
    *,
    by_hash: bool,
) -> ReductionReport:
    names = encoding.names
    explained: tuple[float, ...] = ()
    if projection is not None:
        names = tuple(f"pca{number}" for number in range(len(projection.components)))
        explained = tuple(projection.explained.tolist())
    return ReductionReport(
        features_in=len(drafts),
        features_used=len(encoding.features),
        features_out=len(names),
        names=names,
        dropped=_by_feature(drafts, dropped),
        rare_categories={d.feature["name"]: d.rare for d in drafts if d.rare is not None},
        explained_variance=explained,
        rows=rows,
        redundancy="copies" if by_hash else "correlation",
    )
