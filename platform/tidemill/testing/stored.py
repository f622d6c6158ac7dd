"""Real data sets as streams: archives that are there or not, unpacked and read in order of time."""

from __future__ import annotations

import datetime as dt
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
import pyarrow.parquet as pq

__all__ = ["Stored", "elec2", "fraud", "taxi"]

_BEFORE_ALL = dt.date(1990, 1, 1)


@dataclass(frozen=True)
class Stored:
    """A data set in windows of so many days, as :class:`tidemill.testing.streams.BankCalls`.

    Parameters
    ----------
    rows : pa.Table
        Key, time, features (float64 or text) and target (yes, no), in order of time.
    days : int
        Of a window.
    held, live : dt.date
        Rows before the first teach, those before the second are held out, the rest is live.
    """

    rows: pa.Table
    days: int
    held: dt.date
    live: dt.date

    key: ClassVar[str] = "row"
    time: ClassVar[str] = "at"
    target: ClassVar[str] = "truth"

    @classmethod
    def of(
        cls, table: pa.Table, features: Sequence[str], days: int, held: str, live: str
    ) -> Stored:
        """From a table with ``at`` and a ``truth`` that is true or false, in any order."""
        table = table.sort_by("at")
        columns = {
            cls.key: pa.array(np.arange(table.num_rows).astype(str)),
            cls.time: table["at"].cast(pa.timestamp("us")),
        }
        for name in features:
            text = pa.types.is_string(table[name].type)
            columns[name] = table[name] if text else table[name].cast(pa.float64())
        columns[cls.target] = pc.if_else(table["truth"], "yes", "no")
        rows = pa.table(columns).combine_chunks()
        return cls(rows, days, dt.date.fromisoformat(held), dt.date.fromisoformat(live))

    def day(self, date: dt.date) -> pa.Table:
        """The window that begins with a day."""
        return self._between(date, date + self.days * dt.timedelta(days=1))

    def past(self) -> tuple[pa.Table, pa.Table]:
        """Rows that teach, rows that are held out."""
        return self._between(_BEFORE_ALL, self.held), self._between(self.held, self.live)

    def _between(self, first: dt.date, last: dt.date) -> pa.Table:
        ends = np.array([first, last], "datetime64[us]")
        start, stop = np.searchsorted(self.rows[self.time].to_numpy(), ends).tolist()
        return self.rows.slice(start, stop - start)


def elec2(archives: Path, folder: Path) -> Stored:
    """A market from May 1996 on, in fortnights; the one beside it opens in May 1997.

    Raises
    ------
    FileNotFoundError
        If the archive is absent, as of the others.
    """
    table = csv.read_csv(_unpacked(archives / "elec2.tar.gz", folder) / "elec2" / "elec2.csv")
    half_hours = np.arange(table.num_rows) * np.timedelta64(30, "m")
    table = table.append_column("at", pa.array(np.datetime64("1996-05-07", "us") + half_hours))
    table = table.append_column("truth", pc.equal(table["class"], "UP"))
    names = ["day", "period", "nswdemand", "vicprice", "vicdemand", "transfer"]
    return Stored.of(table, names, 14, "1997-01-09", "1997-03-06")


def taxi(archives: Path, folder: Path) -> Stored:
    """Rides of 2018, then weeks of 2019 with their surcharge; truth: it cost over 12 dollars."""
    raw = _unpacked(archives / "taxi_yellow_2018_2019.tar.gz", folder) / "taxi_yellow" / "raw"
    types = {"vendor_id": pa.string(), "rate_code_id": pa.string()}
    # Without a value in all of 2018.
    types["congestion_surcharge"] = pa.float64()
    options = csv.ConvertOptions(column_types=types)
    months = [csv.read_csv(path, convert_options=options) for path in sorted(raw.glob("*.csv"))]
    table = pa.concat_tables(months)
    # Some rows lie years outside their month.
    table = table.filter(pc.is_in(pc.year(table["pickup_datetime"]), pa.array([2018, 2019])))
    table = table.append_column("at", table["pickup_datetime"])
    table = table.append_column("truth", pc.greater(table["total_amount"], 12))
    names = ["vendor_id", "passenger_count", "trip_distance", "rate_code_id", "extra"]
    return Stored.of(table, names, 7, "2018-11-01", "2019-01-03")


def fraud(archives: Path, folder: Path) -> Stored:
    """Card payments from April 2018 on, in days; their counts over 30 days fill until day 30."""
    days = _unpacked(archives / "fraud_daily_d000_044.tar", folder) / "fraud_daily"
    table = pq.read_table(days / "daily_parquet")
    table = table.append_column("at", table["TX_DATETIME"])
    table = table.append_column("truth", pc.equal(table["TX_FRAUD"], 1))
    names = [n for n in table.column_names if n.endswith(("_WINDOW", "TX_AMOUNT"))]
    return Stored.of(table, names, 1, "2018-04-21", "2018-04-26")


def _unpacked(archive: Path, folder: Path) -> Path:
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder
