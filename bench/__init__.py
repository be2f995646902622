"""Measurements, which check nothing. `bin/bench` runs them on SQLite and on PostgreSQL."""
