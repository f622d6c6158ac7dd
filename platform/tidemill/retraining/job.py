"""One retraining under way: what it is about, and where its steps leave what they have done."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tidemill.config import Params
from tidemill.errors import ConfigError, ModelMissing
from tidemill.learners import LEARNERS
from tidemill.metrics import metric_names
from tidemill.retraining.gate import deciding_figure
from tidemill.retraining.order import Order, Rows, receipts
from tidemill.retraining.sets import set_name
from tidemill.stages import StageContext
from tidemill.stages.deciding import choose_metric, metric_of_champion
from tidemill.stages.shard import source_key
from tidemill.storage import (
    LiveSet,
    ShardManifest,
    StoreFolder,
    Workspace,
    files_below,
    hash_file,
    is_left,
    read_hashed,
    write_hashed,
)
from tidemill.tracking import LoadedModel, Registry, load_champion

__all__ = ["RetrainingJob"]


@dataclass(frozen=True, slots=True)
class RetrainingJob:
    """What the steps of one retraining are given; all that they find lies on disk.

    Parameters
    ----------
    workspace : Workspace
    params : Params
    order : Order
    rows : callable
        Opens the labelled rows.
    champion : LoadedModel
        The model that the challenger is to beat.
    metric : str
        The tuned figure: with ``evaluation.metric: auto`` the champion's, whatever the rows that
        came since.
    """

    workspace: Workspace
    params: Params
    order: Order
    rows: Rows
    champion: LoadedModel
    metric: str

    @classmethod
    def begun(cls, context: StageContext, params: Params, order: Order, rows: Rows) -> Self:
        """The retraining, anew or where a killed one was.

        Raises
        ------
        ConfigError
            If the shards are not those of the present settings and data.
        ModelMissing
            If there is no champion.
        """
        _require_shards(context.workspace, params)
        champion = _champion(context, params, receipts(context.workspace, order.decision))
        params = _as_the_champion(params, champion)
        manifest = ShardManifest.read(context.workspace.shards)
        wanted = params.evaluation.metric
        own = choose_metric(wanted, manifest, context.shards, setting="evaluation.metric").name
        names = metric_names(manifest.schema.task)
        metric = metric_of_champion(wanted, own, champion.metric, names)
        return cls(context.workspace, params, order, rows, champion, metric)

    @property
    def folder(self) -> Path:
        """Where the receipts lie."""
        return receipts(self.workspace, self.order.decision)

    @property
    def gathered(self) -> StoreFolder:
        """The labelled rows as they were gathered."""
        return self.workspace.stored(self.folder / "rows")

    @property
    def validated(self) -> Path:
        """The manifest of the labelled rows that are valid, and they."""
        return self.folder / "validated"

    def lesson(self, number: int) -> Path:
        """Where the first lesson (0), or the second (1), is kept."""
        return self.folder / f"lesson-{number}"

    @property
    def manifest(self) -> ShardManifest:
        """The shards as they are now."""
        return ShardManifest.read(self.workspace.shards)

    @property
    def live(self) -> LiveSet:
        """The set of the rows that teach, also before there is one."""
        return LiveSet(self.workspace, set_name(self.workspace, self.order.decision))

    @property
    def figures(self) -> tuple[str, str]:
        """The tuned figure, and the one that decides on proof."""
        task = self.manifest.schema.task
        return self.metric, deciding_figure(self.order.accused, self.metric, task)


def _require_shards(workspace: Workspace, params: Params) -> None:
    found = ShardManifest.read(workspace.shards)
    if found.key != source_key(workspace, params.sharding, params.seed, found.borders):
        raise ConfigError(
            "data/shards is not what data/validated and params.yaml would make: the test rows "
            "of a retraining must be the champion's",
            remedy="run `tidemill run` first",
        )


def _as_the_champion(params: Params, champion: LoadedModel) -> Params:
    """With ``training.learner: auto`` a retraining keeps the champion's learner."""
    told = str(champion.metadata.get("learner"))
    return params.with_learner(told if told in LEARNERS else "lightgbm")


def _champion(context: StageContext, params: Params, folder: Path) -> LoadedModel:
    """The champion that the challenger is to beat: also after the challenger took its place."""
    uri, model = context.tracker.uri, params.model_name
    found = Registry(context.tracker).champion(model)
    if found is None:
        raise ModelMissing(
            f"the model {model!r} has no champion to go on from",
            remedy="train and register one with: tidemill run",
            model_name=model,
        )
    noted = folder / "champion.json"
    ours = {hash_file(seal) for seal in files_below(folder, "candidate.json")}
    if is_left(noted) and found.digest in ours:
        return load_champion(uri, model, version=_before(noted))
    write_hashed(noted, {"version": found.version})
    return load_champion(uri, model, version=found.version)


def _before(noted: Path) -> int:
    """The version that was champion when the retraining began."""
    remedy = "run `tidemill rollback`, delete the file and run the same again"
    return int(read_hashed(noted, remedy=remedy)["version"])
