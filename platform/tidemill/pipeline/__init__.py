"""The graph, stated once: every door runs these stages with these inputs and outputs.

``dvc repro`` runs ``tidemill stage NAME`` for each; Prefect wraps each as a task; ``tidemill run
--direct`` calls them in turn. What is current is DVC's word, taken from dvc.lock.
"""

from tidemill.pipeline.graph import STAGES, Stage, find_stage
from tidemill.pipeline.observing import Observer, Quiet
from tidemill.pipeline.overriding import overridden, take_back
from tidemill.pipeline.running import (
    Execute,
    context_for,
    measured,
    prepare_versions,
    run_pipeline,
    run_stage,
    runs_ended,
)
from tidemill.pipeline.summary import RunSummary, StageRun

__all__ = [
    "STAGES",
    "Execute",
    "Observer",
    "Quiet",
    "RunSummary",
    "Stage",
    "StageRun",
    "context_for",
    "find_stage",
    "measured",
    "overridden",
    "prepare_versions",
    "run_pipeline",
    "run_stage",
    "runs_ended",
    "take_back",
]
