"""Stores sessions in the database. If the database does not answer, an error is raised."""

from __future__ import annotations

from typing import Any

from django.contrib.sessions.backends import db
from django.contrib.sessions.backends.base import UpdateError
from django.db import DatabaseError, OperationalError
from django.db.models import CharField, DateTimeField

from requests_app.domain import clock
from requests_app.platform.database.compiled import CompiledQuery

_LIVE = CompiledQuery(
    lambda key, at: SessionStore.get_model_class().objects.filter(session_key=key, expire_date__gt=at),
    key=CharField(),
    at=DateTimeField(),
)


class SessionStore(db.SessionStore):
    def _get_session_from_db(self) -> Any:
        """Read the session as Django does, but with a compiled query, because every page reads the session."""
        found = _LIVE(key=self.session_key, at=clock.here())
        if found:
            return found[0]
        self._session_key = None
        return None

    def save(self, must_create: bool = False) -> None:
        """Save the session as Django does, but don't treat a failure of the database as a deleted session.

        Django turns every failure of the database into UpdateError and answers 400, where 503 is right. A plain
        DatabaseError means that the session's row does not exist any more. A failure of the database raises a subclass.
        """
        try:
            super().save(must_create)
        except UpdateError as error:
            if type(error.__context__) is DatabaseError:
                raise
            # It does not matter whether the session itself was saved.
            raise OperationalError("The session could not be written.") from None
