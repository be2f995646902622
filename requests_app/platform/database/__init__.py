"""Django's backends for PostgreSQL and SQLite. They limit each wait, and report a commit of unknown outcome."""
