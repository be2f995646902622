"""The guard for Node: its own tests, its size, and its lock file."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from tests.guard import node
from tests.guard.node import GUARD, WITHIN

pytestmark = pytest.mark.timeout(600)
FILES = sorted(path.name for path in (GUARD / "test").glob("*.test.js"))
#: In `bin/test deep`, the queue is longer, and more of its writers are killed.
MARKS = {"queue.test.js": pytest.mark.sampled}


def test_there_are_tests() -> None:
    assert {"decisions.test.js", "queue.test.js", "web.test.js"} <= set(FILES)


@pytest.mark.parametrize("name", [pytest.param(name, marks=MARKS.get(name, ())) for name in FILES])
def test_the_guard_passes_its_own_tests(name: str) -> None:
    command = [node.program(), "--test", "--test-timeout=60000", "--test-reporter=spec", f"test/{name}"]
    run = subprocess.run(command, cwd=GUARD, capture_output=True, text=True, timeout=WITHIN)
    assert run.returncode == 0, run.stdout + run.stderr


def lines_of(name: str) -> list[str]:
    """Return the lines of code of a file, without blank lines and comments."""
    text = re.sub(r"^ *(/\*.*?\*/|//[^\n]*)$", "", (GUARD / "src" / name).read_text(), flags=re.MULTILINE | re.DOTALL)
    return [line for line in text.splitlines() if line.strip()]


def test_the_readme_says_how_long_each_file_is() -> None:
    rows = re.findall(r"^\| (`.*`) \| (\d+) \|", (GUARD / "README.md").read_text(), re.MULTILINE)
    stated = {tuple(re.findall(r"\w+\.js", names)): int(most) for names, most in rows}
    assert sorted(name for names in stated for name in names) == sorted(path.name for path in GUARD.glob("src/*.js"))
    for names, most in stated.items():
        lines = [line for name in names for line in lines_of(name)]
        assert most - 20 < len(lines) <= most, names
        assert max(map(len, lines)) <= 120, names


def test_the_lock_file_names_no_registry() -> None:
    """Then npm uses the registry that is set up on each machine."""
    lock = json.loads((GUARD / "package-lock.json").read_text())
    assert [name for name, package in lock["packages"].items() if "resolved" in package] == []
    assert all("integrity" in package for name, package in lock["packages"].items() if name)


def test_it_depends_on_two_packages_without_dependencies() -> None:
    assert list(json.loads((GUARD / "package.json").read_text())["dependencies"]) == ["eventsource-parser", "jose"]
    packages = json.loads((GUARD / "package-lock.json").read_text())["packages"]
    needed = [name for name, package in packages.items() if name and not package.get("dev")]
    assert needed == ["node_modules/eventsource-parser", "node_modules/jose"]
