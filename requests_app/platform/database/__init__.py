"""Django's backends for PostgreSQL and SQLite, with limits on waiting and certainty about commits."""
