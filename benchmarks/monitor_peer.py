"""The plain way to log predictions over HTTP: FastAPI, pydantic, executemany into SQLite.

``uvicorn benchmarks.monitor_peer:app`` with PEER_DB and PEER_COLUMNS (names, divided by commas).
It checks the shape of an event, commits before it answers, and does nothing else: no ids across
batches, no windows, no drift.
"""

from __future__ import annotations

import os
import sqlite3
import threading

from fastapi import FastAPI
from pydantic import BaseModel

COLUMNS = os.environ["PEER_COLUMNS"].split(",")
NAMES = ["event_id", "at", "prediction", "score", *COLUMNS]

app = FastAPI()
lock = threading.Lock()
database = sqlite3.connect(os.environ["PEER_DB"], check_same_thread=False)
database.execute("PRAGMA journal_mode=WAL")
database.execute("PRAGMA synchronous=FULL")
database.execute(
    "CREATE TABLE IF NOT EXISTS events (event_id TEXT PRIMARY KEY, "
    + ", ".join(f'"{name}"' for name in NAMES[1:])
    + ")"
)


class Event(BaseModel):
    """One prediction that was made."""

    event_id: str
    at: str
    features: dict[str, float | bool | str | None]
    prediction: str
    score: float | None = None


class Events(BaseModel):
    """A batch."""

    events: list[Event]


INSERT = f"INSERT OR IGNORE INTO events VALUES ({', '.join('?' * len(NAMES))})"


@app.post("/v1/events", status_code=202)
def report(body: Events) -> dict[str, int]:
    rows = [
        (e.event_id, e.at, e.prediction, e.score, *(e.features.get(name) for name in COLUMNS))
        for e in body.events
    ]
    with lock, database:
        database.executemany(INSERT, rows)
    return {"accepted": len(rows)}
