"""What a run leaves in MLflow: parameters, figures, trials, the dataset's version, artifacts."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tidemill.errors import ConfigError
from tidemill.tracking.inputs import dataset_input
from tidemill.tracking.service import is_server, service_errors, shown
from tidemill.tracking.store import artifact_root, connect
from tidemill.tracking.trial_runs import log_trial
from tidemill.tracking.values import flatten, metric_name

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from tidemill.contracts import Trial
    from tidemill.schema import TableSchema

__all__ = ["RUN_KEY", "Tracker"]

RUN_KEY = "tidemill.run_key"
# What MLflow's list of runs shows by itself.
_JUDGED = "mlflow.experiment.primaryMetric.name"
_GREATER = "mlflow.experiment.primaryMetric.greaterIsBetter"


class Tracker:
    """Writes one experiment's runs; everything may be repeated after a crash.

    Nothing is opened before the first use. Threads may share a tracker; processes may not.

    Parameters
    ----------
    uri : str
        ``sqlite:///...`` (made if absent, artifacts in ``mlartifacts`` beside it), an
        ``http(s)://`` server, or any other store that MLflow knows.
    experiment : str
        Its name; made if absent.
    timeout_seconds : int
        For one answer of a server; requests are tried three times.
    served_at : str
        Where pages about a store that is no server are served at times.

    Raises
    ------
    ServiceUnavailable, StorageFailed, UsageError
        By every method, see :func:`tidemill.tracking.service.service_errors`.
    """

    def __init__(
        self,
        uri: str,
        experiment: str,
        *,
        timeout_seconds: int = 10,
        served_at: str = "http://127.0.0.1:5000",
    ) -> None:
        self.uri, self._served_at = uri, served_at
        self.experiment = experiment
        self.timeout_seconds = timeout_seconds
        self._guard = threading.RLock()
        self._client: MlflowClient | None = None
        self._experiment_id: str | None = None
        self._known_trials: dict[str, set[int]] = {}
        self._open_runs: set[str] = set()

    def prepare(self) -> None:
        """Import MLflow, open the store and make it if it is absent: 2 to 4 s the first time.

        Call it early in a thread, and the time passes beside other work; every other method
        waits for it, or does it.
        """
        self.experiment_id()

    def client(self) -> MlflowClient:
        """The MLflow client; calls belong inside ``service_errors``."""
        with self._guard:
            if self._client is None:
                self._client = connect(self.uri, timeout_seconds=self.timeout_seconds)
            return self._client

    def experiment_id(self) -> str:
        """The experiment's id; the experiment is made if absent."""
        client = self.client()
        with (
            self._guard,
            service_errors(self.uri, timeout_seconds=self.timeout_seconds),
        ):
            if self._experiment_id is None:
                self._experiment_id = self._find_experiment(client)
            return self._experiment_id

    def _find_experiment(self, client: MlflowClient) -> str:
        from mlflow.exceptions import MlflowException

        found = client.get_experiment_by_name(self.experiment)
        if found is None:
            try:
                return client.create_experiment(
                    self.experiment, artifact_location=artifact_root(self.uri)
                )
            except MlflowException as exc:
                if exc.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                found = client.get_experiment_by_name(self.experiment)
        if found is None or found.lifecycle_stage == "deleted":
            raise ConfigError(
                f"the MLflow experiment {self.experiment!r} was deleted",
                remedy="restore it (mlflow experiments restore), or set registration.experiment "
                "to another name",
                experiment=self.experiment,
            )
        return str(found.experiment_id)

    def open_run(self, key: str, name: str, tags: Mapping[str, str] | None = None) -> str:
        """The run of ``key``: a new one, or the one that an earlier attempt began.

        Parameters
        ----------
        key : str
            Names the work, e.g. a digest of its inputs; kept in the tag ``tidemill.run_key``.

        Returns
        -------
        str
            The run's id; its status is RUNNING.
        """
        experiment_id, client = self.experiment_id(), self.client()
        own = {**(tags or {}), RUN_KEY: key, "mlflow.source.name": "tidemill"}
        with service_errors(self.uri, timeout_seconds=self.timeout_seconds):
            runs = client.search_runs(
                [experiment_id],
                f"tags.`{RUN_KEY}` = '{_quoted(key)}'",
                order_by=["attributes.start_time ASC"],
                max_results=1,
            )
            if runs:
                run_id = str(runs[0].info.run_id)
                self._tag(run_id, own)
                client.update_run(run_id, status="RUNNING", name=name)
            else:
                run = client.create_run(experiment_id, tags=own, run_name=name)
                run_id = str(run.info.run_id)
        self._open_runs.add(run_id)
        return run_id

    def _tag(self, run_id: str, tags: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        self.client().log_batch(run_id, tags=[RunTag(k, str(v)) for k, v in tags.items()])

    def log_trials(self, run_id: str, trials: Iterable[Trial]) -> None:
        """Log each trial as a child run, once; may be called for each trial as it ends.

        A child holds the parameters, the value (metric ``value``), the learning curve (metric
        ``curve``, by step) and the state (tag ``tidemill.trial_state``).
        """
        experiment_id, client = self.experiment_id(), self.client()
        with self._guard, service_errors(self.uri, timeout_seconds=self.timeout_seconds):
            known = self._known_trials.get(run_id)
            parent: Run = client.get_run(run_id)
            if known is None:
                known = self._known_trials[run_id] = set()
            for trial in trials:
                if trial.number not in known:
                    log_trial(client, experiment_id, parent, trial, key=_key_of(parent))
                    known.add(trial.number)

    def log_stage(
        self,
        run_id: str,
        stage: str,
        params: Mapping[str, Any],
        metrics: Mapping[str, float | None],
    ) -> None:
        """Log a stage's settings as ``stage.section.key`` and its figures as ``stage/figure``.

        Logging the same again changes nothing: figures carry the run's own start as their time.
        A setting that the run has already stays as it is, for MLflow writes each once: the run
        tells what it was made with. Figures that are None are left out.
        """
        from mlflow.entities import Metric, Param

        client = self.client()
        with service_errors(self.uri, timeout_seconds=self.timeout_seconds):
            run = client.get_run(run_id)
            start, known = run.info.start_time, run.data.params
            client.log_batch(  # in MLflow's own batches: 1,000 metrics, 100 params
                run_id,
                metrics=[
                    Metric(metric_name(stage, name), float(value), start, 0)
                    for name, value in metrics.items()
                    if value is not None
                ],
                params=[
                    Param(name, text)
                    for name, text in flatten(params, stage).items()
                    if name not in known
                ],
            )

    def log_dataset(
        self,
        run_id: str,
        *,
        name: str,
        version: str,
        source: str,
        rows: int,
        schema: TableSchema,
        context: str = "training",
    ) -> None:
        """Name the dataset's version on the run: an input of source type ``dvc``.

        Parameters
        ----------
        version : str
            The content's md5 in dvc.lock, at most 36 characters; the input's digest.
        """
        client = self.client()
        with service_errors(self.uri, timeout_seconds=self.timeout_seconds):
            client.log_inputs(
                run_id,
                [dataset_input(name, version, source, rows=rows, schema=schema, context=context)],
            )
            self._tag(run_id, {"tidemill.dataset_version": version})

    def log_artifacts(
        self, run_id: str, files: Path | Iterable[Path], artifact_path: str | None = None
    ) -> None:
        """Attach files, and the content of folders, to the run under ``artifact_path``."""
        client = self.client()
        with service_errors(self.uri):
            for path in (files,) if isinstance(files, Path) else files:
                if path.is_dir():
                    client.log_artifacts(run_id, str(path), artifact_path)
                else:
                    client.log_artifact(run_id, str(path), artifact_path)

    def describe(
        self,
        run_id: str,
        *,
        name: str,
        text: str,
        judged: str,
        greater: bool,
        version: tuple[str, int],
    ) -> None:
        """Name the run for people, and let lists of runs show its judged figure first.

        Parameters
        ----------
        name : str
        text : str
            Markdown, the description of the run and of the version that it made.
        judged : str
            The metric's name in MLflow.
        greater : bool
            Whether more is better.
        version : (str, int)
            Name and number of the model.
        """
        client = self.client()
        with service_errors(self.uri, timeout_seconds=self.timeout_seconds):
            client.update_run(run_id, name=name)
            self._tag(run_id, {"mlflow.note.content": text})
            model, number = version
            client.update_model_version(model, str(number), description=text)
            for key, value in {_JUDGED: judged, _GREATER: str(greater).lower()}.items():
                client.set_experiment_tag(self.experiment_id(), key, value)

    def finish(
        self, run_id: str, status: Literal["FINISHED", "FAILED", "KILLED"] = "FINISHED"
    ) -> None:
        """End the run; a finished one stays as it is."""
        client = self.client()
        with service_errors(self.uri, timeout_seconds=self.timeout_seconds):
            if client.get_run(run_id).info.status != status:
                client.set_terminated(run_id, status)
        self._open_runs.discard(run_id)

    def finish_all(self, status: Literal["FINISHED", "FAILED", "KILLED"]) -> None:
        """End the runs that this tracker opened and did not finish."""
        for run_id in sorted(self._open_runs):
            self.finish(run_id, status)

    def run_page(self, run_id: str) -> str:
        """The run's page; of a store that no server serves so far, where one will serve it."""
        if (url := self.run_url(run_id)) is not None:
            return url
        return f"{self._run_at(self._served_at, run_id)} (while `tidemill up` runs)"

    def run_url(self, run_id: str) -> str | None:
        """The run's page, if the store is a server."""
        if not is_server(self.uri):
            return None
        return self._run_at(shown(self.uri), run_id)

    def _run_at(self, server: str, run_id: str) -> str:
        return f"{server.rstrip('/')}/#/experiments/{self.experiment_id()}/runs/{run_id}"


def _quoted(key: str) -> str:
    if "'" in key:
        raise ValueError(f"a run key has no quotes: {key}")
    return key


def _key_of(run: Run) -> str:
    return str(run.data.tags.get(RUN_KEY, run.info.run_id))
