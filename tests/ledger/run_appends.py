"""Appends events and labels until it is killed; says what was acknowledged, line by line.

``python run_appends.py URL ROUND``: four threads send batches, some of them twice, some with ids
of earlier rounds. Each line is written after the call returned: ``e ID ID ...`` or ``l ID ...``.
"""

from __future__ import annotations

import os
import sys
import threading

from tidemill.ledger import Ledger
from tidemill.testing.traffic import CountingFolding, event_batch, label_batch


def main() -> None:
    url, round_ = sys.argv[1], sys.argv[2]
    ledger = Ledger.open(url, folding=CountingFolding(), fold_seconds=0.02, flush_ids=500)
    threads = [threading.Thread(target=send, args=(ledger, round_, t)) for t in range(4)]
    for thread in threads:
        thread.start()


def send(ledger: Ledger, round_: str, thread: int) -> None:
    for number in range(100_000):
        name = f"{round_}-{thread}-{number}"
        ids = [f"{name}-{i}" for i in range(20)]
        if number % 7 == 3:
            ids += [f"{round_}-{thread}-{number - 1}-{i}" for i in range(5)]
        if number % 5 == 2:  # labels before their events
            ledger.labels.append(label_batch([(ids[3], "yes")]))
            say("l", [ids[3]])
        ledger.events.append(event_batch(ids))
        say("e", ids)
        if number % 3 == 1:
            ledger.labels.append(label_batch([(ids[1], "no"), (ids[2], "yes")]))
            say("l", ids[1:3])


def say(kind: str, ids: list[str]) -> None:
    os.write(1, f"{kind} {' '.join(ids)}\n".encode())


if __name__ == "__main__":
    main()
