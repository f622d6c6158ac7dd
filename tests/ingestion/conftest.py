"""One PostgreSQL and one server of S3 for the room."""

from __future__ import annotations

from tidemill.testing.file_servers import s3_files
from tidemill.testing.postgres import postgres

__all__ = ["postgres", "s3_files"]
