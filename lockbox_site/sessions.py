"""Keeps sessions in the database, and says so when the database can't be reached."""

from __future__ import annotations

from django.contrib.sessions.backends import db
from django.contrib.sessions.backends.base import UpdateError
from django.db import DatabaseError, OperationalError


class SessionStore(db.SessionStore):
    def save(self, must_create: bool = False) -> None:
        """Save as Django does, but never take a database that fails for a session that somebody deleted.

        Django turns every failure of the database into UpdateError, and answers 400. The store is unavailable: 503.
        Only a plain DatabaseError says that there was no row to update; the database's own errors have kinds.
        """
        try:
            super().save(must_create)
        except UpdateError as error:
            if type(error.__context__) is DatabaseError:
                raise
            # Whether the session itself was saved is of no interest to anybody.
            raise OperationalError("The session could not be written.") from None
