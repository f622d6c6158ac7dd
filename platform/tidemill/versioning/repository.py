"""The DVC repository of a workspace, with git or without."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tidemill.errors import IntegrityError
from tidemill.storage import storage_errors, write_bytes
from tidemill.versioning.failures import dvc_errors

__all__ = ["code_revision", "ensure_repo"]

_SETTINGS = {"analytics": "false", "autostage": "false"}
_IGNORED = "/config.local\n/tmp\n/cache\n"


def ensure_repo(root: Path) -> None:
    """Make ``root`` a DVC repository, if it is none; the same call again changes nothing.

    DVC works with git where ``root`` is the top of a git work tree, and without it elsewhere.
    Which of the two is a fact of this copy of the workspace, so it is written to
    ``.dvc/config.local``, which git ignores: a workspace may become a git repository later, or
    be unpacked from an archive without one. Settings of the user's own stay.

    Raises
    ------
    ConfigError
        If DVC refuses, e.g. because git ignores ``.dvc``.
    StorageFailed
        If the disk refuses.
    """
    with_git = (root / ".git").exists()
    config = root / ".dvc" / "config"
    if not config.exists():
        _create(root, with_git)
    if not (root / ".dvc" / ".gitignore").exists():
        write_bytes(root / ".dvc" / ".gitignore", _IGNORED.encode())
    _edit(config, _SETTINGS, keep=True)
    _edit(config.with_name("config.local"), {"no_scm": None if with_git else "true"})


def _create(root: Path, with_git: bool) -> None:
    if (root / ".dvc").exists():
        # An earlier creation was killed. DVC would delete the folder, and a cache in it.
        write_bytes(root / ".dvc" / "config", b"")
        return
    with dvc_errors(root):
        from dvc.repo import Repo

        Repo.init(str(root), no_scm=not with_git).close()
    # DVC wrote no_scm where git would carry it to every copy.
    _edit(root / ".dvc" / "config.local", {"no_scm": None if with_git else "true"})
    _edit(root / ".dvc" / "config", {"no_scm": None})


def _edit(path: Path, settings: Mapping[str, str | None], *, keep: bool = False) -> None:
    """Set keys of ``[core]``, or remove those given as None; ``keep`` those that are there."""
    from configobj import ConfigObj  # type: ignore[import-untyped]

    with storage_errors(path):
        before = path.read_text(encoding="utf-8") if path.exists() else ""
    # DVC's own parser: it keeps comments and the sections of remotes.
    config = ConfigObj(before.splitlines(), interpolation=False)
    core = config.setdefault("core", {})
    for key, value in settings.items():
        if value is None:
            core.pop(key, None)
        elif not (keep and key in core):
            core[key] = value
    if not core:
        del config["core"]
    after = "".join(f"{line}\n" for line in config.write() or [])
    if after != before:
        write_bytes(path, after.encode())


def code_revision(root: Path) -> str | None:
    """The git commit of ``root``, with ``-dirty`` where tracked files differ from it.

    dvc.lock does not count: it says what was run, not what runs. None without git, or before
    the first commit.
    """
    commit = _git(root, "rev-parse", "--verify", "HEAD")
    if not commit:
        return None
    changes = _git(
        root, "status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude)dvc.lock"
    )
    return f"{commit}-dirty" if changes else commit


def commits_of(root: Path, name: str) -> list[str]:
    """The commits, of all branches and tags, that changed a file of ``root``; newest first.

    None where ``root`` lies in no git repository.

    Raises
    ------
    IntegrityError
        If it does, and git does not tell them all: it refuses, is absent, or the clone is shallow.
    """
    shallow, why = _ask(root, "rev-parse", "--is-shallow-repository")
    if shallow is None and not _in_git(root):
        return []
    if shallow is None:
        raise _untold(root, why)
    if shallow == "true":
        raise _untold(root, "the clone is shallow: git fetch --unshallow brings the others")
    return _told(root, "log", "--all", "--full-history", "--format=%H", "--", f"./{name}").split()


def content_at(root: Path, commit: str, name: str) -> bytes:
    """A file of ``root`` as a commit has it; empty where it has none.

    Raises
    ------
    IntegrityError
        If git does not tell.
    """
    listed = _told(root, "ls-tree", commit, "--", f"./{name}").split()
    return f"{_told(root, 'cat-file', 'blob', listed[2])}\n".encode() if listed else b""


def _in_git(root: Path) -> bool:
    place = root.resolve()
    return "GIT_DIR" in os.environ or any((at / ".git").exists() for at in (place, *place.parents))


def _told(root: Path, *arguments: str) -> str:
    answer, why = _ask(root, *arguments)
    if answer is None:
        raise _untold(root, why)
    return answer


def _untold(root: Path, why: str) -> IntegrityError:
    return IntegrityError(
        f"{root} lies in a git repository, whose commits are not all known: {why}",
        remedy="let git answer there; or, where no earlier version is wanted any more, say so: "
        "--only-workspace",
        path=str(root),
    )


def _git(root: Path, *arguments: str) -> str | None:
    return _ask(root, *arguments)[0]


def _ask(root: Path, *arguments: str) -> tuple[str | None, str]:
    """What git answers; or None, and why it does not."""
    program = shutil.which("git")
    if program is None:
        return None, "git is not installed, or not in PATH"
    done = subprocess.run(  # noqa: S603 - a fixed program with fixed arguments
        [program, "-C", str(root), *arguments],
        capture_output=True,
        check=False,
        encoding="utf-8",
        errors="replace",
    )
    if done.returncode != 0:
        return None, " ".join(done.stderr.split()) or f"git ended with {done.returncode}"
    return done.stdout.strip(), ""
