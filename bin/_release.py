"""Builds a release from a clean commit, twice and in different surroundings. Signs it only if both are the same."""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: What the signature is for. Verifiers must name it, so that no signature for something else counts.
NAMESPACE = "customer-lockbox-release"
SUMS, LOCK = "SHA256SUMS", "requirements.txt"


@dataclass(frozen=True)
class Surroundings:
    """In what a build may not depend on: permissions of new files, time zone, order of sets, times of files."""

    umask: int
    zone: str
    hash_seed: str
    #: Added to the time of each file of the source.
    seconds: int


FIRST, SECOND = Surroundings(0o022, "UTC", "1", 0), Surroundings(0o077, "Pacific/Auckland", "2", -90_000)


class Refused(Exception):
    """There is no release. The text is one line that says what to do."""


def main(words: list[str]) -> int:
    given = _arguments(words)
    target = (given.called_from / given.directory).resolve()
    key = (given.called_from / given.key.expanduser()).resolve() if given.key else None
    try:
        _require_new(target)
        if key is not None:
            _require_ed25519(key)
        commit, version, epoch = _commit(), _version(), int(_git("show", "--no-patch", "--format=%ct", "HEAD"))
        with tempfile.TemporaryDirectory(prefix="release-") as place:
            made = _built_alike(Path(place), commit, version, epoch)
            _write_sums(made)
            if key is not None:
                _sign(made / SUMS, key)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(made, target, dirs_exist_ok=True)
    except (Refused, ValueError) as refusal:
        sys.stderr.write(f"release: {refusal}\n")
        return 1
    for file in sorted(target.iterdir()):
        print(f"{file.stat().st_size:>10}  {file}")
    return 0


def _arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="release", description="Build a release of this commit twice, compare the bytes, and sign the checksums."
    )
    signing = parser.add_mutually_exclusive_group(required=True)
    signing.add_argument("--key", type=Path, help="your private key of OpenSSH (Ed25519), or the public key of a token")
    signing.add_argument("--unsigned", action="store_true", help="sign nothing, to compare with a signed release")
    parser.add_argument("--from", dest="called_from", type=Path, default=Path.cwd(), help=argparse.SUPPRESS)
    parser.add_argument("directory", type=Path, help="a new directory for the release")
    return parser.parse_args(words)


# --- What must be so before ---------------------------------------------------------------------------------


def _require_new(target: Path) -> None:
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise Refused(f"{target} exists already, and no release is replaced. Name another directory.")


def _require_ed25519(key: Path) -> None:
    done = subprocess.run(["ssh-keygen", "-l", "-f", str(key)], capture_output=True, text=True)
    if done.returncode or not re.search(r"\(ED25519(-SK)?\)$", done.stdout.strip()):
        raise Refused(f"{key} is not an Ed25519 key of OpenSSH. Make one: ssh-keygen -t ed25519 -f {key}")


def _commit() -> str:
    if changed := _git("status", "--porcelain").splitlines():
        names = ", ".join(line[3:] for line in changed[:3])
        raise Refused(f"The working tree has {len(changed)} changes ({names}). Commit them first.")
    return _git("rev-parse", "HEAD")


def _version() -> str:
    """Return the version of the source. Raise Refused unless the changelog has a heading with it and a date."""
    [version] = re.findall(r'^__version__ = "([^"]+)"$', (ROOT / "lockbox_site/__init__.py").read_text(), re.MULTILINE)
    heading = rf"^## {re.escape(version)} \(\d{{4}}-\d\d-\d\d\)$"
    if not re.search(heading, (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE):
        raise Refused(f"CHANGELOG.md has no heading for version {version}. Add it: ## {version} (YYYY-MM-DD)")
    return str(version)


# --- Building -----------------------------------------------------------------------------------------------


def _built_alike(place: Path, commit: str, version: str, epoch: int) -> Path:
    """Build in two places. Return the directory with the files. Raise Refused if two of them differ."""
    # Names of different lengths, because a path in a file would change its length too.
    first = _built(place / "a", commit, version, epoch, FIRST)
    second = _built(place / "another-place" / "below", commit, version, epoch, SECOND)
    if differing := list(_differing(first, second)):
        raise Refused(f"Two builds of the same commit differ in {', '.join(differing)}. Nothing was signed.")
    return first


def _built(place: Path, commit: str, version: str, epoch: int, around: Surroundings) -> Path:
    place.mkdir(parents=True)
    source, made = place / "source", place / "made"
    env = {
        **{name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ},
        "HOME": str(place),
        "TZ": around.zone,
        "PYTHONHASHSEED": around.hash_seed,
        "SOURCE_DATE_EPOCH": str(epoch),
    }
    _run(["git", "clone", "--quiet", "--no-local", "--no-checkout", str(ROOT), str(source)], env, around.umask)
    _run(["git", "-C", str(source), "checkout", "--quiet", commit], env, around.umask)
    for file in source.rglob("*"):
        at = file.lstat().st_mtime + around.seconds
        os.utime(file, (at, at), follow_symlinks=False)
    _say(f"Building {source} ...")
    build = ["-P", "-m", "build", "--no-isolation", "--outdir", str(made), str(source)]
    _run([sys.executable, *build], env, around.umask)
    shutil.copy(source / LOCK, made / LOCK)
    # It loads a large library, and a refusal needs none of it.
    import _sbom

    [wheel] = made.glob("*.whl")
    text = _sbom.of(source / LOCK, version=version, commit=commit, epoch=epoch, wheel=wheel)
    (made / f"customer_lockbox-{version}.cdx.json").write_text(text, encoding="utf-8")
    for file in made.iterdir():
        file.chmod(0o644)
    return made


def _run(command: list[str], env: dict[str, str], umask: int) -> None:
    done = subprocess.run(command, env=env, umask=umask, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise Refused(f"{' '.join(command[:4])} failed: {' '.join(last)}")


def _differing(first: Path, second: Path) -> Iterator[str]:
    names = {file.name for place in (first, second) for file in place.iterdir()}
    for name in sorted(names):
        files = [place / name for place in (first, second)]
        if not all(file.is_file() for file in files) or len({file.read_bytes() for file in files}) > 1:
            yield name


# --- Signing ------------------------------------------------------------------------------------------------


def _write_sums(made: Path) -> None:
    files = sorted(file for file in made.iterdir() if file.name != SUMS)
    # The form of the program sha256sum.
    lines = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files]
    (made / SUMS).write_text("".join(lines))


def _sign(sums: Path, key: Path) -> None:
    """Sign, and check the signature. ssh-keygen asks at the terminal for the passphrase, or the agent signs."""
    if subprocess.run(["ssh-keygen", "-q", "-Y", "sign", "-f", str(key), "-n", NAMESPACE, str(sums)]).returncode:
        raise Refused("ssh-keygen did not sign. Its own message is above.")
    check = ["ssh-keygen", "-Y", "check-novalidate", "-n", NAMESPACE, "-s", f"{sums}.sig"]
    if subprocess.run(check, input=sums.read_bytes(), capture_output=True).returncode:
        raise Refused("The signature that ssh-keygen made is not valid.")


def _git(*words: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True)
    if done.returncode:
        raise Refused(f"git {words[0]} failed: {done.stderr.strip()}")
    return done.stdout.strip()


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
