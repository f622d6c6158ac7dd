"""The formats of sources: one row each; packages add theirs as entry points."""

from __future__ import annotations

from tidemill.addresses import Implementations
from tidemill.contracts import Source

__all__ = ["FORMATS"]

FORMATS: Implementations[type[Source]] = Implementations(
    {
        "csv": "tidemill.ingestion.sources.delimited.csv_source:CsvSource",
        "parquet": "tidemill.ingestion.sources.parquet.parquet_source:ParquetSource",
        "arrow": "tidemill.ingestion.sources.parquet.arrow_source:ArrowSource",
        "jsonl": "tidemill.ingestion.sources.json_lines.json_source:JsonLinesSource",
        "excel": "tidemill.ingestion.sources.excel.excel_source:ExcelSource",
        "sql": "tidemill.ingestion.sources.sql.sql_source:SqlSource",
    },
    group="tidemill.sources",
    setting="dataset.format",
    port=Source,
)
"""By name: made with the ``dataset`` section of params.yaml and the workspace's root."""
