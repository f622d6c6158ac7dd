"""What is current, and how a stage's result becomes DVC's, in this process."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

from tidemill.errors import IntegrityError
from tidemill.storage import hash_file
from tidemill.versioning.failures import dvc_errors
from tidemill.versioning.lockfile import guarded_lock, lock_entry, read_lock, repair

__all__ = ["Versions"]

_DATASET = "data/shards"


class Versions(AbstractContextManager["Versions"]):
    """The versions of one workspace.

    DVC's repository object is opened at the first need and then kept: it costs half a second.
    Methods that read dvc.lock only do without it.

    Parameters
    ----------
    root : Path
        A workspace on which :func:`ensure_repo` was called; whoever calls ``commit`` or
        ``repair`` holds it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._opened: Any = None
        self._parsed: tuple[list[bytes | None], Any] = ([], None)

    def repair(self) -> tuple[str, ...]:
        """Mend what killed processes left; see :func:`repair`. Call it before the first stage."""
        return repair(self.root)

    def is_current(self, stage: str) -> bool:
        """Whether the stage was run, and nothing that it reads, leaves or is has changed since.

        Raises
        ------
        WorkspaceBusy
            If another DVC process is at work.
        IntegrityError
            If dvc.lock is torn: ``repair`` mends it.
        ConfigError
            If dvc.yaml does not have the stage, or params.yaml lacks a section.
        """
        if stage not in read_lock(self.root):
            return False
        return not self._status(stage)

    def damaged(self, stage: str) -> tuple[str, ...]:
        """Outputs that changed since the stage left them, where nothing else has.

        A stage that reads, or is, something else than then makes them anew in any case.
        """
        if stage not in read_lock(self.root):
            return ()
        said = self._status(stage)
        changed = [found for found in said if isinstance(found, dict)]
        if len(changed) < len(said) or any("changed deps" in found for found in changed):
            return ()
        outs = (found.get("changed outs", {}).items() for found in changed)
        return tuple(sorted(path for each in outs for path, how in each if how == "modified"))

    def dep_digests(self, stage: str) -> dict[str, str]:
        """Hash the stage's deps now, by path as in dvc.yaml; a missing one has no entry.

        Taken before a stage reads, and given to ``commit`` after it, they prove that nothing
        changed in between. DVC remembers the hashes, so the commit does not pay again.
        """
        with dvc_errors(self.root):
            from dvc.dependency import ParamsDependency
            from dvc.repo import lock_repo

            with lock_repo(self._repo()):
                found = self._stage(stage).deps
                deps = [dep for dep in found if not isinstance(dep, ParamsDependency)]
                hashes = {dep.def_path: dep.get_hash() for dep in deps if dep.exists}
        return {path: str(found.value) for path, found in hashes.items()}

    def commit(self, stage: str, *, expected: Mapping[str, str] | None = None) -> None:
        """Record in dvc.lock, and keep in the cache, what the stage has left.

        Parameters
        ----------
        stage : str
        expected : mapping of str to str or None
            What the stage has read: paths relative to the workspace, each with the SHA-256 of
            the file, or with DVC's own hash from ``dep_digests``.

        Raises
        ------
        IntegrityError
            If a dep is no longer what the stage has read, or an output is missing; dvc.lock is
            then as before.
        WorkspaceBusy, ConfigError
            As for ``is_current``.
        StorageFailed
            If the disk refuses.
        """
        self.repair()
        with guarded_lock(self.root):
            with dvc_errors(self.root):
                repo = self._repo()
                # Relinking takes each output away and puts a copy back: of use only where the
                # user has asked for links, and a moment without the output everywhere.
                links = {"hardlink", "symlink"} & set(repo.cache.local.cache_types)
                repo.commit(target=self._target(stage), force=True, relink=bool(links))
            self._verify(stage, expected or {})

    def _verify(self, stage: str, expected: Mapping[str, str]) -> None:
        # After the commit: DVC hashed the deps in it, and a change before that moment is in
        # dvc.lock, one after it is in the file.
        recorded = lock_entry(self.root, stage, "deps")
        for path, digest in expected.items():
            sha256 = len(digest) == 64
            now = _sha256(self.root / path) if sha256 else recorded.get(path)
            if now != digest:
                raise IntegrityError(
                    f"{path} changed while the stage {stage} was reading it",
                    remedy="run the same command again once nothing writes to it",
                    path=path,
                    stage=stage,
                    expected=digest,
                    found=now,
                )

    def output_version(self, stage: str, out: str) -> str | None:
        """DVC's hash of what the stage last left at ``out``; None if it was never run."""
        return lock_entry(self.root, stage, "outs").get(out)

    def dataset_version(self) -> str | None:
        """DVC's hash of data/shards, whichever stage leaves them; None if none has."""
        for stage in read_lock(self.root):
            found = self.output_version(stage, _DATASET)
            if found is not None:
                return found
        return None

    def require_dataset(self, stage: str) -> None:
        """Refuse shards that are not the version of the dataset that dvc.lock names.

        Parameters
        ----------
        stage : str
            One that reads the dataset.

        Raises
        ------
        IntegrityError
            If they are not: either was changed, or the shards were made without DVC.
        """
        noted = self.dataset_version()
        if noted is None:
            return
        found = self.dep_digests(stage).get(_DATASET)
        if found != noted:
            raise IntegrityError(
                f"{_DATASET} is {found}, and dvc.lock has {noted}: one of them was changed",
                remedy="run: tidemill run (it makes anew what is damaged, and records it); "
                "`tidemill shards verify` names a damaged shard",
                path=str(self.root / "dvc.lock"),
                expected=noted,
                found=found,
            )

    def close(self) -> None:
        """Let DVC's repository go; a later call opens it again."""
        opened, self._opened = self._opened, None
        self._parsed = ([], None)
        if opened is not None:
            opened.close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _status(self, stage: str) -> list[Any]:
        with dvc_errors(self.root):
            from dvc.repo import lock_repo

            with lock_repo(self._repo()):
                said = self._stage(stage).status(check_updates=True)
        return [found for each in said.values() for found in each]

    def _stage(self, name: str) -> Any:
        # To parse the files for each question took half of a run in which nothing is to do.
        from dvc.dvcfile import load_file

        files = [self.root / file for file in ("dvc.yaml", "dvc.lock", "params.yaml")]
        content = [file.read_bytes() if file.is_file() else None for file in files]
        if content != self._parsed[0]:
            self._parsed = content, load_file(self._repo(), str(files[0])).stages
        return self._parsed[1][name]

    def _repo(self) -> Any:
        if self._opened is None:
            from dvc.repo import Repo

            self._opened = Repo(str(self.root))
            # DVC's run cache finds its file in the working directory, which a library may not
            # change; nothing needs it here, because stages resume from their own manifests.
            self._opened.stage_cache.save = _no_run_cache
        return self._opened

    def _target(self, stage: str) -> str:
        # A bare name would be looked up in the working directory.
        return f"{self.root / 'dvc.yaml'}:{stage}"


def _no_run_cache(stage: object) -> None:
    """Takes the place of the run cache's ``save``."""


def _sha256(path: Path) -> str | None:
    return hash_file(path) if path.is_file() else None
