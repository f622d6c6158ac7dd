"""MLflow's server behind our guard: ``serve_mlflow.py [--users] HOST PORT``.

A script, run by its path with ``python -P`` or by its name. ``TIDEMILL_MLFLOW_STORE`` and
``TIDEMILL_MLFLOW_ARTIFACTS`` say what it serves; a browser begins on the runs of the experiment
``TIDEMILL_MLFLOW_EXPERIMENT``, where there are any. It answers its owner alone, who is named by
``TIDEMILL_OWNER_CREDENTIAL``; with ``--users`` those whom MLflow's own user store knows
(``mlflow[auth]``, ``MLFLOW_AUTH_CONFIG_PATH``). What ``mlflow server --no-serve-artifacts`` does,
in one process instead of several, with our guard in front instead of MLflow's checks of Host and
Origin.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from tidemill.web import addressed, guarded, server_for
from tidemill.web.asgi import App

HEALTH = ("/health",)


def main() -> None:
    """Serve the store."""
    *options, host, port = sys.argv[1:]
    if options not in ([], ["--users"]):
        sys.exit("serve_mlflow.py [--users] HOST PORT")
    open_store()
    if options:
        app = addressed(_with_users())
    else:
        app = guarded(_application(), open_paths=HEALTH, home=runs_page)
    server_for(app, host=host, port=int(port)).run()


def open_store() -> None:
    """Open what is served, and tell MLflow's handlers of it."""
    store = os.environ["TIDEMILL_MLFLOW_STORE"]
    artifacts = os.environ["TIDEMILL_MLFLOW_ARTIFACTS"]
    # The server has its own store; it must not be a client of itself.
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    # The guard knows more names than a pattern could say, and knows them before anything is read.
    os.environ["MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE"] = "true"
    from mlflow.server import constants

    os.environ[constants.BACKEND_STORE_URI_ENV_VAR] = store
    os.environ[constants.REGISTRY_STORE_URI_ENV_VAR] = store
    os.environ[constants.ARTIFACT_ROOT_ENV_VAR] = artifacts
    from mlflow.server.handlers import initialize_backend_stores

    initialize_backend_stores(store, store, artifacts)


def runs_page() -> str:
    """The path of the page with our runs; of MLflow's first page where there are none."""
    from mlflow import MlflowClient

    store = os.environ["TIDEMILL_MLFLOW_STORE"]
    name = os.environ.get("TIDEMILL_MLFLOW_EXPERIMENT", "")
    with suppress(Exception):  # a store that fails says so on MLflow's own pages
        found = MlflowClient(tracking_uri=store).get_experiment_by_name(name) if name else None
        if found is not None and found.lifecycle_stage == "active":
            return f"/#/experiments/{found.experiment_id}/runs"
    return "/"


def _application() -> App:
    from mlflow.server.fastapi_app import app

    served: App = app
    return served


def _with_users() -> App:
    # What `mlflow server` tells the factory: that uvicorn serves, so that all routes are there.
    os.environ["_MLFLOW_SGI_NAME"] = "uvicorn"
    # A route that MLflow forgot to protect is closed instead of open.
    os.environ["MLFLOW_BASIC_AUTH_FAIL_CLOSED"] = "true"
    from mlflow.server.auth import create_app

    served: App = create_app()
    return served


if __name__ == "__main__":
    main()
