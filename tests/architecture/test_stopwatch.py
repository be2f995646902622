"""A test is repeated only if it took too long, and the report shows how often it was repeated."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree  # This test wrote the file itself.

from tests.sources import ROOT

HOOKS = "from tests.stopwatch import pytest_runtest_makereport, pytest_runtest_protocol\n"
TESTS = """
import itertools
import pytest
from tests.stopwatch import in_time, takes

late, wrong, unmarked = itertools.count(1), itertools.count(1), itertools.count(1)
timed = pytest.mark.timed


@timed
def test_late_once():
    in_time(next(late) == 2)


@timed
def test_late_always():
    with takes(least=60, most=61):
        pass


@timed
def test_wrong_once():
    with takes(most=60):
        assert next(wrong) == 2


def test_unmarked():
    in_time(next(unmarked) == 2)
"""


def test_only_a_wrong_time_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(HOOKS)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = timed\n")
    (tmp_path / "test_all.py").write_text(TESTS)
    report = tmp_path / "report.xml"
    command = [sys.executable, "-m", "pytest", f"--junitxml={report}", str(tmp_path)]
    # Only pytest's own plugins: to load the others takes longer than the tests.
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=120, check=False)
    outcomes = {
        str(case.get("name")): ("failed" if case.find("failure") is not None else "passed", _tries(case))
        for case in ElementTree.parse(report).getroot().iter("testcase")
    }
    assert outcomes == {
        "test_late_once": ("passed", "2"),
        "test_late_always": ("failed", "3"),
        "test_wrong_once": ("failed", "1"),
        "test_unmarked": ("failed", "1"),
    }


def _tries(case: ElementTree.Element) -> str | None:
    tries = case.find("properties/property[@name='tries']")
    return "1" if tries is None else tries.get("value")
