"""The code of the previous release, which `deploy/previous-release` names. During an upgrade, it runs beside this code.

The file has one line: the version, and the commit. Tags do not travel with every copy of the repository.
"""

from __future__ import annotations

import os
import re
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


def why_wrong() -> str:
    """Return why the named commit can't be the previous release of this code, or "".

    Raise NotHere if this copy of the repository does not have enough history to know.
    """
    version, commit = named()
    if (there := version_of(commit)) != version:
        return f"{FILE} names {version}, but commit {commit} is {there or 'of no known version'}."
    if _is_ancestor(commit):
        return ""
    if _git("rev-parse", "--is-shallow-repository").strip() == b"true":
        raise NotHere(
            f"This copy of the repository has only a part of the history. To check {FILE}, get the rest: "
            "git fetch --unshallow"
        )
    return f"{FILE} names commit {commit}, which is not part of this version's history."


def version_of(commit: str) -> str:
    """Return the version that the code of this commit says it has, or ""."""
    found = re.search(rb'^__version__ = "(.+)"$', _git("show", f"{commit}:lockbox_site/__init__.py"), re.MULTILINE)
    return found[1].decode() if found else ""


def _is_ancestor(commit: str) -> bool:
    return _run("merge-base", "--is-ancestor", commit, "HEAD").returncode == 0


def export(place: Path, commit: str = "") -> Path:
    """Write the files of this commit into this directory, which must not exist, and return it."""
    packed = _git("archive", "--format=tar", commit or named()[1])
    place.mkdir(parents=True)
    with tarfile.open(fileobj=BytesIO(packed)) as files:
        files.extractall(place, filter="data")
    return place


def tree(commit: str = "") -> Path:
    """Return a directory with the files of this commit, or of the previous release.

    The directory stays: Python compiles the files only once.
    """
    commit = commit or named()[1]
    place = ROOT / "var" / "previous-release" / commit
    if not place.exists():
        draft = export(place.with_name(f".{place.name}.{os.getpid()}"), commit)
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
        done = _run(*words)
    except OSError:
        raise NotHere(why_not_here()) from None
    if done.returncode:
        raise NotHere(why_not_here())
    return done.stdout


def _run(*words: str) -> subprocess.CompletedProcess[bytes]:
    # An unpacked archive may lie in somebody else's repository, which git would find.
    env = {**os.environ, "GIT_CEILING_DIRECTORIES": str(ROOT.parent)}
    return subprocess.run(["git", *words], cwd=ROOT, env=env, capture_output=True)


def why_not_here() -> str:
    version, commit = named()
    what = f"The previous release {version} is commit {commit}"
    if not (ROOT / ".git").exists():
        return f"{what}. This directory is not a clone of the repository, so make one with git clone, and test there."
    return f"{what}, which is not in this copy of the repository. Get it: git fetch origin {commit}"
