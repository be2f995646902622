"""The backend for PostgreSQL. Django finds it in `base`."""
