"""`make images`: which program builds, what it is asked, what is written down."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKER = f"""#!{sys.executable}
import json, os, sys
open(os.environ["ASKED"], "a").write(json.dumps(["docker", *sys.argv[1:]]) + "\\n")
if sys.argv[1] == "info":
    sys.exit(int(os.environ["NO_ENGINE"]))
if sys.argv[1] == "image":
    print(json.dumps([{{"Id": "sha256:1d", "Size": 5, "Descriptor": {{"digest": "sha256:d1"}}}}]))
"""
BUILDAH = f"""#!{sys.executable}
import json, os, sys
open(os.environ["ASKED"], "a").write(json.dumps(["buildah", *sys.argv[1:]]) + "\\n")
if sys.argv[1] == "inspect":
    layers = json.dumps({{"layers": [{{"size": 2}}, {{"size": 3}}]}})
    print(json.dumps({{"FromImageID": "1d", "FromImageDigest": "sha256:d1", "Manifest": layers}}))
else:
    sys.exit(int(os.environ["BROKEN"]))
"""


@pytest.fixture
def builder(tmp_path):
    """Runs a copy of build_images.py beside programs that note what they are asked."""
    copy = tmp_path / "copy" / "docker"
    copy.mkdir(parents=True)
    for name in ("build_images.py", "compose.yaml"):
        shutil.copy(ROOT / "docker" / name, copy)

    def run(*words: str, programs: str, no_engine: int = 0, broken: bool = False):
        folder = tmp_path / "bin"
        folder.mkdir()
        for name in programs.split():
            (folder / name).write_text({"docker": DOCKER, "buildah": BUILDAH}[name])
            (folder / name).chmod(0o755)
        environment = {"PATH": str(folder), "ASKED": str(tmp_path / "asked")}
        environment |= {"NO_ENGINE": str(no_engine), "BROKEN": str(int(broken))}
        done = subprocess.run(
            [sys.executable, str(copy / "build_images.py"), *words],
            env=environment,
            capture_output=True,
            text=True,
        )
        asked = tmp_path / "asked"
        lines = asked.read_text().splitlines() if asked.exists() else []
        record = copy.parent / "build" / "images.json"
        built = json.loads(record.read_text()) if record.exists() else None
        return done, [json.loads(line) for line in lines], built

    return run


@pytest.mark.parametrize(
    ("programs", "no_engine", "used"),
    [
        ("docker buildah", 0, "docker"),
        ("docker buildah", 1, "buildah"),
        ("docker", 0, "docker"),
        ("buildah", 0, "buildah"),
    ],
)
def test_whichever_is_there_builds_and_the_record_is_the_same(builder, programs, no_engine, used):
    """An engine that answers, else buildah; of every image id, digest and size are written."""
    done, asked, built = builder("--", "--pull", programs=programs, no_engine=no_engine)
    assert done.returncode == 0, done.stderr
    facts = {"builder": used, "id": "sha256:1d", "digest": "sha256:d1", "size_bytes": 5}
    names = ["tidemill:0.1.0", "tidemill-s3:0.1.0"]
    assert sorted(built, key=lambda one: one["image"], reverse=True) == [
        {"image": name, **facts} for name in sorted(names, reverse=True)
    ]
    built_by = [words for words in asked if words[1] in ("build", "bud")]
    assert {words[0] for words in built_by} == {used}
    for words in built_by:
        assert "--pull" in words
        assert words[words.index("--tag") + 1] in names
        assert Path(words[words.index("--file") + 1]).name == "Dockerfile"


def test_one_image_is_built_by_its_name(builder):
    """Another one's entry in the record stays."""
    done, asked, built = builder("tidemill-s3:0.1.0", programs="buildah")
    assert done.stdout == "tidemill-s3:0.1.0: 0.00 GB, sha256:1d\n"
    assert [one["image"] for one in built] == ["tidemill-s3:0.1.0"]
    assert len([words for words in asked if words[1] == "bud"]) == 1


def test_a_build_that_fails_leaves_no_record(builder):
    """An exit code, and the builder's own words above."""
    done, _, built = builder(programs="buildah", broken=True)
    assert done.returncode == 1
    assert "was not built by buildah: its reason is above" in done.stderr
    assert built is None


@pytest.mark.parametrize(
    ("words", "given", "why"),
    [
        (["nginx"], {"programs": "buildah"}, "compose.yaml builds no nginx: it builds tidemill"),
        ([], {"programs": "docker", "no_engine": 1}, "there is no buildah: install one of them"),
        ([], {"programs": "", "no_engine": 1}, "there is no buildah: install one of them"),
    ],
)
def test_why_nothing_is_built_is_said(builder, words, given, why):
    """No traceback: what is missing, and what there is."""
    done, _, built = builder(*words, **given)
    assert done.returncode == 1
    assert why in done.stderr
    assert "Traceback" not in done.stderr
    assert built is None
