"""MLflow's server for its owner alone: ``serve_mlflow.py HOST PORT``.

A script, run by its path with ``python -P``. ``TIDEMILL_MLFLOW_STORE`` and
``TIDEMILL_MLFLOW_ARTIFACTS`` say what it serves, ``TIDEMILL_OWNER_CREDENTIAL`` to whom. What
``mlflow server --no-serve-artifacts`` does, in one process instead of two, with our guard in front
instead of MLflow's checks of Host and Origin.
"""

from __future__ import annotations

import os
import sys

from tidemill.web import guarded, server_for

HEALTH = ("/health",)


def main() -> None:
    """Serve the store."""
    host, port = sys.argv[1:]
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
    from mlflow.server.fastapi_app import app
    from mlflow.server.handlers import initialize_backend_stores

    initialize_backend_stores(store, store, artifacts)
    server_for(guarded(app, open_paths=HEALTH), host=host, port=int(port)).run()


if __name__ == "__main__":
    main()
