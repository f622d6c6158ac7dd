"""The model behind the sample: how rides are asked for, priced, cancelled, and soiled."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["CHUNK_ROWS", "Calendar", "simulate_rides"]

# Random numbers are drawn per chunk of this many rows, so that a row's values depend on the
# seed and its number alone.
CHUNK_ROWS = 65_536

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]

_ZONES = np.array([f"Z{i:02d}" for i in range(1, 31)])
_PRODUCTS = np.array(["economy", "comfort", "xl", "premium"])
_PAYMENTS = np.array(["card", "wallet", "cash", "business"])
_WEATHER = np.array(["clear", "clouds", "rain", "snow", "fog"])
# Requests by hour of a day: two rush hours and a late evening.
_HOURLY = np.array(
    [
        *(2, 1.4, 1, 0.8, 0.8, 1.2, 2.4, 4.6, 5.6, 4.2, 3.4, 3.4),
        *(3.8, 3.8, 3.6, 4, 4.8, 6, 6.4, 5.6, 4.8, 4.4, 4, 3),
    ]
)
_DAY_SHARE = np.concatenate([[0.0], np.cumsum(_HOURLY) / _HOURLY.sum()])


@dataclass(frozen=True, slots=True)
class Calendar:
    """The months of a sample.

    Parameters
    ----------
    starts : tuple of datetime
        First instant of each month.
    end : datetime
        First instant after the last month.
    """

    starts: tuple[dt.datetime, ...]
    end: dt.datetime

    @classmethod
    def of(cls, months: int) -> Calendar:
        """Return ``months`` months from January 2024.

        >>> Calendar.of(14).end.isoformat()
        '2025-03-01T00:00:00'
        """
        days = [dt.datetime(2024 + m // 12, m % 12 + 1, 1) for m in range(months + 1)]  # noqa: DTZ001
        return cls(tuple(days[:-1]), days[-1])

    @property
    def regime_change(self) -> dt.datetime:
        """When the other prices and habits begin: at three quarters of the months.

        >>> Calendar.of(12).regime_change.isoformat()
        '2024-10-01T00:00:00'
        """
        months = len(self.starts)
        if months < 2:
            days = (self.end - self.starts[0]).days
            return self.starts[0] + dt.timedelta(days=days * 3 // 4)
        return self.starts[min(-(-months * 3 // 4), months - 1)]

    @property
    def days(self) -> int:
        """Days from the first month's start to the last month's end."""
        return (self.end - self.starts[0]).days


def simulate_rides(
    chunk: int, *, rows: int, calendar: Calendar, seed: int, as_text: bool
) -> tuple[pa.Table, Numbers]:
    """Simulate the rows ``[chunk * CHUNK_ROWS, ...)`` of ``rows`` in all.

    Parameters
    ----------
    as_text : bool
        Whether numbers may hold text (CSV); else such cells are null.

    Returns
    -------
    table : pyarrow.Table
        33 columns, ordered by time.
    month : (n,) int64
        Position in the calendar of each row's month.
    """
    begin = chunk * CHUNK_ROWS
    n = min(CHUNK_ROWS, rows - begin)
    rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence([seed, chunk])))
    asked = _times(np.arange(begin, begin + n) + rng.random(CHUNK_ROWS)[:n], rows, calendar)
    starts = np.array(calendar.starts, dtype="datetime64[s]").astype(np.int64)
    changed = asked >= np.datetime64(calendar.regime_change, "s").astype(np.int64)
    ride = _Ride(rng, n, asked, changed)
    ids = 1_000_000_007 + np.arange(begin, begin + n) * 16 + ride.whole(0, 16)
    columns = {"ride_id": pa.array(ids), **ride.columns()}
    return _soil(columns, ride, as_text=as_text), starts.searchsorted(asked, side="right") - 1


def _times(position: Floats, rows: int, calendar: Calendar) -> Numbers:
    """Epoch seconds, ascending with the row number, denser in the rush hours."""
    day, share = np.divmod(position / rows * calendar.days, 1.0)
    seconds = np.interp(share, _DAY_SHARE, np.arange(25) * 3600.0)
    origin = int(np.datetime64(calendar.starts[0], "s").astype(np.int64))
    moment = origin + day.astype(np.int64) * 86_400 + seconds.astype(np.int64)
    latest: Numbers = np.minimum(moment, int(np.datetime64(calendar.end, "s").astype(np.int64)) - 1)
    return latest


class _Ride:
    """The variables of one chunk of rides, each drawn from those before it."""

    def __init__(
        self,
        rng: np.random.Generator,
        n: int,
        asked: Numbers,
        changed: npt.NDArray[np.bool_],
    ) -> None:
        self.rng, self.n, self.asked, self.changed = rng, n, asked, changed
        self._place_and_weather()
        self._market()
        self._people()
        self._price()
        self._outcome()

    # Every draw is of a whole chunk, so that the last, shorter one draws the same numbers.
    def uniform(self) -> Floats:
        return self.rng.random(CHUNK_ROWS)[: self.n]

    def normal(self) -> Floats:
        return self.rng.standard_normal(CHUNK_ROWS)[: self.n]

    def whole(self, low: int, high: int) -> Numbers:
        return self.rng.integers(low, high, CHUNK_ROWS)[: self.n]

    def _place_and_weather(self) -> None:
        hours = (self.asked % 86_400) / 3600.0
        day = self.asked // 86_400
        self.night = (hours < 5) | (hours > 22)
        self.rush = np.exp(-((hours - 8.2) ** 2) / 3) + np.exp(-((hours - 18) ** 2) / 5)
        self.weekend = (day + 3) % 7 >= 5
        self.origin = (self.uniform() ** 1.6 * 30).astype(np.int64)
        self.destination = (self.uniform() ** 1.3 * 30).astype(np.int64)
        season = np.cos((day % 365 - 15) / 365 * 2 * np.pi)
        # One front a few days long, the same for all rides of that time.
        front = np.sin(day * 0.9) + np.sin(day * 0.37 + 1.3) + 0.6 * self.normal()
        self.temperature = 12 - 11 * season + 4 * np.sin((hours - 9) / 24 * 2 * np.pi)
        self.temperature = self.temperature - 1.5 * front + 1.5 * self.normal()
        self.rain = np.maximum(0.0, front - 0.9) * 3 * np.exp(0.4 * self.normal())
        wet = self.rain > 0.4
        fog = (~wet) & (self.uniform() < 0.04)
        self.weather = np.select(
            [wet & (self.temperature < 0.5), wet, fog, front > 0], [3, 2, 4, 1], 0
        )
        self.wind = np.maximum(0.0, 11 + 5 * front + 4 * self.normal())
        self.humidity = np.clip(58 + 9 * front - 0.5 * self.temperature + 6 * self.normal(), 5, 100)

    def _market(self) -> None:
        apart = np.abs(self.origin - self.destination)
        self.distance = np.round((1.2 + 0.55 * apart) * np.exp(0.38 * self.normal()), 2)
        self.airport = (self.origin == 29) | (self.destination == 29)
        self.distance = np.where(self.airport, np.round(self.distance + 11, 2), self.distance)
        self.traffic = 1 + 0.55 * self.rush * ~self.weekend + 0.02 * self.rain
        self.traffic = np.maximum(0.6, self.traffic + 0.12 * self.normal())
        pace = 1.9 * self.traffic * np.exp(0.15 * self.normal())
        self.duration = np.maximum(2.0, 3 + self.distance * pace)
        self.drivers = np.maximum(0, 14 - 0.3 * self.origin - 3 * self.rush + 3.5 * self.normal())
        self.demand = np.exp(
            0.5 * self.rush
            + 0.12 * np.minimum(self.rain, 6)
            - 0.05 * self.drivers
            + 0.35 * self.normal()
        )
        cap = np.where(self.changed, 3.5, 2.5)
        self.surge = np.round(np.clip(0.55 + 0.6 * self.demand, 1.0, cap), 2)
        self.eta = np.maximum(
            1.0, (2 + 7 * self.traffic / (1 + 0.25 * self.drivers)) * np.exp(0.35 * self.normal())
        )

    def _people(self) -> None:
        skill = self.normal()
        self.driver_rating = np.clip(4.72 + 0.16 * skill + 0.08 * self.normal(), 1, 5)
        self.acceptance = 1 / (1 + np.exp(-(1.8 + 0.5 * skill + 0.8 * self.normal())))
        self.age = np.maximum(0, 420 * np.exp(0.9 * self.normal()) - 30)
        loyal = np.log1p(self.age) / 6 + 0.4 * self.normal()
        self.rides = np.maximum(0, 25 * np.exp(0.8 * loyal + 0.5 * self.normal()) - 20)
        self.fickle = 1 / (1 + np.exp(2.4 - 0.9 * self.normal()))
        self.rider_rating = np.clip(4.9 - 0.9 * self.fickle + 0.1 * self.normal(), 1, 5)
        self.passengers = 1 + (self.uniform() ** 4 * 5).astype(np.int64)
        self.product = np.searchsorted([0.62, 0.82, 0.93], self.uniform())
        self.product = np.where(self.passengers > 4, 2, self.product)
        self.payment = np.searchsorted([0.55, 0.78, 0.92], self.uniform())

    def _price(self) -> None:
        rate = np.array([1.0, 1.25, 1.55, 2.1])[self.product]
        per_km = np.where(self.changed, 1.32, 1.15)
        self.tolls = np.where(self.airport, 4.5, np.where(self.uniform() < 0.05, 2.8, 0.0))
        new = self.age < 90
        self.discount = np.where(self.uniform() < np.where(new, 0.5, 0.12), 3.0, 0.0)
        ridden = 2.4 + per_km * self.distance + 0.28 * self.duration
        fare = ridden * rate * self.surge * np.exp(0.08 * self.normal())
        fare = fare + 1.1 + self.tolls + np.where(self.changed & self.airport, 5.0, 0.0)
        self.fare = np.round(np.maximum(3.5, fare - self.discount), 2)

    def _outcome(self) -> None:
        waiting = np.where(self.changed, 0.27, 0.2)
        zone = np.sin(self.origin * np.where(self.changed, 2.9, 1.7))
        dear = np.log(self.fare / (2.5 + 1.6 * self.distance))
        logit = (
            -4.0
            + waiting * np.minimum(self.eta, 20)
            + 1.3 * np.where(self.changed, 1.5, 1.0) * dear
            + 7.0 * self.fickle
            - 2.2 * (self.acceptance - 0.85)
            + 0.7 * zone
            + 0.9 * (self.payment == 2)
            - 0.9 * (self.payment == 3)
            + 1.2 * (self.rain > 2) * (self.distance < 4)
            + 0.8 * self.night * (self.origin > 20)
            - 0.3 * np.log1p(self.rides / 10)
            - 1.0 * self.airport
            + 0.6 * self.changed * (self.product == 0)
        )
        self.cancelled = self.uniform() < 1 / (1 + np.exp(-1.55 * logit - 0.2))

    def columns(self) -> dict[str, pa.Array]:
        """All columns but the id, with the gaps that are no fault."""
        gap = self.uniform()
        arrived = self.asked + (self.eta * 60).astype(np.int64)
        return {
            "requested_at": _moments(self.asked),
            "pickup_zone": _texts(self.origin, _ZONES),
            "dropoff_zone": _texts(self.destination, _ZONES),
            "product": _texts(self.product, _PRODUCTS),
            "payment": _texts(self.payment, _PAYMENTS),
            "weather": _texts(self.weather, _WEATHER, missing=gap < 0.02),
            "temperature_c": _decimals(self.temperature, 1, missing=gap < 0.02),
            "humidity_pct": _decimals(self.humidity, 0, missing=gap < 0.02),
            "wind_kmh": _decimals(self.wind, 1, missing=gap < 0.02),
            "precipitation_mm": _decimals(self.rain, 1, missing=gap < 0.02),
            "distance_km": _decimals(self.distance, 2),
            "duration_min": _decimals(self.duration, 1),
            "traffic_index": _decimals(self.traffic, 3),
            "speed_kmh": _decimals(60 * self.distance / self.duration, 1),
            "pickup_eta_min": _decimals(self.eta, 1),
            "promised_pickup_at": _moments(arrived),
            "promised_dropoff_at": _moments(arrived + (self.duration * 60).astype(np.int64)),
            "surge": _decimals(self.surge, 2),
            "demand_ratio": _decimals(self.demand, 3),
            "drivers_nearby": _wholes(self.drivers),
            "driver_rating": _decimals(self.driver_rating, 2, missing=(gap > 0.5) & (gap < 0.515)),
            "driver_acceptance": _decimals(self.acceptance, 3),
            "rider_rating": _decimals(self.rider_rating, 2, missing=gap > 0.94),
            "rider_rides": _wholes(self.rides),
            "rider_cancel_rate": _decimals(self.fickle, 3, missing=self.rides < 1),
            "account_age_days": _wholes(self.age),
            "passengers": _wholes(self.passengers),
            "tolls": _decimals(self.tolls, 2),
            "discount": _decimals(self.discount, 2),
            "is_airport": pa.array(self.airport),
            "fare_total": _decimals(self.fare, 2),
            "cancelled": _wholes(self.cancelled),
        }


def _soil(columns: dict[str, pa.Array], ride: _Ride, *, as_text: bool) -> pa.Table:
    """Spoil about 2.5 % of the rows, each in one of six ways."""
    lot = ride.uniform()

    def chosen(low: float, high: float) -> pa.Array:
        return pa.array((lot >= low) & (lot < high))

    def put(name: str, low: float, high: float, value: pa.Array | pa.Scalar) -> None:
        columns[name] = pc.if_else(chosen(low, high), value, columns[name])

    put("distance_km", 0.0, 0.005, pc.negate(columns["distance_km"]))
    put("fare_total", 0.005, 0.007, pc.multiply(columns["fare_total"], 1000.0))
    put("fare_total", 0.007, 0.009, pc.negate(columns["fare_total"]))
    put("pickup_zone", 0.009, 0.013, pa.scalar("unknown"))
    put("requested_at", 0.013, 0.015, pa.scalar(None, columns["requested_at"].type))
    put("pickup_zone", 0.015, 0.0165, pa.scalar(None, pa.string()))
    put("cancelled", 0.0165, 0.018, pa.scalar(None, pa.int64()))
    put("promised_dropoff_at", 0.018, 0.021, _moments(ride.asked - 600))
    for name, low, high, text in (
        ("passengers", 0.021, 0.023, "two"),
        ("distance_km", 0.023, 0.025, "12 km"),
    ):
        if as_text:
            columns[name] = columns[name].cast(pa.string())
            put(name, low, high, pa.scalar(text))
        else:
            put(name, low, high, pa.scalar(None, columns[name].type))
    return pa.table(columns)


def _texts(
    codes: Numbers, words: npt.NDArray[np.str_], missing: npt.NDArray[np.bool_] | None = None
) -> pa.Array:
    return pa.array(words.tolist()).take(pa.array(codes, mask=missing))


def _decimals(
    values: Floats, digits: int, missing: npt.NDArray[np.bool_] | None = None
) -> pa.Array:
    return pa.array(np.round(values, digits) + 0.0, mask=missing)


def _wholes(values: npt.NDArray[np.number | np.bool_]) -> pa.Array:
    return pa.array(values.astype(np.int64))


def _moments(seconds: Numbers) -> pa.Array:
    return pa.array(seconds.astype("datetime64[s]"))
