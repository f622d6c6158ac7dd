"""One websocket within bounds: little is taken from it until its owner is known."""

from __future__ import annotations

from typing import ClassVar

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from tidemill.web.asgi import ADMIT
from tidemill.web.bounds import Bounds

__all__ = ["BoundedSocket", "socket_within"]

_TOO_BIG = 1009


class BoundedSocket(WebSocketsSansIOProtocol):
    """A websocket whose first ``head_bytes`` must carry a pass: beyond them it is closed.

    Whoever knows the owner (:class:`~tidemill.web.OwnerOnly`) calls ``scope[ADMIT]``.

    Notes
    -----
    The library keeps a message that is not whole yet, however many of its pieces are to come.
    """

    bounds: ClassVar[Bounds] = Bounds()
    _admitted = False
    _taken = 0

    def handle_connect(self, event: Request) -> None:
        """Let the application say that it knows who this is."""
        super().handle_connect(event)
        if self.response.status_code == 101:
            self.scope[ADMIT] = self._admit  # type: ignore[literal-required]

    def data_received(self, data: bytes) -> None:
        """Take what the socket read, or no more."""
        if self.handshake_initiated:  # which has bounds of its own
            self._taken += len(data)
        if self._admitted or self._taken <= self.bounds.head_bytes:
            super().data_received(data)
        elif not self.transport.is_closing():
            self._refuse()

    def _admit(self) -> None:
        self._admitted = True

    def _refuse(self) -> None:
        if self.handshake_complete and not self.close_sent:
            self.conn.fail(_TOO_BIG, "too much before a pass")
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.close_sent = True
        self.transport.close()


def socket_within(bounds: Bounds) -> type[BoundedSocket]:
    """The class whose websockets keep the ``head_bytes`` of ``bounds``."""
    return type("BoundedSocket", (BoundedSocket,), {"bounds": bounds})
