"""The code of the previous release, which `deploy/previous-release` names. During an upgrade, it runs beside this code.

The file has one line: the version, and the commit. Tags do not travel with every copy of the repository.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILE = "deploy/previous-release"


class NotHere(Exception):
    """This copy of the repository does not have the commit. The text is one line that says how to get it."""


def named() -> tuple[str, str]:
    """Return the version and the commit of the previous release."""
    version, commit = (ROOT / FILE).read_text().split()
    return version, commit


def export(place: Path) -> Path:
    """Write the previous release's files into this directory, which must not exist, and return it."""
    packed = _git("archive", "--format=tar", named()[1])
    place.mkdir(parents=True)
    with tarfile.open(fileobj=BytesIO(packed)) as files:
        files.extractall(place, filter="data")
    return place


def tree() -> Path:
    """Return a directory with the previous release's files, which stays: Python compiles them only once."""
    place = ROOT / "var" / "previous-release" / named()[1]
    if not place.exists():
        draft = export(place.with_name(f".{place.name}.{os.getpid()}"))
        try:
            draft.rename(place)
        except OSError:  # another process was faster
            shutil.rmtree(draft)
    return place


def migrations() -> set[str]:
    """Return the migrations that the previous release has, each as app and name, for example audit_app/0001_initial."""
    listed = _git("ls-tree", "-r", "--name-only", named()[1]).decode().splitlines()
    parts = [path.split("/") for path in listed if path.endswith(".py") and "/migrations/" in path]
    return {f"{part[0]}/{part[-1].removesuffix('.py')}" for part in parts if part[-1][0].isdigit()}


def _git(*words: str) -> bytes:
    try:
        return subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True).stdout
    except (OSError, subprocess.CalledProcessError):
        raise NotHere(why_not_here()) from None


def why_not_here() -> str:
    version, commit = named()
    return (
        f"The previous release {version} is commit {commit}, which is not in this copy of the repository. Get it: "
        f"git fetch origin {commit}"
    )
