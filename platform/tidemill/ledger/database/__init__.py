"""SQLite or PostgreSQL below the ledger's nouns: connections, locks, tables, transactions.

It knows no event and no window: what a table's rows mean is said by the module of that noun.
"""

from tidemill.ledger.database.blobs import (
    pack_bytes,
    pack_numbers,
    pack_table,
    unpack_bytes,
    unpack_numbers,
    unpack_table,
)
from tidemill.ledger.database.column_types import AnyRow, cleaned, from_micros, micros
from tidemill.ledger.database.committing import (
    Commit,
    CommitJob,
    Group,
    JobResult,
    of_database,
    run_jobs,
)
from tidemill.ledger.database.ledger_errors import (
    DecisionOpen,
    IdempotencyConflict,
    LedgerInUse,
    QueueFull,
    RecordMissing,
    WrongState,
    busy,
    database_errors,
    translate,
)
from tidemill.ledger.database.migrating import check_revision, migrate
from tidemill.ledger.database.pools import Database
from tidemill.ledger.database.upserting import insert_new, insert_row, upsert

__all__ = [
    "AnyRow",
    "Commit",
    "CommitJob",
    "Database",
    "DecisionOpen",
    "Group",
    "IdempotencyConflict",
    "JobResult",
    "LedgerInUse",
    "QueueFull",
    "RecordMissing",
    "WrongState",
    "busy",
    "check_revision",
    "cleaned",
    "database_errors",
    "from_micros",
    "insert_new",
    "insert_row",
    "micros",
    "migrate",
    "of_database",
    "pack_bytes",
    "pack_numbers",
    "pack_table",
    "run_jobs",
    "translate",
    "unpack_bytes",
    "unpack_numbers",
    "unpack_table",
    "upsert",
]
