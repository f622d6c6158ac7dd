"""Prometheus figures of the service; a registry of its own, so that two services do not mix."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

__all__ = ["Meters"]

_SECONDS = (0.002, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Meters:
    """Counters and gauges; names begin with ``tidemill_monitor_``."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = self.counter(
            "requests", "Requests answered.", ("route", "method", "status")
        )
        self.seconds = Histogram(
            "tidemill_monitor_request_seconds",
            "Time to answer.",
            ("route",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.rows = self.counter(
            "rows",
            "Rows by what became of them: accepted, duplicate, changed (a known id with other "
            "features), refused, matched, pending, repeated.",
            ("route", "outcome"),
        )
        self.refusals = self.counter("refusals", "Faults of refused rows.", ("route", "code"))
        self.altered = self.counter(
            "altered_values",
            "Values that were taken, though not as they came: rounded to what the model's type "
            "holds, or times cut after the microsecond.",
            ("route", "code"),
        )
        self.champion_version = self.gauge("champion_version", "Version that serves; 0 for none.")
        self.champion_trouble = self.gauge(
            "champion_trouble", "1 while a newer champion cannot be loaded."
        )
        self.queued_bytes = self.gauge("queued_bytes", "Bytes of rows that wait for their commit.")
        self.unfolded_rows = self.gauge("unfolded_rows", "Durable rows not yet in a window.")
        self.set_aside_rows = self.gauge("set_aside_rows", "Durable rows that could not be folded.")
        self.unplaced_labels = self.gauge(
            "unplaced_labels", "Labels of known events that are in no window's figures."
        )
        self.late_labels = self.gauge(
            "late_labels", "Labels of rows that came late: learnt from, and in no figure."
        )
        self.held_bytes = self.gauge("held_bytes", "Bytes of bodies that are being read.")
        self.ledger_ok = self.gauge("ledger_ok", "1 while the store takes writes.")

    def gauge(self, name: str, text: str) -> Gauge:
        """A gauge ``tidemill_monitor_<name>``; make each once."""
        return Gauge(f"tidemill_monitor_{name}", text, registry=self.registry)

    def counter(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Counter:
        """A counter ``tidemill_monitor_<name>``; make each once."""
        return Counter(f"tidemill_monitor_{name}", text, labels, registry=self.registry)

    def text(self) -> bytes:
        """All figures, in Prometheus' text format."""
        return generate_latest(self.registry)
