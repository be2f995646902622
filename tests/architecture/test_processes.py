"""Several processes run each test once, and one process reports them all."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree  # This test wrote the file itself.

from tests.sources import ROOT

HOOKS = "from tests.processes import pytest_addoption, pytest_runtestloop\n"
TESTS = """
import os, pathlib, signal, sys, tempfile, time
import pytest
from django.conf import settings


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    place = tmp_path_factory.mktemp("opened")
    yield place
    pathlib.Path(os.environ["ENDED"], str(os.getpid())).touch()


@pytest.mark.parametrize("number", range(40))
def test_short(opened, number, record_property):
    print(f"short {number}")
    time.sleep(0.01)
    assert settings.DATA_DIR.is_dir() and os.environ["DATA_DIR"] == str(settings.DATA_DIR)
    # The marks are those of this process alone, in all three places.
    for place in (settings.DATA_DIR, opened, pathlib.Path(tempfile.gettempdir(), os.environ["MARKS"])):
        (place / f"{os.getpid()}-{number}").touch()
    assert {path.name.split("-")[0] for path in opened.iterdir()} == {str(os.getpid())}
    record_property("process", os.getpid())


def test_failing():
    print("from the failing test")
    assert 1 == 2


@pytest.mark.skip(reason="a skipped test must be reported, too")
def test_skipped():
    pass


def test_dying():
    os.kill(os.getpid(), signal.SIGKILL)
"""


def run(directory: Path, tests: str, *options: str) -> tuple[int, str, dict[str, str], list[str]]:
    """Run the tests in two processes. Return the status, the output, the outcome of each test, and the processes."""
    (directory / "conftest.py").write_text(HOOKS)
    (directory / "test_all.py").write_text(tests)
    (directory / "pytest.ini").write_text("[pytest]\n")
    for name in ("ended", "marks"):
        (directory / name).mkdir()
    report = directory / "report.xml"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--processes=2",
        f"--junitxml={report}",
        *options,
        str(directory),
    ]
    places = {"ENDED": str(directory / "ended"), "MARKS": str(directory / "marks")}
    # Only pytest's own plugins: to load the others takes longer than the tests.
    alone = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "DJANGO_SETTINGS_MODULE": "tests.settings"}
    environment = {**os.environ, **places, **alone}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    cases = list(ElementTree.parse(report).getroot().iter("testcase"))
    outcomes = {
        str(case.get("name")): next(
            (kind for kind in ("failure", "skipped", "error") if case.find(kind) is not None), ""
        )
        for case in cases
    }
    assert len(outcomes) == len(cases)
    found = (case.find("properties/property[@name='process']") for case in cases)
    return done.returncode, done.stdout, outcomes, [str(each.get("value")) for each in found if each is not None]


def test_each_test_runs_once_and_a_process_that_dies_costs_its_test_alone(tmp_path: Path) -> None:
    status, output, outcomes, processes = run(tmp_path, TESTS)
    assert (status, Counter(outcomes.values())) == (1, Counter({"": 40, "failure": 2, "skipped": 1})), output
    assert {name for name, outcome in outcomes.items() if outcome == "failure"} == {"test_failing", "test_dying"}
    assert "The process that ran this test ended with status -9." in output
    assert "from the failing test" in output
    assert "short 1\n" not in output
    assert len(set(processes)) == 2
    # The process that did not die has taken down its fixture.
    assert len({path.name for path in (tmp_path / "ended").iterdir()} & set(processes)) == 1


def test_the_first_failure_ends_the_run_if_this_is_asked_for(tmp_path: Path) -> None:
    failing = "def test_first():\n    assert 1 == 2\n"
    status, output, outcomes, _ = run(tmp_path, failing + TESTS, "-x")
    assert (status, outcomes["test_first"]) == (1, "failure"), output
    assert len(outcomes) < 40


def test_a_run_whose_processes_all_die_fails(tmp_path: Path) -> None:
    dying = "import os\ndef test_first():\n    os._exit(0)\n\ndef test_second():\n    os._exit(0)\n"
    status, output, outcomes, _ = run(tmp_path, dying + TESTS)
    assert status not in (0, 5), output
    assert (outcomes["test_first"], outcomes["test_second"]) == ("failure", "failure")
    assert "43 tests have not run" in output


def test_a_test_can_end_the_run(tmp_path: Path) -> None:
    ending = "import pytest\ndef test_first():\n    pytest.exit('the wrong role', 4)\n"
    status, output, _, _ = run(tmp_path, ending + TESTS)
    assert (status, "the wrong role" in output) == (4, True), output
