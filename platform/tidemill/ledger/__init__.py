"""One store for what the monitor must not forget: SQLite beside the service, or PostgreSQL."""

from tidemill.ledger.access import Key, Session
from tidemill.ledger.alerts import Alert
from tidemill.ledger.database import (
    DecisionOpen,
    IdempotencyConflict,
    LedgerInUse,
    QueueFull,
    RecordMissing,
    WrongState,
)
from tidemill.ledger.decision import DecisionRow
from tidemill.ledger.entries import (
    BatchNote,
    EventBatch,
    EventReceipt,
    Folding,
    LabelBatch,
    LabelPart,
    LabelReceipt,
    LeftOut,
    Request,
    Stretch,
    Totals,
    WindowKey,
    WindowPart,
)
from tidemill.ledger.finding_rows import FindingLike, FindingPoint, FindingRow
from tidemill.ledger.ledger import Health, Ledger
from tidemill.ledger.outbox import Message, NewMessage, back_off_seconds
from tidemill.ledger.requests import StoredRequest
from tidemill.ledger.retention import PrunedRows
from tidemill.ledger.window import Parts, PerformanceRow, Window
from tidemill.ledger.withholding import Span, Take, owed_after, takes_of

__all__ = [
    "Alert",
    "BatchNote",
    "DecisionOpen",
    "DecisionRow",
    "EventBatch",
    "EventReceipt",
    "FindingLike",
    "FindingPoint",
    "FindingRow",
    "Folding",
    "Health",
    "IdempotencyConflict",
    "Key",
    "LabelBatch",
    "LabelPart",
    "LabelReceipt",
    "Ledger",
    "LedgerInUse",
    "LeftOut",
    "Message",
    "NewMessage",
    "Parts",
    "PerformanceRow",
    "PrunedRows",
    "QueueFull",
    "RecordMissing",
    "Request",
    "Session",
    "Span",
    "StoredRequest",
    "Stretch",
    "Take",
    "Totals",
    "Window",
    "WindowKey",
    "WindowPart",
    "WrongState",
    "back_off_seconds",
    "owed_after",
    "takes_of",
]
