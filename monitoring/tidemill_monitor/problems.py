"""What a client is told when something is wrong: RFC 9457 problems with stable codes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from tidemill.errors import (
    Busy,
    DataRefused,
    ModelMissing,
    ModelUntrusted,
    ServiceUnavailable,
    StorageFailed,
    TidemillError,
    UsageError,
    first_few,
)
from tidemill.ledger import DecisionOpen, IdempotencyConflict, RecordMissing, WrongState

__all__ = ["HEADERS", "Problem", "add_problems", "problem_of", "problem_response"]

MEDIA_TYPE = "application/problem+json"

_POLICY = (
    "default-src 'self'; img-src 'self' data:; style-src 'self'; script-src 'self'; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
"""Set on every answer that does not set them itself."""

_STATUS: tuple[tuple[type[TidemillError], int], ...] = (
    (RecordMissing, 404),
    (IdempotencyConflict, 409),
    (WrongState, 409),
    (DecisionOpen, 409),
    (ServiceUnavailable, 503),
    (StorageFailed, 503),
    (Busy, 503),
    (ModelMissing, 409),
    (ModelUntrusted, 409),
    (DataRefused, 422),
    (UsageError, 400),
)


class Problem(Exception):
    """One answer that is an error.

    Parameters
    ----------
    status : int
    code : str
        Stable name of the kind of problem, for machines.
    title : str
        The kind, in words.
    detail : str
        This one, in one sentence; never holds a secret or what the client sent.
    headers : mapping
    **fields
        Further members of the document; JSON-friendly.
    """

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        detail: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        **fields: Any,
    ) -> None:
        super().__init__(detail or title)
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.headers = dict(headers or {})
        self.fields = fields

    @classmethod
    def not_found(cls, what: str, name: object) -> Problem:
        """There is no such thing."""
        return cls(404, "NotFound", "Not found", f"there is no {what} {str(name)[:100]!r}")

    @classmethod
    def later(cls, status: int, code: str, detail: str, seconds: float) -> Problem:
        """Come back in ``seconds``."""
        wait = max(1, math.ceil(seconds))
        return cls(
            status,
            code,
            HTTPStatus(status).phrase,
            detail,
            headers={"Retry-After": str(wait)},
            retry_after=wait,
        )

    def document(self) -> dict[str, Any]:
        """The body of the answer, as RFC 9457 says; ``code`` is for machines."""
        return {
            "type": f"urn:tidemill:problem:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            **self.fields,
        }


def problem_of(error: TidemillError) -> Problem:
    """An error of tidemill's tree as a problem; the status follows from its type."""
    status = getattr(error, "http_status", None) or next(
        (code for kind, code in _STATUS if isinstance(error, kind)), 500
    )
    if status in (429, 503):
        wait = float(error.fields.get("retry_after", 1.0))
        problem = Problem.later(status, error.code, error.message, wait)
        problem.fields["remedy"] = error.remedy
        return problem
    return Problem(
        status, error.code, HTTPStatus(status).phrase, error.message, remedy=error.remedy
    )


def problem_response(problem: Problem) -> Response:
    """The answer that tells of ``problem``."""
    return Response(
        orjson.dumps(problem.document(), default=str),
        problem.status,
        headers=problem.headers,
        media_type=MEDIA_TYPE,
    )


def add_problems(app: FastAPI) -> None:
    """Answer every error of ``app`` with a problem."""
    app.add_exception_handler(Problem, _own)
    app.add_exception_handler(TidemillError, _tidemill)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _parameters)
    app.add_exception_handler(Exception, _defect)


def _own(request: Request, error: Exception) -> Response:  # noqa: ARG001
    assert isinstance(error, Problem)  # noqa: S101 - registered for this type
    return problem_response(error)


def _tidemill(request: Request, error: Exception) -> Response:  # noqa: ARG001
    assert isinstance(error, TidemillError)  # noqa: S101 - registered for this type
    return problem_response(problem_of(error))


def _http(request: Request, error: Exception) -> Response:  # noqa: ARG001
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this type
    phrase = HTTPStatus(error.status_code).phrase
    code = phrase.title().replace(" ", "").replace("-", "")
    problem = Problem(error.status_code, code, phrase, headers=dict(error.headers or {}))
    return problem_response(problem)


def _parameters(request: Request, error: Exception) -> Response:  # noqa: ARG001
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this type
    # Where and why, never what was sent: it may hold a secret, or what JSON cannot.
    found = [
        {"where": [str(part) for part in item["loc"]], "reason": item["type"]}
        for item in error.errors()
    ]
    named = first_few((".".join(item["where"]) for item in found), 5)
    return problem_response(
        Problem(422, "ParametersInvalid", "Unprocessable", f"not valid: {named}", parameters=found)
    )


def _defect(request: Request, error: Exception) -> Response:  # noqa: ARG001
    problem = Problem(
        500, "Defect", "Internal error", "this is a defect of the monitor; its log says more"
    )
    # Answered outside the layer that sets these on every other answer.
    problem.headers = dict(HEADERS)
    return problem_response(problem)
