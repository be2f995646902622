"""The file deploy/previous-release names a commit of this history, with the right version."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bench import previous_release
from tests.upgrades.history import here


def test_the_named_commit_is_in_this_history_and_has_the_named_version() -> None:
    assert here(previous_release.why_wrong) == ""


# --- Copies of a small repository with two releases -------------------------------------------------------


def _git(place: Path, *words: str) -> str:
    who = ["-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "protocol.file.allow=always"]
    return subprocess.run(["git", *who, *words], cwd=place, check=True, capture_output=True, text=True).stdout.strip()


def _commit(place: Path, version: str) -> str:
    (place / "lockbox_site" / "__init__.py").write_text(f'__version__ = "{version}"\n')
    _git(place, "add", ".")
    _git(place, "commit", "-qm", version)
    return _git(place, "rev-parse", "HEAD")


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    place = tmp_path / "origin"
    (place / "lockbox_site").mkdir(parents=True)
    (place / "deploy").mkdir()
    _git(place, "init", "-q", "-b", "main")
    _git(place, "config", "uploadpack.allowAnySHA1InWant", "true")
    return place


def _released(origin: Path, monkeypatch: pytest.MonkeyPatch, *, named: str = "1.0.0") -> str:
    """Make release 1.0.0 and code after it, which names it. Return the commit of the release."""
    commit = _commit(origin, "1.0.0")
    (origin / "deploy" / "previous-release").write_text(f"{named} {commit}\n")
    _commit(origin, "1.1.0")
    _commit(origin, "1.1.1")
    monkeypatch.setattr(previous_release, "ROOT", origin)
    return commit


def _copied(origin: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a shallow clone, which has only the last commit."""
    copy = origin.with_name("copy")
    _git(origin.parent, "clone", "-q", "--depth", "1", f"file://{origin}", str(copy))
    monkeypatch.setattr(previous_release, "ROOT", copy)
    return copy


def test_the_right_commit_is_accepted(origin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _released(origin, monkeypatch)
    assert previous_release.why_wrong() == ""


def test_another_version_is_refused(origin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = _released(origin, monkeypatch, named="1.0.1")
    assert previous_release.why_wrong() == f"deploy/previous-release names 1.0.1, but commit {commit} is 1.0.0."


def test_a_commit_of_another_branch_is_refused(origin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = _released(origin, monkeypatch)
    named = (origin / "deploy" / "previous-release").read_text()
    _git(origin, "checkout", "-q", "--orphan", "other")
    _commit(origin, "1.1.2")
    assert (origin / "deploy" / "previous-release").read_text() == named
    assert previous_release.why_wrong() == (
        f"deploy/previous-release names commit {commit}, which is not part of this version's history."
    )


def test_a_shallow_clone_says_how_to_get_the_commit_and_then_the_history(
    origin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = _released(origin, monkeypatch)
    copy = _copied(origin, monkeypatch)
    with pytest.raises(previous_release.NotHere) as failure:
        previous_release.why_wrong()
    assert str(failure.value) == (
        f"The previous release 1.0.0 is commit {commit}, which is not in this copy of the repository. Get it: "
        f"git fetch origin {commit}"
    )
    _git(copy, "fetch", "-q", "--depth", "1", "origin", commit)
    with pytest.raises(previous_release.NotHere, match="git fetch --unshallow$"):
        previous_release.why_wrong()
    _git(copy, "fetch", "-q", "--unshallow")
    assert previous_release.why_wrong() == ""


def test_an_unpacked_archive_says_that_it_is_no_clone(origin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It lies in the repository of something else, which must not be asked."""
    commit = _released(origin, monkeypatch)
    archive = origin / "unpacked"
    (archive / "deploy").mkdir(parents=True)
    (archive / "deploy" / "previous-release").write_text(f"1.0.0 {commit}\n")
    monkeypatch.setattr(previous_release, "ROOT", archive)
    with pytest.raises(previous_release.NotHere) as failure:
        previous_release.why_wrong()
    assert str(failure.value) == (
        f"The previous release 1.0.0 is commit {commit}. This directory is not a clone of the repository, so make one "
        "with git clone, and test there."
    )


def test_a_test_that_needs_the_history_fails_with_this_line() -> None:
    def ask() -> None:
        raise previous_release.NotHere("One line.")

    with pytest.raises(pytest.fail.Exception, match=r"^One line\.$") as failure:
        here(ask)
    assert not failure.value.pytrace
