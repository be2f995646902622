"""An upgrade under load: from the previous release to this version, back, and forward again."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sources import ROOT

#: How long people work, without the time that the changes take.
SECONDS = "60"


@pytest.mark.deep
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("database", ["postgres", "sqlite"])
def test_nothing_acknowledged_is_lost_in_an_upgrade_under_load_and_on_the_way_back(
    database: str, tmp_path: Path
) -> None:
    """On PostgreSQL, no call fails. On SQLite, everything stops for a moment, as docs/upgrades.md says."""
    environment = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "DATA_DIR")}
    words = ["--database", database, "--upgrade", "--seconds", SECONDS, "--dir", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "bench.storm", *words], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    phases = re.findall(r"^(.+?) +([\d.]+) +(\d+) +(\d+) +[\d.]+s$", done.stdout, re.MULTILINE)
    failed = {name: int(failures) for name, _seconds, _calls, failures in phases if int(failures)}
    assert sum(int(calls) for _name, _seconds, calls, _failures in phases) > 200
    assert {name: count for name, count in failed.items() if not name.endswith("stopped")} == {}
    assert database == "sqlite" or failed == {}
