"""Ranges of bytes of a file elsewhere, served to the process apart that parses it."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

from tidemill.errors import TidemillError
from tidemill.storage import ExactRanges

__all__ = ["ServedRanges"]


class ServedRanges:
    """Answers one process after another question: ``FIRST SIZE``, a line; the size, and the bytes.

    Memory: one answer, of at most what is asked for at once.
    """

    def __init__(self) -> None:
        self._ours, self._others = socket.socketpair()
        self.theirs = self._others.fileno()
        self._file: ExactRanges | None = None
        self._failure: TidemillError | None = None
        self._answers: threading.Thread | None = None

    def started(self) -> None:
        """The process has its end by now."""
        self._others.close()

    def serve(self, file: ExactRanges | None) -> None:
        """Answer about this file from now on; None: it asks nothing."""
        self._file, self._failure = file, None
        if file is not None and self._answers is None:
            self._answers = threading.Thread(target=self._answer, daemon=True)
            self._answers.start()

    def tell_failure(self) -> None:
        """Raise what went wrong with the file's server, if something did."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def close(self) -> None:
        """No more answers."""
        with suppress(OSError):
            self._ours.shutdown(socket.SHUT_RDWR)  # wakes who waits for a question
        self._ours.close()
        self._others.close()

    def _answer(self) -> None:
        with suppress(OSError), self._ours.makefile("rb") as asked:
            for question in asked:
                first, size = map(int, question.split())
                content = self._content(first, size)
                self._ours.sendall(len(content).to_bytes(8, "big") + content)

    def _content(self, first: int, size: int) -> bytes:
        try:
            return b"" if self._file is None else self._file.read(first, size)
        except TidemillError as exc:  # told where the answer to the whole question is read
            self._failure = exc
            return b""
