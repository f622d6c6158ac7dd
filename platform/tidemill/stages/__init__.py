"""One module a stage: each composes the rooms below and does not know its door."""

from tidemill.stages.context import StageContext, StageResult
from tidemill.stages.evaluate import run_evaluate
from tidemill.stages.ingest import run_ingest
from tidemill.stages.look import run_look, segments_stand
from tidemill.stages.meter import Meter
from tidemill.stages.own import code_files, code_reachable, own_record, run_own
from tidemill.stages.picking import sections_of_pick
from tidemill.stages.reduce import run_reduce
from tidemill.stages.refit import run_refit
from tidemill.stages.register import registration_stands, run_register
from tidemill.stages.score import score_files
from tidemill.stages.shard import run_shard, shard_warnings
from tidemill.stages.split_lines import SplitLine, SplitLines
from tidemill.stages.summary import summarise
from tidemill.stages.train import run_train
from tidemill.stages.tune import run_tune

__all__ = [
    "Meter",
    "SplitLine",
    "SplitLines",
    "StageContext",
    "StageResult",
    "code_files",
    "code_reachable",
    "own_record",
    "registration_stands",
    "run_evaluate",
    "run_ingest",
    "run_look",
    "run_own",
    "run_reduce",
    "run_refit",
    "run_register",
    "run_shard",
    "run_train",
    "run_tune",
    "score_files",
    "sections_of_pick",
    "segments_stand",
    "shard_warnings",
    "summarise",
]
