"""Builds and installs clients/python as somebody with a clone does, without a package index."""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.clients.generated import DOCUMENT, ROOT, WITHIN

_PROJECT = tomllib.loads((ROOT / "clients" / "python" / "pyproject.toml").read_text())
BUILD_REQUIRES: list[str] = _PROJECT["build-system"]["requires"]
REQUIRES: list[str] = _PROJECT["project"]["dependencies"]
#: Generated files, which git ignores. None of them may be part of a build.
_MADE = shutil.ignore_patterns("__pycache__", "build", "dist", "*.egg-info", "lockbox_client", "node_modules")


def clone(to: Path) -> Path:
    """Copy the files of a clone into the directory `to`. Return the directory of the package in the copy."""
    shutil.copytree(ROOT / "clients", to / "clients", ignore=_MADE)
    (to / "docs").mkdir()
    shutil.copy(DOCUMENT, to / "docs")
    return to / "clients" / "python"


def install(source: Path, to: Path, *options: str) -> None:
    """Install the package with pip into the directory `to`."""
    words = ["install", str(source), "--target", str(to), "--quiet", "--no-index", *options]
    _run(source, sys.executable, "-m", "pip", "--disable-pip-version-check", *words)


def build(source: Path, what: str, to: Path) -> Path:
    """Build a `wheel`, an `sdist` or an `editable`, as pip does without a build environment. Return the built file."""
    to.mkdir(exist_ok=True)
    script = f"from setuptools import build_meta; build_meta.build_{what}({str(to)!r})"
    _run(source, sys.executable, "-c", script)
    [made] = to.iterdir()
    return made


def _run(where: Path, *command: str) -> None:
    # Ignore the pip settings of this machine. Without compiling, the installation takes a third less time.
    env = {"PATH": os.environ["PATH"], "PIP_CONFIG_FILE": os.devnull, "PIP_COMPILE": "0"}
    run = subprocess.run(command, cwd=where, env=env, capture_output=True, text=True, timeout=WITHIN)
    assert run.returncode == 0, run.stdout + run.stderr


def differing(one: Path, other: Path) -> list[str]:
    """Return the files that differ between two directories, or that only one of them has.

    Compiled files are ignored.
    """
    places = (one, other)
    names = {path.relative_to(place) for place in places for path in place.rglob("*") if path.is_file()}
    names = {name for name in names if name.suffix != ".pyc"}
    return sorted(str(name) for name in names if not _is_same(one / name, other / name))


def _is_same(one: Path, other: Path) -> bool:
    return one.is_file() and other.is_file() and filecmp.cmp(one, other, shallow=False)


def pack_wheels(requirements: list[str], to: Path) -> None:
    """Pack wheels of these requirements, and of all that they require, from the packages that are installed here."""
    to.mkdir(parents=True)
    for needed in _closure(requirements):
        _pack(needed, to)


def _closure(requirements: list[str]) -> Iterator[Distribution]:
    seen: set[str] = set()
    left = [Requirement(each) for each in requirements]
    while left:
        requirement = left.pop()
        name = canonicalize_name(requirement.name)
        if name in seen or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        seen.add(name)
        found = distribution(name)
        yield found
        left += [Requirement(each) for each in found.requires or ()]


def _pack(installed: Distribution, to: Path) -> None:
    """Pack a wheel of an installed package. Its tag is "any", although it works only on this machine."""
    stem = f"{canonicalize_name(installed.name).replace('-', '_')}-{installed.version}"
    made_by_pip = {each.name for each in installed.entry_points if each.group == "console_scripts"}
    with zipfile.ZipFile(to / f"{stem}-py3-none-any.whl", "w") as wheel:
        for path in installed.files or ():
            if path.parts[0] != "..":
                if path.suffix != ".pyc":
                    wheel.write(str(path.locate()), path.as_posix())
            elif path.parts[-2] == "bin" and path.name not in made_by_pip:
                wheel.write(str(path.locate()), f"{stem}.data/scripts/{path.name}")
