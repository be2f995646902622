"""Django's backends for PostgreSQL and SQLite. They limit each wait and report a commit with an unknown outcome."""
