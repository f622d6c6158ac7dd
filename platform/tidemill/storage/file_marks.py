"""What tells that a file is as it was, without reading it."""

from __future__ import annotations

from pathlib import Path

__all__ = ["SETTLED_NS", "file_mark"]

SETTLED_NS = 2_000_000_000
"""So long after a change another one bears another time, on whatever disk."""


def file_mark(path: Path) -> str | None:
    """Size, inode, and the times when content and inode changed; None where there is no file.

    The last of them is the kernel's own, which nobody can set back: whoever writes to a file, or
    puts another in its place, leaves another mark, but within the same tick of the kernel's clock
    (milliseconds). Reading leaves it.

    Parameters
    ----------
    path : Path
    """
    try:
        found = path.stat()
    except OSError:
        return None
    return f"{found.st_size} {found.st_ino} {found.st_mtime_ns} {found.st_ctime_ns}"
