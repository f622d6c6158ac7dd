"""A server with users: what it denies because it does not have it is missing, not forbidden."""

from __future__ import annotations

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED

from tidemill.errors import ModelMissing
from tidemill.tracking.model_versions import find_version


class Denying:
    """A client of a server that denies every version, and shows the models it is given."""

    def __init__(self, *names: str) -> None:
        self._names = names

    def get_model_version_by_alias(self, name: str, alias: str) -> None:
        raise MlflowException("Permission denied", error_code=PERMISSION_DENIED)

    def get_model_version(self, name: str, version: str) -> None:
        raise MlflowException("Permission denied", error_code=PERMISSION_DENIED)

    def search_registered_models(self, query: str, max_results: int) -> list[str]:
        return [name for name in self._names if query == f"name = '{name}'"]


@pytest.mark.parametrize("asked", [{"alias": "champion"}, {"version": 1}])
def test_a_denied_name_that_the_server_does_not_have_is_missing(asked):
    """MLflow's users get 403 instead of 404: the first training must go on, as without users."""
    with pytest.raises(ModelMissing):
        find_version(Denying("other"), "rides", **asked)


@pytest.mark.parametrize("asked", [{"alias": "champion"}, {"version": 1}])
def test_a_denied_model_that_is_there_stays_denied(asked):
    """Somebody who may see a model and not its versions is told so."""
    with pytest.raises(MlflowException, match="denied"):
        find_version(Denying("rides"), "rides", **asked)
