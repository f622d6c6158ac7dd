"""The tables: one MetaData that the migrations must equal (a test compares them)."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from tidemill.ledger.database.column_types import Document, Moment, SerialInteger, Words

__all__ = [
    "alerts",
    "arrivals",
    "batches",
    "decisions",
    "findings",
    "id_pages",
    "id_segments",
    "keys",
    "labels",
    "marks",
    "metadata",
    "notes",
    "outbox",
    "parts",
    "pending",
    "performance",
    "requests",
    "sessions",
    "windows",
]

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# Counters that advance with the rows they count: next_seq, folded_seq, ...
marks = Table(
    "marks",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)

# Rows first_seq .. first_seq + rows - 1 of all events, as two zstd-compressed Arrow streams.
batches = Table(
    "batches",
    metadata,
    Column("first_seq", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True),
    Column("rows", Integer, nullable=False),
    Column("model_version", Integer, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("received_at", Moment, nullable=False),
    Column("min_at", Moment, nullable=False),
    Column("max_at", Moment, nullable=False),
    Column("outcomes", LargeBinary, nullable=False),
    Column("features", LargeBinary, nullable=False),
    Column("fault", Words, nullable=False, server_default=""),
    Column("late", LargeBinary),  # a bit a row: it came after its window was closed
    Index(None, "received_at"),
    Index(None, "model_version", "position"),
)

# What a request said besides its rows; kept until it is folded.
arrivals = Table(
    "arrivals",
    metadata,
    Column("id", SerialInteger, primary_key=True, autoincrement=True),
    Column("first_seq", BigInteger, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("duplicates", Integer, nullable=False),
    Column("model_version", Integer, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("received_at", Moment, nullable=False),
    Column("intake", LargeBinary),
    Column("repeats", LargeBinary),  # numbers of the events that it sent again
    sqlite_autoincrement=True,  # a number is never given twice
)

# A sorted run of id hashes; its pages lie at id * 2^24 + page.
id_segments = Table(
    "id_segments",
    metadata,
    Column("id", SerialInteger, primary_key=True, autoincrement=True),
    Column("level", Integer, nullable=False),
    Column("live", Boolean, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("first_seq", BigInteger, nullable=False),
    Column("last_seq", BigInteger, nullable=False),
    Column("fences", LargeBinary, nullable=False),
    Column("filter", LargeBinary, nullable=False),
    sqlite_autoincrement=True,  # a number is never given twice
)

id_pages = Table(
    "id_pages",
    metadata,
    Column("page_id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True),
    Column("body", LargeBinary, nullable=False),
)

labels = Table(
    "labels",
    metadata,
    Column("seq", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("word", Words),
    Column("value", Double),
    Column("at", Moment, nullable=False),
    Index(None, "number", unique=True),
)

pending = Table(
    "pending",
    metadata,
    Column("id", LargeBinary(16), primary_key=True),
    Column("word", Words),
    Column("value", Double),
    Column("at", Moment, nullable=False),
    Column("received_at", Moment, nullable=False),
    Index(None, "received_at"),
)

windows = Table(
    "windows",
    metadata,
    Column("id", SerialInteger, primary_key=True, autoincrement=True),
    Column("model_version", Integer, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("segment", Text, nullable=False),
    Column("start", Moment, nullable=False),
    Column("end", Moment, nullable=False),
    Column("first_position", BigInteger),
    Column("last_position", BigInteger),
    Column("state", Text, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("late_rows", BigInteger, nullable=False),
    Column("labelled_rows", BigInteger, nullable=False),
    Column("verdict", Text),
    Column("sentence", Words, nullable=False),
    Column("summary", Document, nullable=False),
    Column("findings_flagged", Integer, nullable=False),
    Column("first_received_at", Moment, nullable=False),
    Column("last_received_at", Moment, nullable=False),
    Column("closed_at", Moment),
    Column("judged_at", Moment),
    Column("labelled_at_judgement", BigInteger),
    Column("archived_url", Text),
    UniqueConstraint("model_version", "sequence", "segment"),
    Index(None, "start", "id"),
    Index(None, "state"),
)

parts = Table(
    "parts",
    metadata,
    Column("id", SerialInteger, primary_key=True, autoincrement=True),
    Column("window_id", BigInteger, ForeignKey("windows.id"), nullable=False),
    Column("field", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index(None, "window_id", "field"),
)

findings = Table(
    "findings",
    metadata,
    Column("window_id", BigInteger, ForeignKey("windows.id"), primary_key=True),
    Column("ordinal", Integer, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("feature", Text, nullable=False),
    Column("test", Text, nullable=False),
    Column("value", Double),  # null: not a number
    Column("threshold", Double),
    Column("p_value", Double),
    Column("flagged", Boolean, nullable=False),
    Column("detail", Words, nullable=False),
    Index(None, "feature", "window_id"),
    Index(None, "test", "window_id"),
)

performance = Table(
    "performance",
    metadata,
    Column("window_id", BigInteger, ForeignKey("windows.id"), primary_key=True),
    Column("metric", Text, primary_key=True),
    Column("measured", Double),
    Column("estimated", Double),
    Column("low", Double),
    Column("high", Double),
    Column("labelled_rows", BigInteger, nullable=False),
)

alerts = Table(
    "alerts",
    metadata,
    Column("id", SerialInteger, primary_key=True, autoincrement=True),
    Column("key", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("segment", Text, nullable=False),
    Column("model_version", Integer),
    Column("severity", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("title", Words, nullable=False),
    Column("detail", Document, nullable=False),
    Column("window_id", BigInteger),
    Column("count", Integer, nullable=False),
    Column("opened_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("acknowledged_at", Moment),
    Column("resolved_at", Moment),
    Column("note", Words, nullable=False),
    Index(
        "uq_alerts_open_key",
        "key",
        unique=True,
        sqlite_where=text("resolved_at IS NULL"),
        postgresql_where=text("resolved_at IS NULL"),
    ),
    Index(None, "rule", "segment", "model_version", "id"),
)

decisions = Table(
    "decisions",
    metadata,
    Column("id", SerialInteger, primary_key=True, autoincrement=True),
    Column("model", Text, nullable=False),
    Column("champion_version", Integer, nullable=False),
    Column("action", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Words, nullable=False),
    Column("evidence", Document, nullable=False),
    Column("source", Text, nullable=False),
    Column("needs_approval", Boolean, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("labels_after", BigInteger),
    Column("labels_through", BigInteger),
    Column("challenger_version", Integer),
    Column("promoted", Boolean),
    Column("flow_run_id", Text),
    Column("flow_run_url", Text),
    Column("outcome", Document),
    Column("note", Words, nullable=False),
    Column("opened_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("closed_at", Moment),
    Index(
        "uq_decisions_open_model",
        "model",
        unique=True,
        sqlite_where=text("closed_at IS NULL"),
        postgresql_where=text("closed_at IS NULL"),
    ),
    Index("ix_decisions_fires", "model", "action", "opened_at"),
    Index("ix_decisions_labels", "model", "labels_through"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", SerialInteger, primary_key=True, autoincrement=True),
    Column("kind", Text, nullable=False),
    Column("target", Words, nullable=False),
    Column("payload", Document, nullable=False),
    Column("key", Text, unique=True),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("max_attempts", Integer, nullable=False),
    Column("due_at", Moment, nullable=False),
    Column("leased_until", Moment),
    Column("lease", Text, nullable=False),
    Column("last_error", Words, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("finished_at", Moment),
    Column("series", Text),
    Index(None, "state", "due_at"),
    Index(None, "series", "target"),
    sqlite_autoincrement=True,  # a number is never given twice
)

keys = Table(
    "keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("digest", LargeBinary, nullable=False),
    Column("scopes", Document, nullable=False),
    Column("name", Words, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment),
    Column("revoked_at", Moment),
    Column("last_used_at", Moment),
)

sessions = Table(
    "sessions",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("key_id", Text, nullable=False),
    Column("csrf", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Index(None, "expires_at"),
)

requests = Table(
    "requests",
    metadata,
    Column("scope", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("digest", LargeBinary, nullable=False),
    Column("kind", Text, nullable=False),
    Column("receipt", Document, nullable=False),
    Column("answer", LargeBinary, nullable=False),
    Column("created_at", Moment, nullable=False),
    Index(None, "created_at"),
)

notes = Table(
    "notes",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Document, nullable=False),
    Column("updated_at", Moment, nullable=False),
)
