"""Streams as a bank and an energy supplier have them: a day after another, and how feeds break.

What is made is a table of features and target; a model, a monitor and labels are the test's.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["FAULTS", "FIRST_DAY", "NEW_WORLD", "BankCalls", "HomeMeters", "lacking"]

FIRST_DAY = dt.date(2025, 1, 1)
NEW_WORLD = dt.date(2025, 5, 1)
"""From here on the bank's customers answer otherwise, on another channel, at another rate."""

_OPENING = dt.timedelta(hours=9)
_HOUR = 3600.0

Floats = npt.NDArray[np.float64]


class BankCalls:
    """Calls of a bank that offers a deposit: who takes it.

    Features: ``month`` and ``channel`` (categories), ``rate`` (one value a day, as a market has
    it), ``age``, ``balance``, ``seconds``. From :data:`NEW_WORLD` on there are months and a
    channel never seen before, and the rate falls out of its range day by day. Within two days
    most customers come by that channel, and there the answers hang on other things: who has
    money no longer takes the deposit.

    Parameters
    ----------
    seed : int
    rows : int
        Calls a day, all from nine to ten o'clock UTC.

    >>> BankCalls(seed=1, rows=5).day(FIRST_DAY).num_rows
    5
    """

    key, time, target = "call_id", "called_at", "subscribed"

    def __init__(self, seed: int = 0, rows: int = 700) -> None:
        self._rng, self._rows = np.random.default_rng(seed), rows

    def day(self, date: dt.date) -> pa.Table:
        """The calls of one day."""
        rng, rows = self._rng, self._rows
        day = (date - NEW_WORLD).days
        new = min(max(day + 1, 0) / 2, 1.0)
        age = rng.normal(42, 11, rows).clip(18, 95).round()
        balance = rng.gamma(2.0, 700.0, rows)
        seconds = rng.exponential(250, rows).round()
        cellular = rng.random(rows) < 0.6
        app = rng.random(rows) < 0.7 * new
        rate = _rate(date)
        wealth = (balance - 1400) / 1000
        logit = -1.0 + 0.003 * (seconds - 250) + 0.3 * cellular
        logit += np.where(app, 0.9 * np.abs(age - 42) / 11 - 0.8 * wealth, 1.6 * wealth)
        channel = np.where(app, "app", np.where(cellular, "cellular", "telephone"))
        return pa.table(
            {
                self.key: pa.array([f"{date:%Y%m%d}-{n}" for n in range(rows)]),
                self.time: _times(date, rows),
                "month": pa.array([f"{date:%b}".lower()] * rows),
                "channel": pa.array(channel),
                "rate": pa.array(np.full(rows, rate)),
                "age": pa.array(age),
                "balance": pa.array(balance.round(2)),
                "seconds": pa.array(seconds),
                self.target: _drawn(rng, logit),
            }
        )


class HomeMeters:
    """Homes of an energy supplier: who needs more than was agreed. A season passes; no answer does.

    Features: ``temperature`` (from about freezing in January to a warm June), ``people``,
    ``area``, ``tariff``. Need hangs on people, area and tariff, and on frost; from April on there
    is none, as on many days before.

    Parameters
    ----------
    seed : int
    rows : int
        Homes a day.

    >>> HomeMeters(seed=1, rows=5).day(FIRST_DAY).num_rows
    5
    """

    key, time, target = "reading_id", "read_at", "over"

    def __init__(self, seed: int = 0, rows: int = 700) -> None:
        self._rng, self._rows = np.random.default_rng(seed), rows

    def day(self, date: dt.date) -> pa.Table:
        """The readings of one day."""
        rng, rows = self._rng, self._rows
        mean = 12 - 12 * np.cos(2 * np.pi * ((date - FIRST_DAY).days - 15) / 365)
        weather = rng.normal(0, 2.5)
        temperature = (mean + weather + rng.normal(0, 2.0, rows)).round(1)
        people = 1 + rng.poisson(1.4, rows)
        area = rng.gamma(9.0, 11.0, rows).round()
        tariff = rng.choice(["day", "night", "flat"], rows, p=[0.5, 0.3, 0.2])
        logit = -0.6 + 0.9 * (people - 2.4) + 0.02 * (area - 99) + 0.8 * (tariff == "night")
        logit += 0.15 * np.clip(-temperature, 0, 4)
        return pa.table(
            {
                self.key: pa.array([f"{date:%Y%m%d}-{n}" for n in range(rows)]),
                self.time: _times(date, rows),
                "temperature": pa.array(temperature),
                "people": pa.array(people.astype(np.float64)),
                "area": pa.array(area),
                "tariff": pa.array(tariff),
                self.target: _drawn(rng, logit),
            }
        )


def _rate(date: dt.date) -> float:
    """Wanders a little until the new world, then falls by a twentieth a day."""
    day = (date - FIRST_DAY).days
    calm = 4.8 + 0.1 * np.sin(day / 9) + 0.03 * np.sin(day * 1.7)
    return round(float(calm - 0.05 * max((date - NEW_WORLD).days + 1, 0)), 3)


def _times(date: dt.date, rows: int) -> pa.Array:
    first = np.datetime64(dt.datetime.combine(date, dt.time()) + _OPENING, "us")
    steps = (np.arange(rows) * (_HOUR * 1e6 / max(rows, 1))).astype("timedelta64[us]")
    return pa.array(first + steps, pa.timestamp("us"))


def _drawn(rng: np.random.Generator, logit: Floats) -> pa.Array:
    yes = rng.random(len(logit)) < 1 / (1 + np.exp(-logit))
    return pa.array(np.where(yes, "yes", "no"))


def _replaced(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, values)


def _renamed(table: pa.Table, name: str) -> pa.Table:
    return table.rename_columns([f"{n}_v2" if n == name else n for n in table.column_names])


def _as_text(table: pa.Table, name: str) -> pa.Table:
    texts = pc.binary_join_element_wise(table[name].cast(pa.string()), "EUR", " ")
    return _replaced(table, name, texts)


def _other_unit(table: pa.Table, name: str) -> pa.Table:
    return _replaced(table, name, pc.multiply(table[name], 1000.0))


def _still(table: pa.Table, name: str) -> pa.Table:
    """Stuck where it was when the day began."""
    first = table[name][0].as_py()
    return _replaced(table, name, pa.array([first] * table.num_rows))


def lacking(table: pa.Table, name: str, share: float = 0.4) -> pa.Table:
    """The same without so many of a column's values."""
    gone = np.arange(table.num_rows) % 100 < 100 * share
    values = table[name].combine_chunks()
    return _replaced(table, name, pc.if_else(pa.array(gone), pa.nulls(1, values.type)[0], values))


FAULTS: Mapping[str, Callable[[pa.Table, str], pa.Table]] = {
    "missing column": lambda table, name: table.drop_columns([name]),
    "renamed column": _renamed,
    "type changed": _as_text,
    "unit jump": _other_unit,
    "frozen": _still,
    "one value": lambda table, name: _replaced(table, name, pa.array([0.0] * table.num_rows)),
    "nulls": lacking,
    "volume": lambda table, _: table.slice(0, table.num_rows // 20),
}
"""What a feed does to a numeric column of a day (volume: to the day)."""
