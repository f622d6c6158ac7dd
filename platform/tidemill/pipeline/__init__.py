"""The main job, stated once: every door runs these stages with these inputs and outputs.

``dvc repro`` runs ``tidemill stage NAME`` for each; Prefect wraps each as a task; ``tidemill run
--direct`` calls them in turn. What is current is DVC's word, taken from dvc.lock. The retraining
is stated in the same way (:class:`Stage`), and runs by the same runner (:class:`Runner`).
"""

from tidemill.pipeline.advancing import Execute, Runner, measured, runs_ended
from tidemill.pipeline.capacity import Capacity, StageNeed, capacity_for
from tidemill.pipeline.graph import STAGES, find_stage
from tidemill.pipeline.observing import Observer, Quiet
from tidemill.pipeline.overriding import overridden, refuse_overridden, take_back
from tidemill.pipeline.running import context_for, prepare_versions, run_pipeline, run_stage
from tidemill.pipeline.stage import Stage
from tidemill.pipeline.summary import RunSummary, StageRun
from tidemill.pipeline.with_own import with_own

__all__ = [
    "STAGES",
    "Capacity",
    "Execute",
    "Observer",
    "Quiet",
    "RunSummary",
    "Runner",
    "Stage",
    "StageNeed",
    "StageRun",
    "capacity_for",
    "context_for",
    "find_stage",
    "measured",
    "overridden",
    "prepare_versions",
    "refuse_overridden",
    "run_pipeline",
    "run_stage",
    "runs_ended",
    "take_back",
    "with_own",
]
