"""The backend for SQLite. Django finds it in `base`."""
