"""Measurements without assertions. `bin/bench` runs them on SQLite and on PostgreSQL."""
