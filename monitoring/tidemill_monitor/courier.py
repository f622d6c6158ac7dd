"""A process of its own that hands one message to apprise, and reaches public addresses only.

apprise's plugins open connections as they like: by requests, smtplib or sockets of their own,
from threads too, and they follow redirects. So the guard does not ask what they were told but
looks at every address that a socket is about to reach, by Python's audit events, which nothing in
the process can take back. That would see all of the monitor's own connections; hence the process.

It reads a JSON document from its input, says in one line what went wrong, and ends with a code of
:data:`CODES`. Asked to ``check``, it only sees whether apprise understands the address. The
``seconds`` that a service may take are counted here: a slow start of the process is none of them.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import threading
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from tidemill_monitor.public_addresses import AddressRefused, refuse_unless_public

__all__ = ["CODES", "main"]

# None is what an import or a crash may end with.
CODES = {"not taken": 10, "not understood": 11, "refused": 12, "delivered": 13, "late": 14}
_REACHES = ("socket.connect", "socket.sendto", "socket.sendmsg")
_STARTS = (
    *("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty"),
    *("pty.spawn", "syslog.openlog", "syslog.syslog"),
)


def main() -> int:
    """Deliver the message; the exit code."""
    import apprise

    order = json.load(sys.stdin)
    late = threading.Timer(order["seconds"], os._exit, [CODES["late"]])
    late.daemon = True
    late.start()
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    refused: list[str] = []
    if not order.get("allow_private"):
        sys.addaudithook(lambda event, given: _refuse_event(event, given, refused))
    target = apprise.Apprise()
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):  # what a plugin prints
        if not target.add(order["address"]):
            return CODES["not understood"]
        if order.get("check"):
            return CODES["delivered"]
        taken = target.notify(
            title=order["title"],
            body=order["text"],
            notify_type=order["type"],
            # Names of columns and values are in it: no service may take them for markup.
            body_format=apprise.NotifyFormat.TEXT,
        )
    if refused:
        sys.stdout.write(refused[0])
        return CODES["refused"]
    return CODES["delivered" if taken else "not taken"]


def _refuse_event(event: str, given: tuple[Any, ...], refused: list[str]) -> None:
    if event in _STARTS:
        refused.append("a program of this machine")
        raise AddressRefused("a channel may start no program", remedy="set its allow_private: true")
    if event not in _REACHES or given[1] is None:
        return
    family, address = given[0].family, given[1]
    host = str(address[0]) if isinstance(address, tuple) else "a socket of this machine"
    try:
        if family not in (socket.AF_INET, socket.AF_INET6):
            raise ValueError
        refuse_unless_public(host, host)
    except (ValueError, AddressRefused) as error:  # also a name that was not resolved first
        refused.append(host)
        raise AddressRefused(f"{host} is not public", remedy="correct the address") from error


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # a thread that a plugin left must not keep it
