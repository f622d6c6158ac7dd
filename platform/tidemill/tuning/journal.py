"""The study's memory on disk: Optuna's journal, one line a finished trial.

Only finished trials are written, each by one appended line: a killed search leaves no trial
that seems to be running, and its file opens in any of Optuna's tools.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tidemill.contracts import Direction, Scalar, Space, Trial
from tidemill.errors import IntegrityError
from tidemill.storage import (
    discard_file,
    files_below,
    hash_bytes,
    is_left,
    read_file,
    storage_errors,
    write_bytes,
)
from tidemill.tuning.distributions import distributions

__all__ = ["Journal"]

_NUMBER = "tidemill:number"
_MESSAGE = "tidemill:message"
_SHARE = "tidemill:share"
_CHECK = "tidemill:sha256"


class Journal:
    """The finished trials of one plan, in a file that several plans may share.

    Parameters
    ----------
    path : Path
        One writer at a time: the caller holds the workspace.
    plan : str
        Names what the trials depend on; another plan's trials are left alone.
    direction : {"maximize", "minimize"}
    space : Space
    enumerated : bool
        Whether the space's points are visited.

    Raises
    ------
    IntegrityError
        If the file is damaged before its last line.
    """

    def __init__(
        self, path: Path, plan: str, direction: Direction, space: Space, *, enumerated: bool
    ) -> None:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        _mend(path)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._distributions = distributions(space, enumerated=enumerated)
        self._path, self.altered = path, 0
        with storage_errors(path):
            try:
                self._study = optuna.create_study(
                    storage=JournalStorage(JournalFileBackend(str(path))),
                    study_name=f"tidemill-{plan[:16]}",
                    direction=direction,
                    load_if_exists=True,
                )
            except (ValueError, KeyError, TypeError) as exc:
                raise IntegrityError(
                    f"the study in {path} is damaged: {exc}",
                    remedy=f"delete {path}: the search then begins again",
                    path=str(path),
                ) from exc

    def read(self) -> dict[int, Trial]:
        """The finished trials by number; of a number written twice, the first.

        One that is not what was written is left out, and so tried again: a changed figure would
        make another trial the best. Trials of earlier releases have no hash and are taken.
        """
        found: dict[int, Trial] = {}
        altered = set[int]()
        for frozen in self._study.get_trials(deepcopy=False):
            number = frozen.user_attrs.get(_NUMBER)
            if isinstance(number, int):
                trial = _thaw(frozen, number)
                if frozen.user_attrs.get(_CHECK, _hash_of(trial)) == _hash_of(trial):
                    found.setdefault(number, trial)
                else:
                    altered.add(number)
        self.altered = len(altered - found.keys())
        return found

    def append(self, trial: Trial) -> None:
        """Write a finished trial durably.

        Raises
        ------
        StorageFailed
            If the disk refuses.
        """
        with storage_errors(self._path):
            self._study.add_trial(_freeze(trial, self._distributions))


def _mend(path: Path) -> None:
    """Remove what a killed writer left: its lock, and the torn end of its last line."""
    content = read_file(path) if is_left(path) else b""
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content or not content:
        write_bytes(path, whole)
    for left in files_below(path.parent):
        if left.name.startswith(f"{path.name}.lock"):
            discard_file(left)


def _freeze(trial: Trial, distributions: dict[str, Any]) -> Any:
    import optuna

    states = {
        "complete": optuna.trial.TrialState.COMPLETE,
        "pruned": optuna.trial.TrialState.PRUNED,
        "failed": optuna.trial.TrialState.FAIL,
    }
    return optuna.trial.create_trial(
        state=states[trial.state],
        value=trial.value,
        params=trial.params,
        distributions={name: distributions[name] for name in trial.params},
        intermediate_values=dict(trial.steps),
        user_attrs={
            _NUMBER: trial.number,
            _MESSAGE: trial.message,
            **({} if trial.share == 1 else {_SHARE: trial.share}),
            _CHECK: _hash_of(trial),
        },
    )


def _hash_of(trial: Trial) -> str:
    # Optuna gives a whole number of a real parameter back as a float.
    params = {name: _plain(value) for name, value in sorted(trial.params.items())}
    steps = [(int(step), float(value)) for step, value in trial.steps]
    value = None if trial.value is None else float(trial.value)
    share = () if trial.share == 1 else (trial.share,)  # as it was before there were shares
    return hash_bytes(repr((trial.number, params, value, trial.state, steps, *share)).encode())


def _plain(value: Scalar) -> Scalar:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return value


def _thaw(frozen: Any, number: int) -> Trial:
    states: dict[str, Any] = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}
    return Trial(
        number=number,
        params=dict(sorted(frozen.params.items())),
        value=frozen.value if frozen.state.name == "COMPLETE" else None,
        state=states[frozen.state.name],
        steps=tuple((int(s), float(v)) for s, v in frozen.intermediate_values.items()),
        message=frozen.user_attrs.get(_MESSAGE),
        share=float(frozen.user_attrs.get(_SHARE, 1.0)),
    )
