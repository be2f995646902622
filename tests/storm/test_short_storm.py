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
    done = subprocess.run(command, cwd=ROOT, env=kept, capture_output=True, text=True, timeout=840)
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    assert "Violations of safety: 0; wrong answers: 0" in done.stdout


def test_a_short_storm_on_sqlite_breaks_nothing(tmp_path: Path) -> None:
    breaks_nothing("sqlite", tmp_path)


@pytest.mark.postgres
def test_a_short_storm_on_postgresql_breaks_nothing(tmp_path: Path) -> None:
    breaks_nothing("postgres", tmp_path)
