"""LightGBM's network of socket learners, in the thread that trains."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import psutil

from tidemill.errors import ServiceUnavailable
from tidemill.learning.quiet import load_lightgbm

__all__ = ["join_network", "refuse_strangers"]

_TIMEOUT_MINUTES = 120  # of one answer: ranks fill their datasets at their own pace


def join_network(addresses: Sequence[tuple[str, int]], rank: int) -> dict[str, Any]:
    """Connect this thread with the other ranks; returns the settings that a training needs then.

    LightGBM listens at all addresses of the machine while the ranks connect, and no longer. Nobody
    has to prove who they are: who has connected from an address that is no rank's ends the
    training.

    Raises
    ------
    ServiceUnavailable
        If the port is taken, a rank cannot be reached, or a stranger has connected.
    """
    basic = load_lightgbm().basic
    if len(addresses) == 1:
        return {}
    machines = ",".join(f"{host}:{port}" for host, port in addresses)
    own = addresses[rank][1]
    try:
        basic._safe_call(
            basic._LIB.LGBM_NetworkInit(
                ctypes.c_char_p(machines.encode()),
                ctypes.c_int(own),
                ctypes.c_int(_TIMEOUT_MINUTES),
                ctypes.c_int(len(addresses)),
            )
        )
    except basic.LightGBMError as exc:
        raise ServiceUnavailable(
            f"rank {rank} cannot connect with the others at {machines}: {str(exc)[:200]}",
            remedy="run the same command again: other ports are chosen; see that the workers' "
            "machines reach each other",
        ) from exc
    refuse_strangers({host for host, _ in addresses}, own)
    return {"tree_learner": "data", "num_machines": len(addresses)}


def refuse_strangers(known: set[str], port: int) -> None:
    """Raise where a connection to a port of this process came from an address that is not known.

    Raises
    ------
    ServiceUnavailable
        It names the address.
    """
    links = psutil.Process().net_connections(kind="tcp4")
    came = {link.raddr.ip for link in links if link.raddr and link.laddr.port == port}
    if came - known:
        raise ServiceUnavailable(
            f"a connection to the training came from {', '.join(sorted(came - known))}, which is "
            "the address of no rank",
            remedy="keep the workers in a closed network, then run the same command again",
        )
