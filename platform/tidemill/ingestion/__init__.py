"""Sources to validated rows: list, look, read, judge (Great Expectations), quarantine, write."""

from tidemill.cells import CellFaults
from tidemill.ingestion.data_docs import docs_offer, write_data_docs
from tidemill.ingestion.draft import draft_suite, drafted_columns
from tidemill.ingestion.ingest import IngestResult, ingest
from tidemill.ingestion.listing import list_source
from tidemill.ingestion.live import (
    LabelledRows,
    LiveRows,
    as_labelled,
    live_dataset,
    live_rows,
    row_wise_suite,
)
from tidemill.ingestion.look import LookResult, look, look_result
from tidemill.ingestion.odd_cells import invalid_rows, oddities_of
from tidemill.ingestion.outcome import FailedExpectation
from tidemill.ingestion.parsed import ParsedBatch, Reject
from tidemill.ingestion.prospects import (
    check_key,
    check_target,
    leaks,
    positive_class,
    times_unused,
)
from tidemill.ingestion.reading import read_split
from tidemill.ingestion.refused import count_reasons, read_quarantine, refused_rows
from tidemill.ingestion.sample import write_sample
from tidemill.ingestion.splits import CsvDialect, SourceListing, Split
from tidemill.ingestion.suite import Expectation, Suite, load_suite
from tidemill.ingestion.thinned import Thinned
from tidemill.ingestion.validation_report import read_report
from tidemill.ingestion.width import LOOK_CELLS, bounded_rows

__all__ = [
    "LOOK_CELLS",
    "CellFaults",
    "CsvDialect",
    "Expectation",
    "FailedExpectation",
    "IngestResult",
    "LabelledRows",
    "LiveRows",
    "LookResult",
    "ParsedBatch",
    "Reject",
    "SourceListing",
    "Split",
    "Suite",
    "Thinned",
    "as_labelled",
    "bounded_rows",
    "check_key",
    "check_target",
    "count_reasons",
    "docs_offer",
    "draft_suite",
    "drafted_columns",
    "ingest",
    "invalid_rows",
    "leaks",
    "list_source",
    "live_dataset",
    "live_rows",
    "load_suite",
    "look",
    "look_result",
    "oddities_of",
    "positive_class",
    "read_quarantine",
    "read_report",
    "read_split",
    "refused_rows",
    "row_wise_suite",
    "times_unused",
    "write_data_docs",
    "write_sample",
]
