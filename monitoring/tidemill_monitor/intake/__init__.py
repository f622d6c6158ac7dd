"""Intake: from the bytes of a request to a table of its good rows, and the others' faults."""

from tidemill_monitor.intake.bodies import ARROW, JSON, NDJSON, Body, HeldBodies, read_body
from tidemill_monitor.intake.plans import IntakePlan, Shape
from tidemill_monitor.intake.row_faults import Fault, Refused, RowError, Sorted
from tidemill_monitor.intake.sorting import sort_body

__all__ = [
    "ARROW",
    "JSON",
    "NDJSON",
    "Body",
    "Fault",
    "HeldBodies",
    "IntakePlan",
    "Refused",
    "RowError",
    "Shape",
    "Sorted",
    "read_body",
    "sort_body",
]
