"""Stores sessions in the database, and raises an error if the database does not answer."""

from __future__ import annotations

from django.contrib.sessions.backends import db
from django.contrib.sessions.backends.base import UpdateError
from django.db import DatabaseError, OperationalError


class SessionStore(db.SessionStore):
    def save(self, must_create: bool = False) -> None:
        """Save as Django does, but never treat a failure of the database as a deleted session.

        Django turns every failure of the database into UpdateError and answers 400. The right answer is 503, because
        the database is unavailable. Only a plain DatabaseError means that there was no row to update; the errors of the
        database are subclasses of it.
        """
        try:
            super().save(must_create)
        except UpdateError as error:
            if type(error.__context__) is DatabaseError:
                raise
            # It does not matter whether the session itself was saved.
            raise OperationalError("The session could not be written.") from None
