"""A short storm in every run: half a minute of people and faults over the real product.

`bin/test deep` has ten minutes on each database. This one asserts what was done and said, and never how fast: a machine
that runs tests is a slow one.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def breaks_nothing(database: str, directory: Path) -> None:
    """In a process of its own: a storm is many threads, and kills what it starts."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "VIRTUAL_ENV") if name in os.environ}
    command = [sys.executable, "-m", "bench.storm", "--short", "--database", database, "--dir", str(directory)]
    with subprocess.Popen(
        command, cwd=ROOT, env=kept, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as running:
        try:
            said, _ = running.communicate(timeout=840)
        except subprocess.TimeoutExpired:
            # Told, not killed: it ends what it has started.
            running.terminate()
            said, _ = running.communicate(timeout=50)
    print(said)
    assert running.returncode == 0, said[-9000:]
    assert "Violations of safety: 0; wrong answers: 0" in said


def test_a_short_storm_on_sqlite_breaks_nothing(tmp_path: Path) -> None:
    breaks_nothing("sqlite", tmp_path)


@pytest.mark.postgres
def test_a_short_storm_on_postgresql_breaks_nothing(tmp_path: Path) -> None:
    breaks_nothing("postgres", tmp_path)
