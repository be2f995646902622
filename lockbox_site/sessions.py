"""Stores sessions in the database, and reports it when the database can't be reached."""

from __future__ import annotations

from django.contrib.sessions.backends import db
from django.contrib.sessions.backends.base import UpdateError
from django.db import DatabaseError, OperationalError


class SessionStore(db.SessionStore):
    def save(self, must_create: bool = False) -> None:
        """Save as Django does, but never mistake a failing database for a session that was deleted.

        Django turns every failure of the database into UpdateError and answers 400. The right answer is 503: the store
        is unavailable. Only a plain DatabaseError means that there was no row to update; the database's own errors are
        subclasses.
        """
        try:
            super().save(must_create)
        except UpdateError as error:
            if type(error.__context__) is DatabaseError:
                raise
            # Nobody needs to know whether the session itself was saved.
            raise OperationalError("The session could not be written.") from None
