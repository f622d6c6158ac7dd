"""A peer is run in an environment of its own, made from its lock."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
PEERS = Path(__file__).with_name("peers")


def peer_python(folder: Path, peer: str) -> Path:
    """The Python of a fresh environment with exactly what the peer's lock names."""
    home = folder / "environments" / peer
    python = home / "bin" / "python"
    if not (home / "complete").exists():
        shutil.rmtree(home, ignore_errors=True)
        uv = Path(sys.executable).with_name("uv")
        install = ["pip", "install", "--quiet", "--compile-bytecode", "--require-hashes"]
        lock = ["--python", str(python), "-r", str(PEERS / f"{peer}.txt")]
        subprocess.run([uv, "venv", "--quiet", "--python", "3.11", str(home)], check=True)
        subprocess.run([uv, *install, *lock], check=True)
        (home / "complete").touch()
    return python
