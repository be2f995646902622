"""Measurements, which check nothing. `bin/bench` runs them on SQLite and on PostgreSQL."""

import sys
from pathlib import Path

# The guard is a package of its own, which is not installed here.
sys.path.insert(0, str(Path(__file__).parents[1] / "clients" / "guard-python"))
