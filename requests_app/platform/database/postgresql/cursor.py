"""A psycopg cursor that prepares the statements with a fixed text (`Prepared`), and no others."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import psycopg
from django.db.backends.postgresql import base
from psycopg import errors, pq
from psycopg._queries import PostgresQuery, _query2pg_nocache

from requests_app.platform.database.prepared import Prepared

if TYPE_CHECKING:  # Django's stubs don't say what this class is
    _Cursor = psycopg.Cursor[Any]
else:
    _Cursor = base.ServerBindingCursor


class _Query(PostgresQuery):
    """A query that looks for the places of values in a fixed text only once.

    psycopg itself looks for them at each call if the text is longer than 4,096 characters or has more than 50 values.
    """

    def convert(self, query: Any, vars: Any) -> None:
        if vars is None or not isinstance(query, Prepared):
            super().convert(query, vars)
            return
        self.query, self._want_formats, self._order, self._parts = _converted(query, self._tx.encoding)
        self.dump(vars)


@cache
def _converted(query: Prepared, encoding: str) -> Any:
    return _query2pg_nocache(query.encode(encoding), encoding)


class Cursor(_Cursor):
    _query_cls = _Query

    def execute(self, query: Any, params: Any = None, *, prepare: bool | None = None, **options: Any) -> Any:
        is_marked = prepare is None and isinstance(query, Prepared)
        try:
            return super().execute(query, params, prepare=True if is_marked else prepare, **options)
        except errors.FeatureNotSupported as error:
            if not is_outdated(error):
                raise
            # A rollback forgets all prepared statements. Without a transaction, nobody rolls back.
            if self.connection.info.transaction_status != pq.TransactionStatus.IDLE:
                raise
            self.connection._prepared.clear()
            return super().execute(query, params, prepare=prepare, **options)


def is_outdated(error: BaseException | None) -> bool:
    """Return whether a prepared statement would have other types of columns than before.

    A migration has changed a table after the statement was prepared.
    """
    return isinstance(error, errors.FeatureNotSupported) and error.diag.source_function == "RevalidateCachedQuery"
