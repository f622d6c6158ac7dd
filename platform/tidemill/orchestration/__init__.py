"""Prefect: the pipeline as a flow, shards as child tasks, the servers of an installation."""

from tidemill.orchestration.door import run_through_prefect
from tidemill.orchestration.engine import PrefectEngine
from tidemill.orchestration.flows import run_name, score_in_flow, train_in_flow
from tidemill.orchestration.retrain_flow import retrain_in_flow
from tidemill.orchestration.server import TemporaryServer, require_prefect
from tidemill.orchestration.stack import links, up

__all__ = [
    "PrefectEngine",
    "TemporaryServer",
    "links",
    "require_prefect",
    "retrain_in_flow",
    "run_name",
    "run_through_prefect",
    "score_in_flow",
    "train_in_flow",
    "up",
]
