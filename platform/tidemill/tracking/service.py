"""MLflow as a service that may be away: opened late, bounded in time, its errors translated."""

from __future__ import annotations

import importlib
import logging
import os
import socket
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from tidemill.errors import (
    DependencyMissing,
    ServiceUnavailable,
    StorageFailed,
    TidemillError,
    UsageError,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = [
    "chain_of",
    "check_database",
    "check_server",
    "import_mlflow",
    "is_server",
    "open_client",
    "service_errors",
    "shown",
]

_LIMITS: Mapping[str, object] = {
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": False,
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": 1,
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": 2,
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": True,
}


def is_server(uri: str) -> bool:
    """Whether ``uri`` names an MLflow server rather than a database or a folder."""
    return urlsplit(uri).scheme in ("http", "https")


def shown(uri: str) -> str:
    """``uri`` without the name and password that it may carry.

    >>> shown("https://me:secret@mlflow.example:8443/x")
    'https://mlflow.example:8443/x'
    """
    parts = urlsplit(uri)
    if not parts.netloc:  # a file: urlunsplit would lose slashes
        return uri
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


class _Defaults:
    """Other defaults of MLflow's settings while any caller is inside, whichever thread.

    A user's own variable wins over a default. The environment itself is left alone: a variable
    that one thread takes away breaks every other that goes through the environment meanwhile.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._inside = 0
        self._before: dict[str, object] = {}

    @contextmanager
    def holding(self, values: Mapping[str, object]) -> Iterator[None]:
        settings = import_mlflow("mlflow.environment_variables")
        with self._guard:
            self._inside += 1
            for name, value in values.items():
                if name not in self._before:
                    self._before[name] = getattr(settings, name).default
                    getattr(settings, name).default = value
        try:
            yield
        finally:
            with self._guard:
                self._inside -= 1
                if not self._inside:
                    for name, value in self._before.items():
                        getattr(settings, name).default = value
                    self._before.clear()


_defaults = _Defaults()
_importing = threading.Lock()


def import_mlflow(name: str = "mlflow") -> Any:
    """Import an MLflow module (1 to 3 s), without its warnings about itself.

    Its calls home stay off in this process and those that it starts, unless the owner's own
    ``MLFLOW_DISABLE_TELEMETRY`` says otherwise.
    """
    with _importing, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        return importlib.import_module(name)


def open_client(uri: str) -> MlflowClient:
    """A client of the store and registry at ``uri``; no global state is set."""
    mlflow = import_mlflow()
    client: MlflowClient = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
    return client


def check_server(uri: str, timeout_seconds: int) -> None:
    """Ask the server for its health, once.

    Raises
    ------
    ServiceUnavailable
        If nothing answers within ``timeout_seconds``.
    """
    rest = import_mlflow("mlflow.utils.rest_utils")
    credentials = import_mlflow("mlflow.utils.credentials")
    host = credentials.get_default_host_creds(uri)
    with service_errors(uri):
        rest.http_request(host, "/health", "GET", max_retries=0, timeout=timeout_seconds)


def check_database(uri: str, host: str, port: int, timeout_seconds: int) -> None:
    """See whether a database server listens; MLflow would try a dead one for minutes.

    Raises
    ------
    ServiceUnavailable
        If nothing listens.
    """
    with service_errors(uri):
        socket.create_connection((host, port), timeout=timeout_seconds).close()


@contextmanager
def service_errors(uri: str, *, timeout_seconds: int | None = None) -> Iterator[None]:
    """Bound MLflow's retries inside, and turn its failures into errors of ours.

    Parameters
    ----------
    timeout_seconds : int, optional
        For one HTTP request; MLflow's own (120) while artifacts are sent.

    Raises
    ------
    ServiceUnavailable
        If a server or database server does not answer, or answers with an error of its own.
    StorageFailed
        If the sqlite file or the artifact folder cannot be read or written.
    UsageError
        If the server refuses: wrong credentials, unknown address.
    """
    import_mlflow()
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    limits = dict(_LIMITS)
    if timeout_seconds is not None:
        limits["MLFLOW_HTTP_REQUEST_TIMEOUT"] = timeout_seconds
    try:
        with _defaults.holding(limits), _told_once():
            yield
    except (MlflowException, SQLAlchemyError, OSError) as exc:
        raise _translated(uri, exc) from exc
    except ModuleNotFoundError as exc:
        raise DependencyMissing(
            f"the MLflow store at {shown(uri)} needs the package {exc.name!r}",
            remedy=f"install it: pip install {exc.name}",
            package=exc.name,
        ) from exc


class _Errors(logging.Filter):
    """Takes the traceback that comes before an error which says the same."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not record.exc_info


@contextmanager
def _told_once() -> Iterator[None]:
    named, errors = logging.getLogger("mlflow.store.db.utils"), _Errors()
    named.addFilter(errors)
    try:
        yield
    finally:
        named.removeFilter(errors)


def _translated(uri: str, exc: Exception) -> TidemillError:
    where, reason = shown(uri), _reason(uri, exc)
    if is_server(uri):
        if _unreachable(exc):
            return ServiceUnavailable(
                f"the MLflow server at {where} does not answer: {reason}",
                remedy="start it, or set MLFLOW_TRACKING_URI to one that runs (unset: the "
                "workspace's own mlflow.db)",
                uri=where,
            )
        return UsageError(
            f"the MLflow server at {where} refused: {reason}",
            remedy="check MLFLOW_TRACKING_URI, MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD",
            uri=where,
        )
    if urlsplit(uri).hostname and _caused_by_database(exc):
        return ServiceUnavailable(
            f"the MLflow store at {where} does not answer: {reason}",
            remedy="start the database, or set MLFLOW_TRACKING_URI to one that runs",
            uri=where,
        )
    if _caused_by_database(exc) or isinstance(exc, OSError):
        return StorageFailed(
            f"the MLflow store at {where} failed: {reason}",
            remedy="check that the disk has space and the file is writable and undamaged, then "
            "run the same command again",
            uri=where,
        )
    return UsageError(
        f"the MLflow store at {where} refused: {reason}",
        remedy="if it belongs to another version of MLflow, run: mlflow db upgrade "
        "MLFLOW_TRACKING_URI",
        uri=where,
    )


def chain_of(exc: BaseException | None) -> Iterator[BaseException]:
    """An error and those that led to it, last to first."""
    while exc is not None:
        yield exc
        exc = exc.__cause__ or exc.__context__


def _unreachable(exc: BaseException) -> bool:
    from mlflow.exceptions import MlflowException, RestException
    from requests.exceptions import HTTPError, RequestException

    for link in chain_of(exc):
        if isinstance(link, RestException):
            return _is_servers_own(int(link.get_http_status_code()))  # type: ignore[no-untyped-call]
        if isinstance(link, HTTPError) and link.response is not None:
            return _is_servers_own(link.response.status_code)
        if isinstance(link, (RequestException, OSError)):
            return True
        if not isinstance(link, MlflowException):
            break
    return False


def _is_servers_own(status: int) -> bool:
    return status >= 500 or status == 429


def _caused_by_database(exc: BaseException) -> bool:
    from sqlalchemy.exc import DBAPIError

    return any(isinstance(link, (DBAPIError, OSError)) for link in chain_of(exc))


def _reason(uri: str, exc: Exception) -> str:
    lines = str(exc).strip().splitlines()
    secret = urlsplit(uri).netloc.rpartition("@")[0]
    text = lines[0] if lines else type(exc).__name__
    return (text.replace(f"{secret}@", "") if secret else text)[:300]
