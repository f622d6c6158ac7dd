"""What every store of the ledger must do: inherit :class:`LedgerContract`, supply ``url``."""

from __future__ import annotations

from tidemill.testing.ledgers.alerts import AlertsContract
from tidemill.testing.ledgers.decisions import DecisionsContract, fire_decision
from tidemill.testing.ledgers.events import EventsContract
from tidemill.testing.ledgers.folding import FoldingContract
from tidemill.testing.ledgers.keys import KeysContract
from tidemill.testing.ledgers.labels import LabelsContract
from tidemill.testing.ledgers.outbox import OutboxContract
from tidemill.testing.ledgers.pruning import PruningContract
from tidemill.testing.ledgers.windows import WindowsContract
from tidemill.testing.ledgers.withholding import WithholdingContract
from tidemill.testing.ledgers.writing import WritingContract

__all__ = ["LedgerContract", "fire_decision"]


class LedgerContract(
    EventsContract,
    WritingContract,
    FoldingContract,
    WindowsContract,
    LabelsContract,
    AlertsContract,
    DecisionsContract,
    WithholdingContract,
    OutboxContract,
    KeysContract,
    PruningContract,
):
    """The contract of ``tidemill.ledger.Ledger``, whatever the database.

    A subclass named ``Test...`` supplies a fixture ``url`` with the address of an empty store.
    """
