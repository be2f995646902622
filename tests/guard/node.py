"""Runs Node programs of clients/guard-node, with the packages of its lock file."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from tests import ground
from tests.sources import ROOT

GUARD = ROOT / "clients" / "guard-node"
PACKAGES = GUARD / "node_modules"
#: npm writes this file last. It says what is installed.
INSTALLED = PACKAGES / ".package-lock.json"
WITHIN = 120
MISSING = (
    "The tests of clients/guard-node need Node 20 or newer, and npm. On Debian: apt-get install nodejs npm. "
    "What is missing here: {}"
)


def program() -> str:
    """Return the path of Node, with the packages installed. Without Node or npm, the test fails and says so."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.fail(MISSING.format("node" if node is None else "npm"), pytrace=False)
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(re.sub(r"\D.*", "", version.removeprefix("v"))) < 20:
        pytest.fail(MISSING.format(f"Node 20 (this is {version})"), pytrace=False)
    with ground.one_at_a_time():
        if not INSTALLED.exists() or INSTALLED.stat().st_mtime < (GUARD / "package-lock.json").stat().st_mtime:
            _install(npm)
    return node


def _install(npm: str) -> None:
    run = subprocess.run(
        [npm, "ci", "--prefer-offline", "--no-audit", "--no-fund"],
        cwd=GUARD,
        capture_output=True,
        text=True,
        timeout=WITHIN,
    )
    if run.returncode:
        pytest.fail(f"npm ci failed. Is there a network?\n{run.stdout}{run.stderr}", pytrace=False)
