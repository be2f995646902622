"""`bin/release` builds twice, signs what is the same, and refuses everything that nobody could build again.

A small project is released here, because two builds of the product take longer. `bin/test deep` releases the product.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import textwrap
import zipfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

import lockbox_site
from tests.sources import ROOT, text_of

WITHIN = 300
NAMESPACE = "customer-lockbox-release"
SMALL = {
    "pyproject.toml": """
        [build-system]
        requires = ["hatchling"]
        build-backend = "hatchling.build"
        [project]
        name = "customer-lockbox"
        dynamic = ["version"]
        requires-python = ">=3.11"
        [tool.hatch.version]
        path = "lockbox_site/__init__.py"
        [tool.hatch.build.targets.wheel]
        packages = ["lockbox_site"]
    """,
    "lockbox_site/__init__.py": '__version__ = "7.8.9"\n',
    "lockbox_site/data.txt": "data\n",
    "CHANGELOG.md": "# Changelog\n\n## 7.8.9 (2026-12-01)\n\n* Small.\n",
    "requirements.txt": f"""
        alpha==1.0 \\
            --hash=sha256:{"a" * 64}
            # via -r requirements.in
        beta==2.0 ; sys_platform == 'win32' \\
            --hash=sha256:{"b" * 64} \\
            --hash=sha256:{"c" * 64}
            # via
            #   -r requirements.in
            #   alpha
    """,
}


def git(place: Path, *words: str) -> str:
    who = ["-c", "user.name=Tests", "-c", "user.email=tests@example.com", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *who, *words], cwd=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a working tree of the small project, with the programs of bin/release."""
    place = tmp_path / "source"
    for name, text in SMALL.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(f"{textwrap.dedent(text).strip()}\n")
    (place / "bin").mkdir()
    for name in ("_release.py", "_sbom.py"):
        shutil.copy(ROOT / "bin" / name, place / "bin")
    (place / ".gitignore").write_text("__pycache__/\n")
    git(place, "init", "--quiet")
    git(place, "add", "--all")
    git(place, "commit", "--quiet", "--message", "Release")
    return place


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a private key of Ed25519 without a passphrase, for these tests only."""
    return made_key(tmp_path_factory.mktemp("key") / "key", "ed25519")


def made_key(path: Path, kind: str) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "tests", "-f", str(path)], check=True)
    return path


def release(source: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "bin/_release.py", *map(str, words)],
        cwd=source,
        env={"PATH": os.environ["PATH"], "HOME": str(source.parent)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WITHIN,
    )


def verified(place: Path, key: Path, *, namespace: str = NAMESPACE) -> bool:
    """Do what docs/releases.md tells a customer to do, with the same two programs."""
    (place.parent / "allowed_signers").write_text(f"releases {key.with_suffix('.pub').read_text()}")
    words = ["-Y", "verify", "-f", "../allowed_signers", "-I", "releases", "-n", namespace, "-s", "SHA256SUMS.sig"]
    signature = subprocess.run(
        ["ssh-keygen", *words], cwd=place, input=(place / "SHA256SUMS").read_bytes(), capture_output=True
    )
    sums = subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=place, capture_output=True)
    return (signature.returncode, sums.returncode) == (0, 0)


@pytest.mark.slow
def test_a_release_is_signed_and_every_change_to_it_is_noticed(source: Path, key: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = release(source, "--key", key, out)
    assert done.returncode == 0, done.stderr
    names = {path.name for path in out.iterdir()}
    wheel, sdist = "customer_lockbox-7.8.9-py3-none-any.whl", "customer_lockbox-7.8.9.tar.gz"
    sbom = "customer_lockbox-7.8.9.cdx.json"
    assert names == {wheel, sdist, sbom, "requirements.txt", "SHA256SUMS", "SHA256SUMS.sig"}
    assert verified(out, key)
    assert not verified(out, made_key(tmp_path / "other", "ed25519")), "signed by somebody else"
    assert not verified(out, key, namespace="file"), "signed for something else"
    for name in names - {"SHA256SUMS.sig"}:
        was = (out / name).read_bytes()
        (out / name).write_bytes(was[:-1] + bytes([was[-1] ^ 1]))
        assert not verified(out, key), name
        (out / name).write_bytes(was)
    assert verified(out, key)
    # The archives have the time of the commit, and no account of the machine that built them.
    with tarfile.open(out / sdist) as archive:
        facts = {(entry.mtime, entry.uid, entry.gid, entry.uname) for entry in archive.getmembers()}
    assert facts == {(int(git(source, "show", "--no-patch", "--format=%ct")), 0, 0, "")}
    with zipfile.ZipFile(out / wheel) as packed:
        assert "lockbox_site/data.txt" in packed.namelist()
    # A release is never replaced. The same commit gives the same bytes again, also unsigned.
    again = release(source, "--key", key, out)
    assert (again.returncode, "exists already" in again.stderr) == (1, True)
    assert release(source, "--unsigned", tmp_path / "again").returncode == 0
    assert (tmp_path / "again" / "SHA256SUMS").read_bytes() == (out / "SHA256SUMS").read_bytes()
    assert_sbom(json.loads((out / sbom).read_text()), commit=git(source, "rev-parse", "HEAD"))


def assert_sbom(document: dict[str, Any], *, commit: str) -> None:
    """Check what the schema can't know. bin/_sbom.py validates against the schema."""
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    root = document["metadata"]["component"]
    assert (root["name"], root["version"]) == ("customer-lockbox", "7.8.9")
    assert {"name": "customer-lockbox:commit", "value": commit} in root["properties"]
    alpha, beta = document["components"]
    assert (alpha["purl"], beta["purl"]) == ("pkg:pypi/alpha@1.0", "pkg:pypi/beta@2.0")
    [place] = beta["externalReferences"]
    assert [each["content"] for each in place["hashes"]] == ["b" * 64, "c" * 64]
    assert beta["properties"] == [{"name": "customer-lockbox:marker", "value": "sys_platform == 'win32'"}]
    needs = {each["ref"]: each.get("dependsOn", []) for each in document["dependencies"]}
    assert needs == {"customer-lockbox": ["alpha", "beta"], "alpha": ["beta"], "beta": []}


def test_what_nobody_could_build_again_is_refused(source: Path, key: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def refused(*words: str | Path) -> str:
        done = release(source, *words, out)
        assert (done.returncode, len(done.stderr.splitlines()), out.exists()) == (1, 1, False), done.stderr
        return done.stderr

    assert "is not an Ed25519 key" in refused("--key", made_key(tmp_path / "ecdsa", "ecdsa"))
    assert "is not an Ed25519 key" in refused("--key", tmp_path / "no-key")
    (source / "new.txt").touch()
    assert "The working tree has 1 changes (new.txt)" in refused("--key", key)
    (source / "new.txt").unlink()
    (source / "lockbox_site/__init__.py").write_text('__version__ = "7.9.0"\n')
    assert "The working tree has 1 changes" in refused("--key", key)
    git(source, "commit", "--quiet", "--all", "--message", "Next")
    assert "CHANGELOG.md has no heading for version 7.9.0" in refused("--key", key)
    assert release(source, out).returncode == 2, "neither a key nor --unsigned"


@pytest.mark.slow
def test_two_builds_that_differ_are_named_and_not_signed(source: Path, key: Path, tmp_path: Path) -> None:
    """The build of this commit writes its own directory into the wheel."""
    (source / "hatch_build.py").write_text(
        "from hatchling.builders.hooks.plugin.interface import BuildHookInterface\n"
        "from pathlib import Path\n"
        "class Hook(BuildHookInterface):\n"
        "    def initialize(self, version, build_data):\n"
        "        Path(self.root, 'lockbox_site', 'data.txt').write_text(self.root)\n"
    )
    with (source / "pyproject.toml").open("a") as file:
        file.write("[tool.hatch.build.targets.wheel.hooks.custom]\n")
    git(source, "add", "--all")
    git(source, "commit", "--quiet", "--message", "Depend on the place")
    done = release(source, "--key", key, tmp_path / "out")
    assert done.returncode == 1
    wheel = "customer_lockbox-7.8.9-py3-none-any.whl"
    last = done.stderr.splitlines()[-1]
    # The bill of materials has the wheel's checksum.
    sbom = "customer_lockbox-7.8.9.cdx.json"
    assert last == f"release: Two builds of the same commit differ in {wheel}, {sbom}. Nothing was signed."
    assert not (tmp_path / "out").exists()


def test_the_changelog_names_the_version_of_the_source() -> None:
    assert f"\n## {lockbox_site.__version__} (" in (ROOT / "CHANGELOG.md").read_text()


def lines_of_the_document(heading: str) -> list[str]:
    """Return the commands that docs/releases.md shows below this heading."""
    _before, _heading, rest = text_of(ROOT / "docs/releases.md").partition(f"\n## {heading}\n")
    return re.findall(r"^\$ (.*)$", rest.partition("\n## ")[0], flags=re.MULTILINE)


@pytest.mark.deep
@pytest.mark.timeout(900)
def test_the_script_releases_the_product_and_a_reader_verifies_it_by_the_document(tmp_path: Path) -> None:
    """Every line of the document runs, in a clone without an environment. It needs a package index.

    The commit is of a copy, so that work that is not committed yet is tested too.
    """
    copy, out, home = tmp_path / "copy", tmp_path / "release", tmp_path / "home"
    home.mkdir()
    for name in git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard").splitlines():
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    git(copy, "init", "--quiet")
    git(copy, "add", "--all")
    git(copy, "commit", "--quiet", "--message", "Release")
    index = {name: text for name, text in os.environ.items() if name.startswith("PIP_")}

    def typed(line: str, at: Path) -> int:
        env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(home), **index}
        done = subprocess.run(["bash", "-c", line], cwd=at, env=env, stdin=subprocess.DEVNULL, timeout=600)  # noqa: S607 - bash from PATH, as for the reader
        return done.returncode

    make_key, make_release = lines_of_the_document("Make a release")
    assert typed(f"{make_key} -q -N ''", copy) == 0, "without a passphrase, because nobody types one here"
    assert typed(make_release, copy) == 0
    assert git(copy, "status", "--porcelain") == ""
    public = " ".join((home / "release-key.pub").read_text().split()[:2])
    (out / "allowed_signers").write_text(f"releases {public}\n")

    def verify() -> list[int]:
        return [typed(line, out) for line in lines_of_the_document("Verify a release")]

    assert verify() == [0, 0]
    [wheel] = out.glob("*.whl")
    was = wheel.read_bytes()
    wheel.write_bytes(was[:5000] + bytes([was[5000] ^ 1]) + was[5001:])
    assert verify() == [0, 1]
    sums = (out / "SHA256SUMS").read_text()
    (out / "SHA256SUMS").write_text(sums.replace(sha256(was).hexdigest(), sha256(wheel.read_bytes()).hexdigest()))
    assert verify() == [255, 0], "nobody else can sign a changed list"
    wheel.write_bytes(was)
    (out / "SHA256SUMS").write_text(sums)
    clone, build, compare = lines_of_the_document("Build it yourself and compare")
    here = clone.replace("https://git.example.com/lockbox", f"{copy} lockbox").replace("COMMIT", "HEAD")
    line = " && ".join([here, build, compare.replace("RELEASE", str(out))])
    assert typed(line, tmp_path) == 0
