"""Keeps sessions in the database, and says so when the database can't be reached."""

from __future__ import annotations

from django.contrib.sessions.backends import db
from django.contrib.sessions.backends.base import UpdateError
from django.db import InterfaceError, OperationalError


class SessionStore(db.SessionStore):
    def save(self, must_create: bool = False) -> None:
        """Save as Django does, but never take a busy database for a session that somebody deleted.

        Django turns every failure of the database into UpdateError, and answers 400. The store is unavailable: 503.
        """
        try:
            super().save(must_create)
        except UpdateError as error:
            if isinstance(error.__context__, OperationalError | InterfaceError):
                raise error.__context__ from None
            raise
