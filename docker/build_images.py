"""Build the images of compose.yaml: ``python docker/build_images.py [IMAGE ...] [-- OPTION ...]``.

Docker's engine builds where one answers, buildah elsewhere; OPTIONs are for its build command. What
was built is written to build/images.json: of each image its id, digest and size in bytes.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

_DOCKER = Path(__file__).parent
_ROOT = _DOCKER.parent
_RECORD = _ROOT / "build" / "images.json"
# OCI's format has no place for a health check.
_BUILD = {
    "docker": ["docker", "build"],
    "buildah": ["buildah", "bud", "--layers", "--format=docker"],
}


class NothingBuilt(Exception):
    """Why no image was built, and what to do."""


def find_builder() -> str:
    """The program that builds here: docker, or buildah.

    Raises
    ------
    NothingBuilt
        If no engine of Docker answers and there is no buildah.
    """
    answers = shutil.which("docker") and _quiet("docker", "info", check=False).returncode == 0
    if answers or shutil.which("buildah"):
        return "docker" if answers else "buildah"
    raise NothingBuilt(
        "no engine of Docker answers (docker info), and there is no buildah: install one of them"
    )


def images() -> dict[str, str]:
    """The Dockerfile of each image that compose.yaml builds."""
    document = YAML(typ="safe", pure=True).load(_DOCKER / "compose.yaml")
    services = document["services"].values()
    return {one["image"]: one["build"]["dockerfile"] for one in services if "build" in one}


def build(builder: str, image: str, dockerfile: str, options: list[str]) -> dict[str, Any]:
    """Build one image, with the builder's own words on the terminal; what it is.

    Raises
    ------
    NothingBuilt
        If the builder fails: its reason stands above.
    """
    asked = [*_BUILD[builder], *options, "--file", str(_ROOT / dockerfile), "--tag", image]
    if subprocess.run([*asked, str(_ROOT)], check=False).returncode:  # noqa: S603
        raise NothingBuilt(f"{image} was not built by {builder}: its reason is above")
    return {"image": image, "builder": builder, **_FACTS[builder](image)}


def _of_docker(image: str) -> dict[str, Any]:
    (found,) = json.loads(_quiet("docker", "image", "inspect", image).stdout)
    # Without its own store of images, an engine knows the digest once the image was pushed.
    digest = found.get("Descriptor", {}).get("digest")
    return {"id": found["Id"], "digest": digest, "size_bytes": found["Size"]}


def _of_buildah(image: str) -> dict[str, Any]:
    found = json.loads(_quiet("buildah", "inspect", "--type=image", image).stdout)
    layers = json.loads(found["Manifest"])["layers"]
    size = sum(layer["size"] for layer in layers)
    identity = f"sha256:{found['FromImageID']}"
    return {"id": identity, "digest": found["FromImageDigest"], "size_bytes": size}


_FACTS = {"docker": _of_docker, "buildah": _of_buildah}


def _quiet(*command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=check, capture_output=True, text=True)  # noqa: S603


def main(arguments: list[str]) -> None:
    """Build what is asked for, all by default, and write down what came of it."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    names, options = arguments[:end], arguments[end + 1 :]
    known = images()
    wanted = names or list(known)
    if unknown := [name for name in wanted if name not in known]:
        raise NothingBuilt(f"compose.yaml builds no {unknown[0]}: it builds {', '.join(known)}")
    builder = find_builder()
    built = json.loads(_RECORD.read_text("utf-8")) if _RECORD.exists() else []
    for name in wanted:
        made = build(builder, name, known[name], options)
        built = [one for one in built if one["image"] != name] + [made]
        _RECORD.parent.mkdir(exist_ok=True)
        _RECORD.write_text(json.dumps(built, indent=2) + "\n", "utf-8")
        sys.stdout.write(f"{name}: {made['size_bytes'] / 1e9:.2f} GB, {made['id']}\n")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except NothingBuilt as exc:
        sys.exit(str(exc))
