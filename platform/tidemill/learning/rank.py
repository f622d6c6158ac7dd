"""A rank: the process that takes part in one training, and ends when any other of them does.

Native code that waits for a peer cannot be told to stop (LightGBM's socket learner spins for ever
where a peer has died), so a rank is a process of its own, started by an engine's worker: it reads
what to do from its standard input, and ends when that, or its link to the meeting, is closed.
"""

from __future__ import annotations

import os
import pickle
import selectors
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any, NoReturn

from tidemill.errors import ServiceUnavailable
from tidemill.learning.meeting import BEAT_SECONDS, MeetingPlace, attend
from tidemill.learning.network import join_network

__all__ = ["ENDED", "RankJob", "run"]

ENDED = 3
"""Exit code of a rank that ended because another one did."""

_CONNECT_SECONDS = 150.0
_GRACE_SECONDS = 2.0


@dataclass(frozen=True)
class RankJob:
    """What a rank is to do.

    Parameters
    ----------
    rank : int
        0 brings the result; the others end when it has.
    place : MeetingPlace
        Of the meeting.
    learn : callable
        Called with LightGBM's settings for a training over the network; picklable.
    """

    rank: int
    place: MeetingPlace
    learn: Callable[[Mapping[str, Any]], Any]


def run() -> None:
    """Do what standard input says, and leave what came of it (or its error) on standard output."""
    found = os.fdopen(os.dup(1), "wb")
    # LightGBM prints that it listens, and each error that it also raises: to nobody, as errors go.
    os.dup2(2, 1)
    try:
        job: RankJob = pickle.load(sys.stdin.buffer)  # noqa: S301 - of the worker that started this
        met = attend(job.place, job.rank)
    except Exception as exc:  # raised where the ranks were asked for
        _tell(exc, found)
    if met is None:
        os._exit(ENDED)
    addresses, link = met
    threading.Thread(target=_watch, args=(sys.stdin, link), name="watch", daemon=True).start()
    late = threading.Timer(_CONNECT_SECONDS, _tell, (_unconnected(job.rank, addresses), found))
    late.daemon = True
    late.start()
    try:
        network = join_network(addresses, job.rank)
        late.cancel()
        outcome = job.learn(network)
    except Exception as exc:  # raised where the ranks were asked for
        # Where another one has gone, sockets fail before the meeting says so: that is no reason.
        time.sleep(_GRACE_SECONDS)
        _tell(exc, found)
    if job.rank == 0:
        _tell(outcome, found)
    threading.Event().wait()


def _tell(outcome: Any, found: IO[bytes]) -> NoReturn:
    with found:
        pickle.dump(outcome, found)
    os._exit(0)


def _watch(asked: IO[str], link: socket.socket) -> None:
    """Say now and then that this rank is there; end it with the worker, or the meeting."""
    with selectors.DefaultSelector() as selector:
        selector.register(asked, selectors.EVENT_READ)
        selector.register(link, selectors.EVENT_READ)
        try:
            while not selector.select(BEAT_SECONDS):
                link.sendall(b".")
        finally:
            os._exit(ENDED)


def _unconnected(rank: int, addresses: list[tuple[str, int]]) -> ServiceUnavailable:
    machines = ", ".join(f"{host}:{port}" for host, port in addresses)
    return ServiceUnavailable(
        f"rank {rank} and the others ({machines}) have not connected within "
        f"{_CONNECT_SECONDS:g} seconds",
        remedy="see that the workers' machines reach each other at these ports, then run the "
        "same command again",
        rank=rank,
    )
