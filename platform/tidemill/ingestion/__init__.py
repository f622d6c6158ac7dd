"""Sources to validated rows: list, look, read, judge (Great Expectations), quarantine, write."""

from tidemill.cells import CellFaults
from tidemill.contracts import Reject, Split
from tidemill.ingestion.acceptance import FailedExpectation
from tidemill.ingestion.arrival import SourceChanges
from tidemill.ingestion.checks.suite import Expectation, Suite, load_suite
from tidemill.ingestion.data_docs import docs_offer, write_data_docs
from tidemill.ingestion.drawn_rows import DrawCounts
from tidemill.ingestion.first_look.look import LookResult, look, look_result
from tidemill.ingestion.first_look.prospects import (
    check_key,
    check_target,
    leaks,
    positive_class,
    times_unused,
)
from tidemill.ingestion.first_look.suite_draft import draft_suite, drafted_columns
from tidemill.ingestion.first_look.thinned_rows import Thinned
from tidemill.ingestion.ingest import IngestResult, ingest, scan_job
from tidemill.ingestion.left_out import left_out
from tidemill.ingestion.live_rows import (
    LabelledRows,
    LiveRows,
    as_labelled,
    live_dataset,
    live_rows,
    row_wise_suite,
)
from tidemill.ingestion.refused_rows import count_reasons, read_quarantine, refused_rows
from tidemill.ingestion.scan import ScanJob, scan_split
from tidemill.ingestion.scan_receipt import is_noted
from tidemill.ingestion.sources.batches import ParsedBatch
from tidemill.ingestion.sources.delimited.csv_dialect import CsvDialect
from tidemill.ingestion.sources.files import said_of_formats
from tidemill.ingestion.sources.listing import SourceListing, list_source, named_by, of_files
from tidemill.ingestion.sources.odd_cells import invalid_rows, oddities_of
from tidemill.ingestion.sources.reading import read_split
from tidemill.ingestion.sources.wide_tables import LOOK_CELLS, bounded_rows
from tidemill.ingestion.validation_report import read_report

__all__ = [
    "LOOK_CELLS",
    "CellFaults",
    "CsvDialect",
    "DrawCounts",
    "Expectation",
    "FailedExpectation",
    "IngestResult",
    "LabelledRows",
    "LiveRows",
    "LookResult",
    "ParsedBatch",
    "Reject",
    "ScanJob",
    "SourceChanges",
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
    "is_noted",
    "leaks",
    "left_out",
    "list_source",
    "live_dataset",
    "live_rows",
    "load_suite",
    "look",
    "look_result",
    "named_by",
    "oddities_of",
    "of_files",
    "positive_class",
    "read_quarantine",
    "read_report",
    "read_split",
    "refused_rows",
    "row_wise_suite",
    "said_of_formats",
    "scan_job",
    "scan_split",
    "times_unused",
    "write_data_docs",
]
